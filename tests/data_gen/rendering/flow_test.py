"""Optical flow against the next frame, and against plain translations."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage

from data_gen import schema
from data_gen.rendering import cameras, flow, renderer, rotations
from data_gen.rendering.rays import Solid

SIZE = 128
RIG = cameras.make_default_rig(SIZE)
BLACK = np.zeros(3)


def _render(scene, rig):
  rendering = renderer.render(scene, rig, BLACK, with_depths=True)
  flows = flow.make_flows(rendering.masks, rendering.depths, scene, rig)
  return rendering, flows


def _turning_solid(shape, seed, num_frames=5):
  rng = np.random.default_rng(seed)
  turn = rotations.about_axis(
    np.array([0.0, 0.6, 0.8]), np.linspace(0, 1.2, num_frames)
  )
  quaternions = rotations.multiply(turn, rotations.random_quaternion(rng))
  steps = np.linspace(0, 1, num_frames)[:, None]
  return Solid(
    shape=shape,
    size=3.0,
    trajectory=rng.uniform(-0.2, 0.2, 3) + steps * rng.uniform(-0.3, 0.3, 3),
    rotations=rotations.matrix_from_quaternion(quaternions),
    color=np.ones(3),
  )


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
def test_flow_moves_the_mask_onto_the_next_one(shape):
  """A point of the surface may turn away, but never leaves the silhouette."""
  scene = [_turning_solid(shape, 0), _turning_solid(shape, 1)]
  alone = [renderer.render([solid], RIG, BLACK).masks > 0 for solid in scene]
  rendering, flows = _render(scene, RIG)
  # Pixel centres are at most half a pixel off, diagonally .71: one pixel.
  grown = [
    scipy.ndimage.binary_dilation(mask, np.ones((1, 1, 3, 3))) for mask in alone
  ]
  assert not flows[rendering.masks[:, :-1] == 0].any()
  for number in (1, 2):
    place = np.nonzero(rendering.masks[:, :-1] == number)
    view, time, row, column = place
    moved = flows[place] + np.stack([column, row], -1)
    x, y = np.rint(moved).astype(int).T
    assert len(x) > 2000
    assert grown[number - 1][view, time + 1, y, x].all()
    assert np.abs(flows[place]).max() > 3


def test_flow_of_a_translation_is_focal_length_times_shift_by_depth():
  matrix = cameras.look_at(np.array([2.0, 0, 0]), np.zeros(3))
  intrinsics = cameras.make_intrinsics(SIZE, np.radians(45))
  rig = cameras.Cameras(intrinsics[None], matrix[None], SIZE)
  # From there, +y of the world is to the right.
  path = np.array([[0, 0, 0], [0, 0.1, -0.05]])
  solid = Solid("cube", 4.0, path, np.stack([np.eye(3)] * 2), np.ones(3))
  rendering, flows = _render([solid], rig)
  place = np.nonzero(rendering.masks[:, :1])
  expected = intrinsics[0, 0] * np.array([0.1, 0.05])
  expected = expected / rendering.depths[place][:, None]
  np.testing.assert_allclose(flows[place], expected, atol=1e-4)


def test_flow_follows_the_corners_of_a_turning_cube():
  solid = _turning_solid("cube", 3)
  rendering, flows = _render([solid], RIG)
  corner = np.array([[0.05, 0.05, 0.05]])
  num_seen = 0
  for view in range(3):
    pixels = cameras.project(
      solid.to_world(corner)[:, 0],
      RIG.intrinsics[view],
      RIG.camera_from_world[view],
    )
    matrix = RIG.camera_from_world[view]
    depths = solid.to_world(corner)[:, 0] @ matrix[2, :3] + matrix[2, 3]
    for time in range(4):
      x, y = np.rint(pixels[time]).astype(int)
      if abs(rendering.depths[view, time, y, x] - depths[time]) > 0.01:
        continue  # Hidden, or the pixel beside it.
      num_seen += 1
      found = flows[view, time, y, x]
      # A pixel is up to 0.71 px from the corner, of a cube 20 px wide: its
      # flow differs by that times the rotation of 0.3 a step, and perspective.
      expected = pixels[time + 1] - pixels[time]
      assert np.abs(found - expected).max() < 0.71 * 0.3 + 0.1
  assert num_seen >= 4


def test_flow_of_a_solid_that_is_gone_in_the_next_frame_is_zero():
  solid = dataclasses.replace(
    _turning_solid("cube", 0), first_frame=1, last_frame=2
  )
  rendering, flows = _render([solid], RIG)
  is_there = rendering.masks[:, :-1] == 1
  assert is_there[:, 1:3].any((2, 3)).all()
  assert flows[:, 1][is_there[:, 1]].any()
  assert not flows[:, 2].any()
