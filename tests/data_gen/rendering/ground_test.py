"""The ground against points projected onto it, and light by hand."""

import numpy as np
import pytest

from data_gen.rendering import cameras, colors, ground
from data_gen.rendering.rays import LIGHT, Solid

SIZE = 128
RIG = cameras.make_default_rig(SIZE)
LIT = colors.AMBIENT + (1 - colors.AMBIENT) * LIGHT[2]


def _solid(shape="cube", height=0.3, size=3.0):
  path = np.array([[0.05, -0.1, height]])
  return Solid(shape, size, path, np.eye(3)[None], np.ones(3))


def test_ground_is_lit_below_the_horizon_and_plain_above():
  flat = cameras.make_rig(
    np.array([[2.0, 0, 0.5]]),
    np.array([[0.0, 0, 0.5]]),
    np.array([np.radians(60)]),
    SIZE,
  )
  sky = np.array([0.1, 0.2, 0.6])
  image = ground.render_ground(flat, sky)[0]
  np.testing.assert_allclose(
    image[: SIZE // 2 - 1], np.broadcast_to(sky, (63, SIZE, 3))
  )
  np.testing.assert_allclose(
    image[SIZE // 2 + 1 :], np.broadcast_to(LIT * ground.COLOR, (63, SIZE, 3))
  )


def test_depth_of_the_ground_leads_to_its_height():
  depths = ground.ground_depths(RIG)
  assert (depths > 0).all()
  for view, (row, column) in [(0, (5, 9)), (1, (127, 0)), (2, (64, 100))]:
    ray = np.linalg.solve(RIG.intrinsics[view], [column, row, 1.0])
    point = ray * depths[view, row, column] - RIG.camera_from_world[view, :, 3]
    world = RIG.rotations[view].T @ point
    assert abs(world[2] - ground.HEIGHT_M) < 1e-9


@pytest.mark.parametrize("shape", ["cube", "cylinder", "cone"])
def test_shadow_lies_where_the_light_is_hidden(shape):
  """Points of the ground, with rays to the light through sampled points."""
  solid = _solid(shape)
  empty = ground.render_ground(RIG, np.zeros(3))
  images = ground.add_shadows(empty, [solid], RIG)[:, 0]
  factor = (images / empty)[..., 0]
  darkest = colors.AMBIENT / LIT
  # The solid's axis point, moved along the light to the ground, is in the
  # middle of the shadow; points farther than its reach and penumbra are lit.
  fall = (solid.trajectory[0, 2] - ground.HEIGHT_M) / LIGHT[2]
  middle = solid.trajectory[0] - fall * LIGHT
  reach = np.linalg.norm([0.05, 0.05, 0.1]) * solid.size / LIGHT[2]
  blur = ground.LIGHT_RADIUS * (fall + reach) / LIGHT[2]
  depths = ground.ground_depths(RIG)
  for view in range(3):
    x, y = cameras.project(
      middle, RIG.intrinsics[view], RIG.camera_from_world[view]
    )
    if not 0 <= min(x, y) <= max(x, y) < SIZE - 1:
      continue
    # Past the cone, 0.15 m wide there, a disc of 0.16 m shows at its rim: less
    # than a twentieth of the light, of which there is 0.55 to lose.
    assert factor[view, round(y), round(x)] == pytest.approx(darkest, abs=0.03)
    row, column = np.mgrid[:SIZE, :SIZE]
    pixels = np.stack([column, row, np.ones_like(row)], -1)
    rays = pixels @ np.linalg.inv(RIG.intrinsics[view]).T
    points = rays * depths[view][..., None] - RIG.camera_from_world[view, :, 3]
    world = points @ RIG.rotations[view]
    far = np.linalg.norm(world - middle, axis=-1) > reach + blur
    assert far.any() and not far.all()
    np.testing.assert_allclose(factor[view][far], 1)
  assert factor.min() >= darkest - 1e-9
  # Soft: there are pixels between full light and full shadow.
  assert ((factor > darkest + 0.1) & (factor < 0.9)).sum() > 20


def test_shadows_are_in_the_frames_of_a_solid_only():
  solid = Solid(
    "cube",
    3.0,
    np.array([[0.0, 0, 0.2]] * 3),
    np.stack([np.eye(3)] * 3),
    np.ones(3),
    first_frame=1,
    last_frame=1,
  )
  empty = ground.render_ground(RIG, np.zeros(3))
  images = ground.add_shadows(empty, [solid], RIG)
  np.testing.assert_array_equal(images[:, 0], empty)
  np.testing.assert_array_equal(images[:, 2], empty)
  assert (images[:, 1] < empty).any((1, 2, 3)).all()


def test_solids_that_reach_below_the_ground_are_told():
  assert ground.is_above(_solid(height=-0.34))
  assert not ground.is_above(_solid(height=-0.36))


def test_shadows_of_high_solids_have_wider_edges():
  """As wide as the light's disc is, seen through a pinhole at that height."""
  above = cameras.make_rig(
    np.array([[0.2, 0.0, 3.0]]), np.zeros((1, 3)), np.array([0.6]), 256
  )
  empty = ground.render_ground(above, np.zeros(3))
  darkest = colors.AMBIENT / LIT
  widths = []
  for height in (0.0, 0.8):
    solid = _solid(height=height, size=3.0)
    image = ground.add_shadows(empty, [solid], above)
    factor = (image[0, 0] / empty[0])[..., 0]
    is_edge = (factor > darkest + 0.03) & (factor < 0.97)
    is_dark = factor <= darkest + 0.03
    widths.append(is_edge.sum() / np.sqrt(is_dark.sum() + is_edge.sum()))
  # From the cube's middle the light falls 0.6 and 1.6 m along its slant, 2.6
  # times as far; the wide edge is also part of what it is divided by here.
  assert 1.4 < widths[1] / widths[0] < 2.6
  # Absolutely: 2 x 0.08 x 0.5 / 0.81 m of low light, four sides of 0.3 m.
  px_per_m = above.intrinsics[0, 0, 0] / 3.5
  low = 2 * ground.LIGHT_RADIUS * 0.5 / LIGHT[2] * px_per_m
  assert widths[0] == pytest.approx(4 * low, rel=0.4)
