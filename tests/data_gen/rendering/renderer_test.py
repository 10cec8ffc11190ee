"""Rendered pixels against points on the solids, projected independently."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial
from random_solids import BLACK, COLOR, RIG, SIZE, make_solid

from data_gen import schema
from data_gen.rendering import cameras, colors, renderer
from data_gen.rendering.rays import Solid


def _surface_points(shape, num_points, rng):
  """Samples the surface, and adds rims and corners, at scale 1."""
  angle = rng.uniform(0, 2 * np.pi, num_points)
  height = rng.uniform(-0.1, 0.1, num_points)
  if shape == "cube":
    points = rng.uniform(-0.05, 0.05, (num_points, 3))
    points[: num_points // 2] = np.sign(points[: num_points // 2]) * 0.05
    return points
  if shape == "cone":
    height[0] = 0.1
    height[1 : num_points // 2] = -0.1
    radius = 0.05 * (0.1 - height) / 0.2
  else:
    height = np.where(rng.random(num_points) < 0.5, -0.1, 0.1)
    radius = 0.05
  return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], -1)


def _render(solid, rig, background, **options):
  """Returns frames and masks of a scene of one solid."""
  rendering = renderer.render([solid], rig, background, **options)
  return rendering.frames, rendering.masks


def _hull_mask(pixels):
  """Which pixel centres lie in the convex hull of points (N, 2)."""
  equations = scipy.spatial.ConvexHull(pixels).equations
  y, x = np.mgrid[:SIZE, :SIZE]
  grid = np.stack([x, y, np.ones_like(x)], -1)
  return (grid @ equations.T <= 0).all(-1)


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
@pytest.mark.parametrize("view", range(3))
def test_mask_is_the_hull_of_projected_surface_points(shape, view):
  solid = make_solid(shape, seed=view)
  masks = renderer.render([solid], RIG, BLACK).masks
  rng = np.random.default_rng(0)
  local = _surface_points(shape, 1000, rng) * solid.size
  for frame, mask in enumerate(masks[view].astype(bool)):
    points = local @ solid.rotations[frame].T + solid.trajectory[frame]
    in_camera = points @ RIG.camera_from_world[view, :, :3].T
    in_camera = in_camera + RIG.camera_from_world[view, :, 3]
    homogeneous = in_camera @ RIG.intrinsics[view].T
    expected = _hull_mask(homogeneous[:, :2] / homogeneous[:, 2:])
    assert expected.sum() > 100
    assert (mask & expected).sum() / (mask | expected).sum() >= 0.98
    centroids = [np.argwhere(m).mean(0) for m in (mask, expected)]
    assert np.abs(centroids[0] - centroids[1]).max() < 0.5


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
def test_adaptive_sampling_matches_nine_rays_everywhere(shape):
  num_different = num_pixels = 0
  for seed in range(12):
    solid = make_solid(shape, seed, num_frames=16, size=1 + seed / 6)
    adaptive, masks = _render(solid, RIG, BLACK)
    full, full_masks = _render(solid, RIG, BLACK, is_adaptive=False)
    np.testing.assert_array_equal(masks, full_masks)
    difference = np.abs(adaptive.astype(int) - full).max(-1)
    num_different += (difference > 1).sum()
    num_pixels += difference.size
  assert num_pixels > 9e6
  assert num_different <= 1e-5 * num_pixels


@pytest.mark.variants
@pytest.mark.parametrize("image_size", [32, 64])
def test_adaptive_sampling_matches_nine_rays_in_small_images(image_size):
  """There the shade of round solids bends within few pixels."""
  rig = cameras.make_default_rig(image_size)
  num_different = num_pixels = 0
  for seed in range(24):
    for shape in ("cylinder", "cone"):
      solid = dataclasses.replace(
        make_solid(shape, seed, num_frames=16, size=2 + seed / 6),
        color=np.ones(3),
      )
      adaptive, masks = _render(solid, rig, BLACK)
      full, full_masks = _render(solid, rig, BLACK, is_adaptive=False)
      np.testing.assert_array_equal(masks, full_masks)
      difference = np.abs(adaptive.astype(int) - full).max(-1)
      num_different += (difference > 1).sum()
      num_pixels += difference.size
  assert num_pixels > 2e6
  assert num_different <= 1e-5 * num_pixels


def test_faces_of_a_cube_are_shaded_by_lamberts_law():
  solid = Solid("cube", 5.0, np.zeros((1, 3)), np.eye(3)[None], COLOR)
  frames, _ = _render(solid, RIG, BLACK)
  light = np.array([0.3, 0.5, 0.8]) / np.sqrt(0.98)
  for view, normal in enumerate(np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0]])):
    for face in (normal, np.array([0, 0, 1])):
      x, y = cameras.project(
        face * 0.25, RIG.intrinsics[view], RIG.camera_from_world[view]
      )
      shade = 0.4 + 0.6 * max(0, face @ light)
      found = frames[view, 0, round(y), round(x)]
      np.testing.assert_array_equal(found, np.rint(shade * COLOR * 255))


def test_edge_pixels_mix_object_and_background():
  background = np.array([0.0, 0.0, 1.0])
  solid = Solid(
    "cube", 3.0, np.zeros((1, 3)), np.eye(3)[None], np.array([1.0, 0, 0])
  )
  frames, masks = _render(solid, RIG, background)
  pure = (frames[..., 0] == 0) | (frames[..., 2] == 0)
  is_edge = ~pure
  assert is_edge.any()
  # Coverage, hence blue, is a multiple of a ninth.
  ninths = frames[..., 2][is_edge] / 255 * 9
  np.testing.assert_allclose(ninths, np.rint(ninths), atol=9 / 255)
  assert (frames[masks == 0][:, 2] > 0).all()


def test_object_across_the_edge_of_the_image_is_cut_off_cleanly():
  """A camera with twice the image sees the same in its middle."""
  wide = cameras.Cameras(
    RIG.intrinsics + np.array([[0, 0, 64], [0, 0, 64], [0, 0, 0.0]]),
    RIG.camera_from_world,
    2 * SIZE,
  )
  trajectory = np.array([[0, 0.85, 0], [0.0, -0.85, 0.1], [1.0, 0, -0.5]])
  for shape in schema.PRESETS["traj3d"].shapes:
    rotation = make_solid(shape, 0, num_frames=3).rotations
    solid = Solid(shape, 4.0, trajectory, rotation, COLOR)
    frames, masks = _render(solid, RIG, BLACK)
    wide_frames, wide_masks = _render(solid, wide, BLACK)
    middle = (slice(None), slice(None), slice(64, 192), slice(64, 192))
    np.testing.assert_array_equal(masks, wide_masks[middle])
    assert wide_masks.sum() > masks.sum()
    np.testing.assert_allclose(frames.astype(int), wide_frames[middle], atol=1)


def test_object_out_of_sight_leaves_the_background():
  solid = Solid("cone", 1.0, np.full((1, 3), 1.9), np.eye(3)[None], COLOR)
  frames, masks = _render(solid, RIG, np.array([0.2, 0.4, 0.6]))
  assert not masks.any()
  assert (frames == np.array([51, 102, 153])).all()


def test_every_drawn_color_stays_visible_in_every_shade():
  for seed in range(200):
    rng = np.random.default_rng(seed)
    color = colors.draw_color(rng, BLACK[None], num_colors=0)
    for shade in np.linspace(colors.AMBIENT, 1, 7):
      assert np.rint(shade * color * 255).max() >= 40


@pytest.mark.parametrize("num_colors", [1, 4, 24])
def test_palette_is_visible_saturated_and_distinct(num_colors):
  palette = colors.make_palette(num_colors)
  assert all(colors.is_visible(color, BLACK[None]) for color in palette)
  assert (palette.min(-1) == 0).all()
  assert (palette.max(-1) == 1).all()
  assert len(np.unique(palette.round(3), axis=0)) == num_colors


def _distance_to_surface(shape, points):
  """How far points (N, 3) near a solid's surface are off it, at scale 1."""
  x, y, z = np.abs(points[:, 0]), np.abs(points[:, 1]), points[:, 2]
  if shape == "cube":
    return np.abs(np.maximum(np.maximum(x, y), np.abs(z)) - 0.05)
  radius = np.hypot(x, y)
  if shape == "cylinder":
    return np.abs(np.maximum(radius - 0.05, np.abs(z) - 0.1))
  # Distance to the slanted line from the apex to the rim, and to the base.
  slanted = (radius - (0.1 - z) / 4) / np.sqrt(1 + 1 / 16)
  return np.abs(np.maximum(slanted, -0.1 - z))


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
def test_depth_leads_to_the_near_side_of_the_surface(shape):
  solid = make_solid(shape, seed=3, num_frames=6)
  rendering = renderer.render([solid], RIG, BLACK, with_depths=True)
  assert not rendering.depths[rendering.masks == 0].any()
  for view in range(3):
    for frame in range(6):
      row, column = np.nonzero(rendering.masks[view, frame])
      depth = rendering.depths[view, frame, row, column].astype(float)
      pixels = np.stack([column, row, np.ones_like(row)])
      in_camera = np.linalg.solve(RIG.intrinsics[view], pixels) * depth
      matrix = RIG.camera_from_world[view]
      world = (in_camera.T - matrix[:, 3]) @ matrix[:, :3]
      local = (world - solid.trajectory[frame]) @ solid.rotations[frame]
      # Metres, as the solid is three times the one at scale 1.
      off = 3 * _distance_to_surface(shape, local / 3)
      assert off.max() < 1e-4
      # Nothing of the solid is nearer: the ray up to there is outside.
      for share in (0.7, 0.9, 0.97, 0.99, 0.999):
        before = RIG.positions[view] * (1 - share) + world * share
        before = (before - solid.trajectory[frame]) @ solid.rotations[frame]
        assert _signed_inside(shape, before / 3).max() < 1e-6


