"""Pairs are equal until a frame; then what their kind says happens."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from scipy import ndimage
from small_data_sets import start

from data_gen import schema
from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.violations import (
  ALL_VIEWS,
  KINDS,
  ViolationOptions,
  kind_of_scene,
  make_scene,
)

_FRAMES = 12
_FIELDS = dict(
  num_train=0,
  num_validation=0,
  num_test=42,
  image_size=48,
  num_frames=_FRAMES,
  size_min=2.5,
  size_max=3.5,
  num_colors=6,
  num_workers=1,
  preview=0,
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  options = ViolationOptions(
    output_dir=str(tmp_path_factory.mktemp("pairs")), **_FIELDS
  )
  generate(options, log=lambda line: None)
  source = SceneSource(options.output_dir, "test")
  return [source.scene(i) for i in range(len(source))]


def _of_kind(pairs, kind):
  chosen = [p for p in pairs if KINDS[int(p[schema.VIOLATION_KIND])] == kind]
  assert len(chosen) == len(pairs) // len(KINDS)
  return chosen


def _after(pair, key):
  """Of all cameras, from the frame on: the possible and the impossible."""
  frame = int(pair[schema.VIOLATION_FRAME])
  return pair[key][:, frame:], pair[f"impossible/{key}"][:, frame:]


def test_pairs_are_equal_until_the_frame_and_differ_in_all_views(pairs):
  for pair in pairs:
    frame, view = (
      int(pair[key]) for key in (schema.VIOLATION_FRAME, schema.VIOLATION_VIEW)
    )
    for key in ("frames", "masks"):
      possible, impossible = pair[key], pair[f"impossible/{key}"]
      np.testing.assert_array_equal(possible[:, :frame], impossible[:, :frame])
    differs = (pair["frames"] != pair["impossible/frames"]).any((2, 3, 4))
    if view == ALL_VIEWS:
      assert _FRAMES // 2 < frame <= 3 * _FRAMES // 4
      assert differs[:, frame:].any(1).all()
    else:
      assert frame == 0
      assert differs[view].any() and not np.delete(differs, view, 0).any()


def test_what_vanishes_is_gone(pairs):
  for pair in _of_kind(pairs, "vanish"):
    possible, impossible = _after(pair, "masks")
    assert possible.any((2, 3)).all() and not impossible.any()


def test_what_changes_colour_keeps_its_place_and_shape(pairs):
  for pair in _of_kind(pairs, "color"):
    np.testing.assert_array_equal(*_after(pair, "masks"))
    possible, impossible = _after(pair, "frames")
    assert (possible != impossible).any()


def test_what_changes_shape_keeps_its_path_and_colour(pairs):
  for pair in _of_kind(pairs, "shape"):
    np.testing.assert_array_equal(
      pair["trajectory"], pair["impossible/trajectory"]
    )
    possible, impossible = _after(pair, "masks")
    assert (possible != impossible).any((1, 2, 3)).all()


def test_what_moves_otherwise_does_so_from_the_frame_on(pairs):
  # Noise is that of the possible clip, of 6 mm at most a axis and frame.
  for pair in _of_kind(pairs, "jump"):
    frame = int(pair[schema.VIOLATION_FRAME])
    shift = pair["impossible/trajectory"] - pair["trajectory"]
    assert not shift[:frame].any()
    np.testing.assert_allclose(shift[frame:], shift[frame:][:1].repeat(
      _FRAMES - frame, 0), atol=1e-6)  # fmt: skip
    assert 0.2 <= np.linalg.norm(shift[-1]) <= 0.45
  for kind in ("stop", "reverse"):
    for pair in _of_kind(pairs, kind):
      frame = int(pair[schema.VIOLATION_FRAME])
      noise = pair["trajectory"] - pair["trajectory_clean"]
      path = pair["impossible/trajectory"] - noise
      clean = pair["trajectory_clean"]
      later = np.arange(frame, _FRAMES)
      back = frame - 1 if kind == "stop" else 2 * (frame - 1) - later
      np.testing.assert_allclose(path[:frame], clean[:frame], atol=1e-6)
      np.testing.assert_allclose(path[frame:], np.broadcast_to(
        clean[back], path[frame:].shape), atol=1e-6)  # fmt: skip


def test_behind_the_objects_nothing_differs(pairs):
  for pair in pairs:
    is_object = (pair["masks"] > 0) | (pair["impossible/masks"] > 0)
    # Pixels at its edge are partly covered, and not of the mask.
    is_behind = ~ndimage.binary_dilation(is_object, np.ones((1, 1, 5, 5), bool))
    np.testing.assert_array_equal(
      pair["frames"][is_behind], pair["impossible/frames"][is_behind]
    )


@pytest.mark.parametrize("kind", ["jump", "stop", "reverse", "color", "views"])
def test_later_frames_show_as_large_an_object(pairs, kind):
  """Its size hangs on how far away it is, and on nothing that the kind says.

  A pair's ratio of pixels varies with the place; over six pairs with three
  cameras its mean logarithm is within three standard errors of 0.
  """
  ratios = []
  for pair in _of_kind(pairs, kind):
    possible, impossible = (m.sum((1, 2, 3)) for m in _after(pair, "masks"))
    ratios += np.log(impossible / possible).tolist()
  error = np.std(ratios) / np.sqrt(len(ratios) / 3)  # Cameras see the same.
  assert abs(np.mean(ratios)) <= 3 * error + 1e-12


@pytest.mark.parametrize("kind", ["jump", "stop", "reverse", "shape"])
def test_later_frames_have_the_same_colours(pairs, kind):
  """Shades change with the light; which of the channels are lit does not."""
  for pair in _of_kind(pairs, kind):
    lit = [
      np.stack([f[m > 0].max(0) > 127 for f, m in zip(*arrays, strict=True)])
      for arrays in zip(
        _after(pair, "frames"), _after(pair, "masks"), strict=True
      )
    ]
    np.testing.assert_array_equal(*lit)


def test_a_view_that_disagrees_shows_the_same_object_elsewhere(pairs):
  for pair in _of_kind(pairs, "views"):
    view = int(pair[schema.VIOLATION_VIEW])
    possible, impossible = (
      np.unique(frames[view].reshape(-1, 3), axis=0).max(0)
      for frames in (pair["frames"], pair["impossible/frames"])
    )
    # The lightest of its shades, which the light on its faces changes.
    is_lit = pair["color"] > 0.5
    np.testing.assert_array_equal(possible[~is_lit], impossible[~is_lit])
    assert not np.allclose(pair["trajectory"], pair["impossible/trajectory"])


def test_kinds_come_equally_often_with_all_classes():
  counts = np.bincount([kind_of_scene(i) for i in range(7000)])
  assert (counts == 1000).all() and len(counts) == len(KINDS)


def test_a_possible_half_is_the_scene_of_the_same_number():
  options = ViolationOptions(output_dir="none", **_FIELDS)
  from data_gen.scenes import scenes

  plain = scenes.make_scene(options, "test", 3)
  pair = make_scene(options, "test", 3)
  for key, value in plain.items():
    np.testing.assert_array_equal(pair[key], value)


@pytest.mark.parametrize(
  ("field", "value", "text"),
  [
    ("preset", "traj2d", "--violations is for --preset=traj3d"),
    ("num_clutter", 1, "drop --num_clutter=1"),
    ("ground_plane", True, "drop --ground_plane=True"),
    ("camera_rig", "ring:1", "needs two cameras or more"),
  ],
)
def test_what_pairs_cannot_have_is_told(field, value, text):
  options = ViolationOptions(output_dir="none", **_FIELDS)
  with pytest.raises(ValueError, match=text):
    dataclasses.replace(options, **{field: value})


def test_the_flag_makes_pairs_and_a_set_without_them_is_another(tmp_path):
  options = ViolationOptions(
    output_dir=str(tmp_path), **_FIELDS | {"num_test": 7}
  )
  for extra, status in ((["--violations"], 0), (["--noviolations"], 1)):
    process = start(options, sys.executable, "-m", "data_gen", *extra)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
  assert b"--violations is None now, and was True" in errors.encode()
  assert len(SceneSource(tmp_path, "test")) == 7
  manifest = json.loads((tmp_path / "manifest.json").read_text())
  assert manifest["violation_kinds"] == list(KINDS)
