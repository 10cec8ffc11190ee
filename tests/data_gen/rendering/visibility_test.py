"""The share of a silhouette inside the image, against clipped polygons."""

import numpy as np
import pytest
import scipy.spatial

from data_gen import schema
from data_gen.rendering import cameras, renderer, rotations, solids, visibility
from data_gen.rendering.rays import Solid, make_rays
from data_gen.scenes import scenes
from data_gen.scenes.options import DatasetOptions

RIG = cameras.make_default_rig(128)


def _clipped_fraction(points, low, high):
  """Area share of a hull inside a square, by Sutherland and Hodgman."""
  hull = points[scipy.spatial.ConvexHull(points).vertices]

  def area(polygon):
    x, y = polygon.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

  polygon = hull
  for axis, sign, limit in [
    (0, 1, low),
    (1, 1, low),
    (0, -1, -high),
    (1, -1, -high),
  ]:
    kept = []
    for a, b in zip(polygon, np.roll(polygon, -1, 0), strict=True):
      da, db = sign * a[axis] - limit, sign * b[axis] - limit
      if da >= 0:
        kept.append(a)
      if da * db < 0:
        kept.append(a + (b - a) * da / (da - db))
    if len(kept) < 3:
      return 0.0
    polygon = np.array(kept)
  return area(polygon) / area(hull)


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
@pytest.mark.parametrize(
  ("grid_size", "largest_error"),
  [
    (visibility.COARSE_GRID, visibility.COARSE_ERROR),
    (visibility.FINE_GRID, visibility.FINE_ERROR),
  ],
)
def test_fraction_agrees_with_clipped_polygons(shape, grid_size, largest_error):
  rng = np.random.default_rng(0)
  num_frames = 60
  solid = Solid(
    shape=shape,
    size=4.0,
    trajectory=rng.uniform(-1, 1, (num_frames, 3)) * [0.9, 0.9, 0.5],
    rotations=rotations.matrix_from_quaternion(
      np.stack([rotations.random_quaternion(rng) for _ in range(num_frames)])
    ),
    color=np.ones(3),
  )
  found = visibility.visible_fractions(
    (solid, make_rays(solid, RIG)), [], RIG.image_size, grid_size=grid_size
  ).reshape(3, num_frames)
  local = solids.outline_points(shape, num_rim_points=256) * solid.size
  num_cut = 0
  for view in range(3):
    for frame in range(num_frames):
      points = local @ solid.rotations[frame].T + solid.trajectory[frame]
      pixels = cameras.project(
        points, RIG.intrinsics[view], RIG.camera_from_world[view]
      )
      expected = _clipped_fraction(pixels, -0.5, 127.5)
      num_cut += 0 < expected < 1
      assert abs(found[view, frame] - expected) <= largest_error
  assert num_cut > 30


def test_scenes_keep_half_of_the_silhouette_inside_every_image():
  """Counted in an image three times as wide around the one of the scene."""
  options = DatasetOptions(
    num_train=36, image_size=64, num_frames=6, size_min=3.0, size_max=5.0
  )
  size, num_cut = options.image_size, 0
  for index in range(options.num_train):
    scene = scenes.make_scene(options, "train", index)
    shift = np.array([[0, 0, size], [0, 0, size], [0, 0, 0.0]])
    wide = cameras.Cameras(
      scene["intrinsics"] + shift, scene["camera_from_world"], 3 * size
    )
    solid = Solid(
      schema.PRESETS["traj3d"].shapes[scene["shape"]],
      scene["size"],
      scene["trajectory"],
      rotations.matrix_from_quaternion(scene["orientation"]),
      scene["color"],
    )
    masks = renderer.render([solid], wide, scene["background"]).masks
    counts = masks.sum((2, 3), dtype=int)
    inside = scene["masks"].sum((2, 3), dtype=int)
    num_cut += (inside < counts).sum()
    # The threshold is 0.5; counting pixels is off by less than 0.03 here.
    assert (inside / counts).min() >= 0.47
  assert num_cut > 10


@pytest.mark.parametrize("shape", schema.PRESETS["traj3d"].shapes)
def test_hidden_share_agrees_with_fine_pixels(shape):
  """A cube before the solid, in an image of 1024 pixels."""
  rng = np.random.default_rng(1)
  num_frames = 12
  turns = [rotations.random_quaternion(rng) for _ in range(num_frames)]
  hidden, hiding = (
    Solid(
      name,
      2.0,
      rng.uniform(-0.12, 0.12, (num_frames, 3)),
      rotations.matrix_from_quaternion(np.stack(turns)),
      np.ones(3),
    )
    for name in (shape, "cube")
  )
  cast = [(solid, make_rays(solid, RIG)) for solid in (hidden, hiding)]
  found = visibility.visible_fractions(cast[0], cast[1:], RIG.image_size)
  coarse = visibility.visible_fractions(
    cast[0], cast[1:], RIG.image_size, grid_size=visibility.COARSE_GRID
  )
  fine = cameras.make_default_rig(1024)
  both = renderer.render([hidden, hiding], fine, np.zeros(3)).masks == 1
  alone = renderer.render([hidden], fine, np.zeros(3)).masks == 1
  expected = (both.sum((2, 3)) / alone.sum((2, 3))).ravel()
  assert 0.1 < expected.min() < 0.6 and (expected < 1).sum() > 15
  assert np.abs(found - expected).max() <= visibility.FINE_ERROR
  assert np.abs(coarse - expected).max() <= visibility.COARSE_ERROR
