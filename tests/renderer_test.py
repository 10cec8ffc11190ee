"""Rendered pixels against points on the solids, projected independently."""

import numpy as np
import pytest
import scipy.spatial

from data_gen import cameras, colors, renderer, rotations, schema

SIZE = 128
RIG = cameras.make_default_rig(SIZE)
COLOR = np.array([1.0, 0.6, 0.3])
BLACK = np.zeros(3)


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


def _make_solid(shape, seed, num_frames=4, size=3.0):
  rng = np.random.default_rng(seed)
  quaternions = np.stack(
    [rotations.random_quaternion(rng) for _ in range(num_frames)]
  )
  return renderer.Solid(
    shape=shape,
    size=size,
    trajectory=rng.uniform(-0.3, 0.3, (num_frames, 3)),
    rotations=rotations.matrix_from_quaternion(quaternions),
    color=COLOR,
  )


def _hull_mask(pixels):
  """Which pixel centres lie in the convex hull of points (N, 2)."""
  equations = scipy.spatial.ConvexHull(pixels).equations
  y, x = np.mgrid[:SIZE, :SIZE]
  grid = np.stack([x, y, np.ones_like(x)], -1)
  return (grid @ equations.T <= 0).all(-1)


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
@pytest.mark.parametrize("view", range(3))
def test_mask_is_the_hull_of_projected_surface_points(shape, view):
  solid = _make_solid(shape, seed=view)
  _, masks = renderer.render(solid, RIG, BLACK)
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
    solid = _make_solid(shape, seed, num_frames=16, size=1 + seed / 6)
    adaptive, masks = renderer.render(solid, RIG, BLACK)
    full, full_masks = renderer.render(solid, RIG, BLACK, is_adaptive=False)
    np.testing.assert_array_equal(masks, full_masks)
    difference = np.abs(adaptive.astype(int) - full).max(-1)
    num_different += (difference > 1).sum()
    num_pixels += difference.size
  assert num_pixels > 9e6
  assert num_different <= 1e-5 * num_pixels


def test_faces_of_a_cube_are_shaded_by_lamberts_law():
  solid = renderer.Solid("cube", 5.0, np.zeros((1, 3)), np.eye(3)[None], COLOR)
  frames, _ = renderer.render(solid, RIG, BLACK)
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
  solid = renderer.Solid(
    "cube", 3.0, np.zeros((1, 3)), np.eye(3)[None], np.array([1.0, 0, 0])
  )
  frames, masks = renderer.render(solid, RIG, background)
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
    rotation = _make_solid(shape, 0, num_frames=3).rotations
    solid = renderer.Solid(shape, 4.0, trajectory, rotation, COLOR)
    frames, masks = renderer.render(solid, RIG, BLACK)
    wide_frames, wide_masks = renderer.render(solid, wide, BLACK)
    middle = (slice(None), slice(None), slice(64, 192), slice(64, 192))
    np.testing.assert_array_equal(masks, wide_masks[middle])
    assert wide_masks.sum() > masks.sum()
    np.testing.assert_allclose(frames.astype(int), wide_frames[middle], atol=1)


def test_object_out_of_sight_leaves_the_background():
  solid = renderer.Solid(
    "cone", 1.0, np.full((1, 3), 1.9), np.eye(3)[None], COLOR
  )
  frames, masks = renderer.render(solid, RIG, np.array([0.2, 0.4, 0.6]))
  assert not masks.any()
  assert (frames == np.array([51, 102, 153])).all()


def test_every_drawn_color_stays_visible_in_every_shade():
  for seed in range(200):
    rng = np.random.default_rng(seed)
    color = colors.draw_color(rng, BLACK, num_colors=0)
    for shade in np.linspace(colors.AMBIENT, 1, 7):
      assert np.rint(shade * color * 255).max() >= 40


@pytest.mark.parametrize("num_colors", [1, 4, 24])
def test_palette_is_visible_saturated_and_distinct(num_colors):
  palette = colors.make_palette(num_colors)
  assert all(colors.is_visible(color, BLACK) for color in palette)
  assert (palette.min(-1) == 0).all()
  assert (palette.max(-1) == 1).all()
  assert len(np.unique(palette.round(3), axis=0)) == num_colors
