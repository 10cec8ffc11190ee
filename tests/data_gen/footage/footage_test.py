"""Clips cut from footage: the right frames, cameras, masks and tracks."""

import json

import numpy as np
import pytest
import small_footage
from coded_videos import code_frame, read_number

from data_gen import schema
from data_gen.errors import DataError
from data_gen.footage import conversions
from data_gen.footage.footage import Footage, FootageOptions

pytest.importorskip("av")

NUM_FRAMES = 45
OFFSETS = (0, 4)
POSES = [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3.0 + view]] for view in (0, 1)]


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
  """Folder of a JSON of two recordings whose frames show their number."""
  folder = tmp_path_factory.mktemp("counted")
  recordings = []
  for name, split in (("a", "train"), ("b", "test")):
    cameras = []
    for view, offset in enumerate(OFFSETS):
      first = 100 * (name == "b")  # Camera 1 started earlier, by 4 frames.
      numbers = first - offset + np.arange(NUM_FRAMES + offset)
      frames = [code_frame(int(number) % 256) for number in numbers]
      path = folder / f"{name}{view}.mkv"
      small_footage.write_video(path, np.stack(frames))
      cameras.append(
        {
          "video": path.name,
          "intrinsics": [[60, 0, 31.5], [0, 60, 31.5], [0, 0, 1]],
          "camera_from_world": POSES[view],
          "first_frame": offset,
        }
      )
    recordings.append({"name": name, "split": split, "cameras": cameras})
  track = [[t / 100, 0, 0] for t in range(NUM_FRAMES)]
  track[20] = None
  recordings[0]["track"] = track
  recordings[1]["caption"] = "Numbers."
  small_footage.write_json(folder, {"recordings": recordings})
  return folder


def _footage(folder, **changes):
  return Footage(small_footage.make_options(folder, folder / "out", **changes))


@pytest.mark.parametrize(
  "changes, starts, stride",
  [
    ({"num_frames": 4}, range(0, 41, 4), 1),
    ({"num_frames": 4, "frame_stride": 3}, [0, 12, 24], 3),
    ({"num_frames": 4, "frame_stride": 3, "clip_step": 5}, range(0, 36, 5), 3),
    ({"num_frames": 45}, [0], 1),
    ({"num_frames": 12, "frame_stride": 4, "clip_step": 1}, [0], 4),
    ({"num_frames": 1, "clip_step": 20}, [0, 20, 40], 1),
  ],
)
def test_clips_have_the_frames_that_were_asked_for(
  counted, changes, starts, stride
):
  footage = _footage(counted, **changes)
  assert footage.num_scenes("validation") == 0
  for split, first in (("train", 0), ("test", 100)):
    assert footage.num_scenes(split) == len(list(starts))
    for index, start in enumerate(starts):
      scene = footage.make_scene(split, index)
      numbers = start + np.arange(changes["num_frames"]) * stride
      for view in range(2):  # In step, although one started earlier.
        found = [read_number(f) for f in scene[schema.FRAMES][view]]
        assert found == (first + numbers).tolist()
      if split == "train":
        expected = np.stack([numbers / 100, 0 * numbers, 0 * numbers], -1)
        expected[numbers == 20] = np.nan
      else:
        expected = np.full((len(numbers), 3), np.nan)
      for key in (schema.TRAJECTORY, schema.TRAJECTORY_CLEAN):
        np.testing.assert_allclose(scene[key], expected, atol=1e-7)


def test_captions_and_ids(counted):
  footage = _footage(counted, num_frames=20)
  assert footage.make_scene("train", 1)[schema.CAPTION] == "a"
  assert footage.make_scene("test", 1)[schema.CAPTION] == "Numbers."
  ids = [
    footage.make_scene(split, i)[schema.SCENE_ID]
    for split in ("train", "test")
    for i in range(2)
  ]
  assert len(set(ids)) == 4


