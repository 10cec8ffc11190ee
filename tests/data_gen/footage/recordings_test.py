"""Videos, masks and tracks that do not fit each other are named."""

import copy

import numpy as np
import pytest
import small_footage
from PIL import Image

from data_gen.errors import DataError
from data_gen.footage.calibration import read_calibration
from data_gen.footage.recordings import median_without, open_recording

pytest.importorskip("av")

SPAN = 4


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  """Folder and content of a JSON of one recording with masks."""
  folder = tmp_path_factory.mktemp("footage")
  recording = small_footage.write_recording(
    folder, small_footage.render(), "first", "train"
  )
  small = np.zeros((8, 60, 80, 3), np.uint8)
  small_footage.write_video(folder / "small.mkv", small)
  (folder / "cut.mkv").write_bytes((folder / "first1.mkv").read_bytes()[:2000])
  (folder / "none.mp4").write_bytes(b"no video")
  (folder / "empty").mkdir()
  (folder / "few").mkdir()
  Image.new("L", (192, 144)).save(folder / "few" / "0.png")
  small_footage.write_masks(folder / "tiny", small[..., 0])
  return folder, {"recordings": [recording]}


def _open(written, change=lambda recording: None):
  folder, content = written
  content = copy.deepcopy(content)
  change(content["recordings"][0])
  calibration = read_calibration(small_footage.write_json(folder, content))
  return open_recording(calibration.recordings[0], 48, "crop", SPAN, "time")


def _set(key, value):
  """Changes a field of the second camera."""

  def change(recording):
    recording["cameras"][1][key] = value

  return change


def _far_centre(recording):
  recording["cameras"][1]["intrinsics"][0][2] = 192.0


def _set_track(length):
  def change(recording):
    recording["track"] = [[0.0, 0.0, 0.0]] * length

  return change


ERRORS = [
  (_set("video", "none.mp4"), r"has a video .*none\.mp4 cannot be read"),
  (_set("video", "cut.mkv"), r"cut\.mkv"),
  (_set("first_frame", 5), r"too short: .*first1\.mkv has 3 frames .* spans 4"),
  (_set("first_frame", 50), r"too short: .*first1\.mkv has 0 frames"),
  (_set("image_size", [1920, 1080]), r"1920 x 1080 .* has 192 x 144"),
  (_set("masks", "empty"), r"has masks that cannot be used: .*no PNG"),
  (_set("masks", "few"), r"has 1 masks in .*few, and 8 frames"),
  (_set("masks", "tiny"), r"has masks of 80 x 60 .* 192 x 144"),
  (_far_centre, r"principal point .* at \(192, 71\.5\) .* outside the 192 x"),
]


@pytest.mark.parametrize("change, message", ERRORS)
def test_files_that_do_not_fit_are_named(written, change, message):
  place = r"rig\.json: recordings\[0\]\.cameras\[1\] "
  with pytest.raises(DataError, match=place + ".*" + message) as caught:
    _open(written, change)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [7, 9])
def test_tracks_of_another_length_are_named(written, length):
  with pytest.raises(
    DataError, match=rf"recordings\[0\] has a track of {length} rows.* 8 frames"
  ):
    _open(written, _set_track(length))


def test_cameras_end_with_the_first_that_does(written):
  def change(recording):
    recording["cameras"][1]["first_frame"] = 3

  for length in (5, 8):  # Of the shortest camera, and of the longest.
    recording = _open(
      written, lambda r, n=length: (change(r), _set_track(n)(r))
    )
    assert recording.num_frames == len(recording.track) == 5


def test_masks_of_another_size_in_the_middle_are_named(written, tmp_path):
  masks = tmp_path / "masks"
  small_footage.write_masks(masks, np.zeros((8, 144, 192), np.uint8))
  Image.new("L", (10, 20)).save(masks / "frame6.png")
  recording = _open(written, _set("masks", str(masks)))
  recording.clip(np.arange(6))
  with pytest.raises(DataError, match=r"cameras\[1\] has masks of 10 x 20"):
    recording.clip(np.arange(4, 8))


def test_median_leaves_out_what_is_hidden():
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (7, 20, 30, 3), np.uint8)
  is_hidden = rng.random((7, 20, 30)) < 0.6
  found = median_without(frames, is_hidden)
  shown = np.ma.array(frames, mask=np.repeat(is_hidden[..., None], 3, -1))
  expected = np.ma.median(shown, axis=0).filled(-1)
  always = is_hidden.all(axis=0)
  assert always.any() and not always.all()
  expected[always] = np.median(frames, axis=0)[always]
  np.testing.assert_array_equal(found, np.rint(expected))


def test_background_is_what_is_behind_the_object():
  """A bright square that moves over a random picture, never leaving it all."""
  rng = np.random.default_rng(0)
  picture = rng.integers(0, 100, (24, 24, 3), np.uint8)
  frames = np.stack([picture] * 9)
  masks = np.zeros((9, 24, 24), bool)
  for t in range(9):  # Most of the time it is at the left.
    column = 2 if t < 7 else 12
    frames[t, 5:15, column : column + 8] = 255
    masks[t, 5:15, column : column + 8] = True
  np.testing.assert_array_equal(median_without(frames, masks), picture)
  nothing = np.zeros_like(masks)
  assert (median_without(frames, nothing)[5:15, 2:10] == 255).all()