def _signed_inside(shape, points):
  """Positive inside a solid at scale 1, negative outside."""
  x, y, z = np.abs(points[:, 0]), np.abs(points[:, 1]), points[:, 2]
  if shape == "cube":
    return 0.05 - np.maximum(np.maximum(x, y), np.abs(z))
  radius = np.hypot(x, y)
  limit = 0.05 if shape == "cylinder" else (0.1 - z) / 4
  return np.minimum(limit - radius, 0.1 - np.abs(z))


def test_disparity_of_parallel_cameras_is_baseline_by_depth():
  """The front of a cube, moved by whole pixels between two cameras."""
  matrix = cameras.look_at(np.array([2.0, 0, 0]), np.zeros(3))
  intrinsics = cameras.make_intrinsics(SIZE, np.radians(45))
  depth = 2.0 - 0.2
  disparity_px = 7
  baseline = disparity_px * depth / intrinsics[0, 0]
  moved = matrix.copy()
  moved[0, 3] -= baseline
  pair = cameras.Cameras(
    np.stack([intrinsics] * 2), np.stack([matrix, moved]), SIZE
  )
  solid = Solid(
    "cube", 4.0, np.array([[0, 0.013, 0.017]]), np.eye(3)[None], COLOR
  )
  rendering = renderer.render([solid], pair, BLACK, with_depths=True)
  is_front = np.abs(rendering.depths[:, 0] - depth) < 1e-6
  assert is_front[0].sum() > 500
  np.testing.assert_array_equal(
    is_front[1], np.roll(is_front[0], -disparity_px, axis=1)
  )


def test_background_images_are_kept_where_no_solid_is():
  background = np.random.default_rng(0).uniform(size=(3, 4, SIZE, SIZE, 3))
  solid = make_solid("cylinder", 0)
  found = renderer.render([solid], RIG, background)
  plain = renderer.render([solid], RIG, BLACK)
  near = scipy.ndimage.binary_dilation(plain.masks, np.ones((1, 1, 3, 3)))
  np.testing.assert_array_equal(
    found.frames[~near], np.rint(background * 255)[~near]
  )
  inner = scipy.ndimage.binary_erosion(plain.masks, np.ones((1, 1, 3, 3)))
  np.testing.assert_array_equal(found.frames[inner], plain.frames[inner])


def test_image_of_one_color_is_the_same_as_that_color():
  color = np.array([0.2, 0.4, 0.6])
  image = np.broadcast_to(color, (3, 4, SIZE, SIZE, 3))
  scene = [make_solid("cone", 0), make_solid("cube", 1)]
  np.testing.assert_array_equal(
    renderer.render(scene, RIG, image).frames,
    renderer.render(scene, RIG, color).frames,
  )