def test_without_masks_they_are_zero_and_that_is_said(counted):
  footage = _footage(counted)
  assert not footage.has_masks
  assert not footage.make_scene("train", 0)[schema.MASKS].any()
  (note,) = [line for line in footage.notes() if "masks" in line]
  assert "4 cameras have no masks, recordings[0].cameras[0] for one" in note


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"fit": "stretch"}, "--fit=stretch is not known"),
    ({"file_format": "npz"}, "--file_format=npz is not known"),
    ({"num_frames": 0}, "--num_frames=0 is out of range"),
    ({"frame_stride": 0}, "--frame_stride=0 is out of range"),
    ({"clip_step": -1}, "--clip_step=-1 is out of range"),
    ({"calibration": ""}, "--calibration is missing"),
    ({"output_dir": ""}, "--output_dir is missing"),
  ],
)
def test_bad_flags_are_named(changes, message):
  values = {"calibration": "rig.json", "output_dir": "out"} | changes
  with pytest.raises(ValueError, match=message):
    FootageOptions(**values)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
  """A rendered cube as footage: its folder, and the scene."""
  folder = tmp_path_factory.mktemp("filmed")
  scene = next(
    scene
    for scene in (small_footage.render(i) for i in range(12))
    if scene[schema.SHAPE] == 0
  )
  recording = small_footage.write_recording(folder, scene, "cube", "train")
  masks = (scene[schema.MASKS][2][..., None] > 0) * np.full(3, 255, np.uint8)
  small_footage.write_video(folder / "masks.mkv", masks)
  recording["cameras"][2]["masks"] = "masks.mkv"
  small_footage.write_json(folder, {"recordings": [recording]})
  return folder, scene


@pytest.mark.parametrize(
  "fit, size", [("crop", 48), ("pad", 96), ("crop", 200)]
)
def test_geometry_of_a_rendered_scene_survives(filmed, fit, size):
  """The track is on the mask; the masks' centroids lead back to the track."""
  folder, rendered = filmed
  footage = _footage(folder, num_frames=8, image_size=size, fit=fit)
  assert footage.has_masks
  scene = footage.make_scene("train", 0)
  np.testing.assert_array_equal(
    scene[schema.TRAJECTORY], rendered[schema.TRAJECTORY].astype(np.float32)
  )
  cameras = [
    k @ p
    for k, p in zip(
      scene[schema.INTRINSICS], scene[schema.CAMERA_FROM_WORLD], strict=True
    )
  ]
  for t, point in enumerate(scene[schema.TRAJECTORY]):
    rows = []
    for view, camera in enumerate(cameras):
      x, y = small_footage.project(
        point,
        scene[schema.INTRINSICS][view],
        scene[schema.CAMERA_FROM_WORLD][view],
      )
      mask = scene[schema.MASKS][view, t]
      assert 0 < x < size - 1 and 0 < y < size - 1
      assert mask[round(y), round(x)]
      v, u = np.nonzero(mask)
      on_edge = {0, size - 1} & {*u.tolist(), *v.tolist()}
      if not on_edge:
        rows += [u.mean() * camera[2] - camera[0]]
        rows += [v.mean() * camera[2] - camera[1]]
    assert len(rows) >= 4
    # Linear triangulation; the last singular vector is the point.
    found = np.linalg.svd(np.stack(rows))[2][-1]
    found = found[:3] / found[3]
    # A cube's silhouette is centred 4 mm off at scale 1, and this is 3.
    assert np.linalg.norm(found - point) < 0.015


def test_background_is_the_rendered_one(filmed):
  """Where the object ever is away; shadows are the background's own."""
  folder, rendered = filmed
  footage = _footage(folder, num_frames=8, image_size=144)  # The middle, as is.
  scene = footage.make_scene("train", 0)
  hidden = rendered[schema.MASKS][:, :, :, 24:168].any(axis=1)
  expected = np.median(rendered[schema.FRAMES][:, :, :, 24:168], axis=1)
  away = ~np.stack([_grow(mask) for mask in hidden])
  assert away.mean() > 0.5
  error = scene[schema.BACKGROUND_FRAMES].astype(float) - expected
  assert np.abs(error[away]).max() <= 0.5


def _grow(mask):
  """Grows a mask by the pixels that its anti-aliased edge may touch."""
  padded = np.pad(mask, 2)
  shifts = [(dy, dx) for dy in range(5) for dx in range(5)]
  height, width = mask.shape
  return np.any(
    [padded[dy : dy + height, dx : dx + width] for dy, dx in shifts], axis=0
  )


