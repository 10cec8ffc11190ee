"""Archives of clips are read a scene at a time, and wrong ones are named."""

import io
import re
import tracemalloc
import zipfile

import numpy as np
import pytest

from magvit3d.errors import UserError
from magvit3d.evaluation.metres.videos import SceneVideos

_SHAPE = (3, 2, 4, 16, 16, 3)


def _frames():
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, _SHAPE).astype(np.uint8)


def _save(path, **arrays):
  content = {"scene_id": np.arange(3), "frames": _frames(), **arrays}
  np.savez(path, **{k: v for k, v in content.items() if v is not None})
  return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_scenes_are_those_of_the_file_in_its_order(tmp_path, save):
  path = tmp_path / "a.npz"
  save(path, scene_id=np.array([7, 5, 6]), frames=_frames())
  videos = SceneVideos(path, "--videos")
  assert videos.scene_ids == [7, 5, 6]
  assert videos.shape == _SHAPE
  videos.check_shape(_SHAPE[1:])
  for _ in range(2):  # It can be read again.
    np.testing.assert_array_equal(np.stack(list(videos)), _frames())


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"frames": None}, "has no frames; it has scene_id"),
    ({"scene_id": None, "frames": None, "x": 1}, "no scene_id and no frames"),
    ({"frames": _frames() / 255}, "frames is of type float64; expected uint8"),
    ({"frames": _frames()[0]}, r"frames has the shape \(2, 4, 16, 16, 3\)"),
    ({"frames": _frames()[..., :1]}, r"shape \(3, 2, 4, 16, 16, 1\)"),
    ({"frames": _frames()[:2]}, "3 scene_id and the frames of 2 scenes"),
    ({"frames": np.asfortranarray(_frames())}, "column by column"),
    ({"frames": np.array([None] * 3)}, "frames is of type object"),
    ({"scene_id": np.arange(3.0)}, "scene_id is float64"),
    ({"scene_id": np.zeros((3, 1), int)}, r"scene_id is int64 \(3, 1\)"),
    ({"scene_id": np.array([1, 2, 1])}, "scene_id 1 is there 2 times"),
    ({"scene_id": np.array([None] * 3)}, "cannot be read as a NumPy archive"),
    (
      {"scene_id": np.zeros(0, int), "frames": _frames()[:0]},
      "has no scenes",
    ),
  ],
)
def test_wrong_contents_are_named(tmp_path, arrays, message):
  path = _save(tmp_path / "a.npz", **arrays)
  with pytest.raises(UserError, match=message) as caught:
    SceneVideos(path, "--videos")
  assert f"--videos={path}" in str(caught.value)


def test_files_that_are_no_archives_are_named(tmp_path):
  with pytest.raises(UserError, match="is not there"):
    SceneVideos(tmp_path / "none.npz", "--videos")
  text = tmp_path / "text.npz"
  text.write_text("scene_id,frames")
  with pytest.raises(UserError, match="cannot be read as a NumPy archive"):
    SceneVideos(text, "--videos")
  single = tmp_path / "single.npy"
  np.save(single, _frames())
  with pytest.raises(UserError, match="cannot be read as a NumPy archive"):
    SceneVideos(single, "--videos")


def test_damaged_frames_are_found_while_reading(tmp_path):
  path = _save(tmp_path / "a.npz")
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 255
  path.write_bytes(content)
  videos = SceneVideos(path, "--reconstructions")
  with pytest.raises(UserError, match=r"--reconstructions=.*cannot be read"):
    list(videos)


def test_fewer_bytes_than_the_shape_says_are_found_at_once(tmp_path):
  path = _save(tmp_path / "a.npz", frames=None)
  whole = io.BytesIO()
  np.save(whole, _frames())
  with zipfile.ZipFile(path, "a") as archive:
    archive.writestr("frames.npy", whole.getvalue()[:-1])
  with pytest.raises(UserError, match=r"frames.* where its header says"):
    SceneVideos(path, "--videos")


def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(tmp_path):
  path = _save(tmp_path / "a.npz", scene_id=None)
  with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
    with archive.open("scene_id.npy", "w", force_zip64=True) as file:
      np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": (2**28,)}
      )
      for _ in range(2**8):
        file.write(bytes(2**20))
  tracemalloc.start()
  with pytest.raises(UserError, match="268435456 scene_id and the frames of"):
    SceneVideos(path, "--videos")
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 2**24


def test_half_a_file_is_named(tmp_path):
  path = _save(tmp_path / "a.npz")
  path.write_bytes(path.read_bytes()[:1000])
  with pytest.raises(UserError, match="cannot be read as a NumPy archive"):
    SceneVideos(path, "--videos")


def test_shape_must_be_that_of_the_data(tmp_path):
  videos = SceneVideos(_save(tmp_path / "a.npz"), "--videos")
  expected = re.escape("expected (3, 2, 4, 32, 32, 3)")
  with pytest.raises(UserError, match=expected):
    videos.check_shape((2, 4, 32, 32, 3))
