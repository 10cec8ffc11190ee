"""Recordings hold cameras, videos and paths, and are there whole or not."""

import sys

import numpy as np
import pytest
import recorded

from magvit3d.errors import UserError
from magvit3d.media import recordings

_FRAMES, _SIZE = 3, 8


def _scene(name, num_views=2, **fields):
  rng = np.random.default_rng(0)
  shape = (num_views, _FRAMES, _SIZE, _SIZE, 3)
  videos = {
    kind: rng.integers(0, 256, shape, dtype=np.uint8)
    for kind in (recordings.TRUE, recordings.PREDICTED)
  }
  return recordings.RecordedScene(name, videos, **fields)


def _write(path, *scenes):
  pytest.importorskip("rerun")
  recordings.write(path, scenes)


def test_all_of_a_scene_is_on_one_time_line(tmp_path):
  cameras = np.tile(np.eye(3), (2, 1, 1)), np.tile(np.eye(3, 4), (2, 1, 1))
  paths = {recordings.TRUE: np.zeros((_FRAMES, 3))}
  path = tmp_path / "a.rrd"
  _write(path, _scene("scene_7", 2, paths=paths, intrinsics=cameras[0],
                      camera_from_world=cameras[1]))  # fmt: skip
  found = recorded.rows(path, tmp_path)
  for camera in (0, 1):
    place = f"/scene_7/camera_{camera}"
    assert found[f"{place}@Pinhole:image_from_camera"] == 1
    assert found[f"{place}@Transform3D:translation"] == 1
    for kind in ("true", "predicted"):
      assert found[f"{place}/{kind}@EncodedImage:blob"] == _FRAMES
  assert found["/scene_7/path/true@LineStrips3D:strips"] == 1
  assert found["/scene_7/position/true@Points3D:positions"] == _FRAMES
  assert [p.name for p in tmp_path.iterdir() if p.suffix != ""] == ["a.rrd"]


def test_without_cameras_there_are_videos(tmp_path):
  path = tmp_path / "a.rrd"
  _write(path, _scene("clip_0", 1), _scene("clip_1", 1))
  found = recorded.rows(path, tmp_path)
  assert found["/clip_1/camera_0/predicted@EncodedImage:blob"] == _FRAMES
  assert not any("Pinhole" in name for name in found)


def test_a_full_disk_is_told_and_leaves_no_half(tmp_path):
  resource = pytest.importorskip("resource")
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, before[1]))
  try:
    with pytest.raises(OSError, match=r"a\.rrd cannot be written"):
      _write(tmp_path / "a.rrd", _scene("scene_7"))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert not list(tmp_path.iterdir())


def test_without_the_package_it_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "rerun", None)
  with pytest.raises(UserError, match=r"pip install 'magvit3d\[rerun\]'"):
    recordings.check()