def _copied(counted, tmp_path, split):
  """Recordings of one video under two names, in train and in a split."""
  first = (counted / "a0.mkv").read_bytes()
  content = {"recordings": []}
  for name, part in (("a", "train"), ("b", split)):
    (tmp_path / f"{name}.mkv").write_bytes(first)
    camera = {
      "video": f"{name}.mkv",
      "intrinsics": [[60, 0, 31.5], [0, 60, 31.5], [0, 0, 1]],
      "camera_from_world": POSES[0],
    }
    content["recordings"].append(
      {"name": name, "split": part, "cameras": [camera]}
    )
  small_footage.write_json(tmp_path, content)
  return tmp_path


def test_the_same_video_in_two_splits_is_an_error_that_names_both(
  counted, tmp_path
):
  folder = _copied(counted, tmp_path, "test")
  message = (
    r"recordings\[1\]\.cameras\[0\] has the same video as recordings\[0\]\."
    r"cameras\[0\]: .*b\.mkv, of test, and .*a\.mkv, of train"
  )
  with pytest.raises(DataError, match=message):
    _footage(folder)
  allowed = _footage(folder, repeated_videos="allow")
  assert "repeated_videos" not in allowed.arguments()  # The records' are alike.


def test_the_same_video_in_one_split_is_none(counted, tmp_path):
  assert _footage(_copied(counted, tmp_path, "train")).num_scenes("train") == 22


def _change(folder, target, change):
  """Writes the JSON of a folder to another, changed; files stay."""
  content = json.loads((folder / "rig.json").read_text())
  for recording in content["recordings"]:
    for camera in recording["cameras"]:
      for key in camera.keys() & {"video", "masks"}:
        camera[key] = str(folder / camera[key])
  change(content["recordings"][0])
  small_footage.write_json(target, content)
  return _footage(target, num_frames=8)


def test_an_inverted_pose_is_noted_and_no_other(filmed, tmp_path):
  folder, scene = filmed
  right = _change(folder, tmp_path, lambda recording: None)
  assert [n for n in right.notes() if n.startswith("Note")] == []

  def invert(recording):
    pose = scene[schema.CAMERA_FROM_WORLD][1].astype(float)
    inverse = conversions.inverse(pose).tolist()
    recording["cameras"][1]["camera_from_world"] = inverse

  notes = list(_change(folder, tmp_path, invert).notes())
  (note,) = [note for note in notes if note.startswith("Note")]
  assert "recordings[0].cameras[1] sees only" in note
  assert "data_gen.footage.conversions.inverse makes it ours" in note


def test_masks_without_an_object_are_noted_with_their_file(filmed, tmp_path):
  folder, _ = filmed

  def empty(recording):
    masks = np.zeros((8, 144, 192), np.uint8)
    small_footage.write_masks(tmp_path / "nothing", masks)
    small_footage.write_masks(tmp_path / "all", masks + 1)
    recording["cameras"][0]["masks"] = "nothing"
    recording["cameras"][1]["masks"] = "all"

  notes = list(_change(folder, tmp_path, empty).notes())
  found = [note for note in notes if note.startswith("Note")]
  for note, number, name, share in zip(
    found, (0, 1), ("nothing", "all"), ("0%", "100%"), strict=True
  ):
    assert f"recordings[0].cameras[{number}], {tmp_path / name}, are" in note
    assert f" {share} object in every frame" in note


def test_of_many_notes_some_are_shown(filmed, tmp_path):
  folder, _ = filmed

  def shorten(recording):
    camera = recording["cameras"][0] | {"video": str(tmp_path / "0.mkv")}
    cameras = []
    for view in range(8):
      name = tmp_path / f"{view}.mkv"
      name.write_bytes((folder / "cube0.mkv").read_bytes())
      k = [[5, 0, 95.5], [0, 5, 71.5], [0, 0, 1]]
      cameras.append(camera | {"video": str(name), "intrinsics": k})
    recording["cameras"] = cameras

  notes = list(_change(folder, tmp_path, shorten).notes())
  assert sum("a field of view of 17" in note for note in notes) == 6
  assert "Note: 2 more of this kind." in notes
