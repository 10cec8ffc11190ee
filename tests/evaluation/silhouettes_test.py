"""Predicted centroids are those of rendered silhouettes."""

import dataclasses

import numpy as np
import pytest
import random_solids
from scipy.spatial import ConvexHull

from data_gen.rendering import cameras, rays, renderer, rotations, solids
from magvit3d.evaluation.metres.silhouettes import (
  KnownSolid,
  silhouette_offsets,
)

_RIG = random_solids.RIG
_SIZE = random_solids.SIZE


def _known(shape, seed, num_frames=4, size=3.0):
  """A known solid, and the same one as the renderer takes it."""
  rng = np.random.default_rng(seed)
  orientation = np.stack(
    [rotations.random_quaternion(rng) for _ in range(num_frames)]
  )
  solid = dataclasses.replace(
    random_solids.make_solid(shape, seed, num_frames, size),
    rotations=rotations.matrix_from_quaternion(orientation),
  )
  return KnownSolid(shape, size, orientation), solid


def _offsets(known, positions, rig=_RIG):
  shape = (rig.image_size, rig.image_size)
  return silhouette_offsets(
    known, positions, rig.intrinsics, rig.camera_from_world, shape
  )


def _origins(positions, rig=_RIG):
  pairs = zip(rig.intrinsics, rig.camera_from_world, strict=True)
  return np.stack([cameras.project(positions, *pair) for pair in pairs])


def _measured(solid, rig=_RIG, factor=4):
  """Centroids of silhouettes, by rays through a grid `factor` times as fine."""
  size = rig.image_size
  steps = (np.arange(size * factor) + 0.5) / factor - 0.5
  cast_rays = rays.make_rays(solid, rig)
  count = len(cast_rays.low)
  grid = np.tile(steps, (count, 1))
  hits = rays.cast_grid(solid, cast_rays, np.arange(count), grid, grid).is_hit
  total = np.maximum(hits.sum((1, 2)), 1)  # Some are out of sight.
  x = hits.sum(1) @ steps / total
  y = hits.sum(2) @ steps / total
  return np.stack([x, y], -1).reshape(len(rig.intrinsics), -1, 2)


@pytest.mark.parametrize("shape", ["cube", "cylinder", "cone"])
def test_prediction_is_the_centroid_of_the_cast_silhouette(shape):
  known, solid = _known(shape, seed=1)
  found = _origins(solid.trajectory) + _offsets(known, solid.trajectory)
  # Rays a quarter of a pixel apart: each of the rim's about 400 is off by less
  # than 1/8 px, at 15 px from the middle of 5000: 20 * 1/8 * 15 / 5000.
  np.testing.assert_allclose(found, _measured(solid), atol=0.02)


@pytest.mark.parametrize("shape", ["cube", "cylinder", "cone"])
def test_prediction_is_that_of_the_exact_hull(shape):
  known, solid = _known(shape, seed=2)
  found = _origins(solid.trajectory) + _offsets(known, solid.trajectory)
  points = solid.to_world(solids.outline_points(shape))
  pairs = zip(_RIG.intrinsics, _RIG.camera_from_world, strict=True)
  for view, pair in enumerate(pairs):
    for time, pixels in enumerate(cameras.project(points, *pair)):
      corners = pixels[ConvexHull(pixels).vertices]
      following = np.roll(corners, -1, axis=0)
      double = corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]
      moments = ((corners + following) * double[:, None]).sum(0)
      expected = moments / (3 * double.sum())
      np.testing.assert_allclose(found[view, time], expected, atol=0.01)


@pytest.mark.parametrize("shape", ["cube", "cylinder", "cone"])
def test_silhouette_is_cut_by_the_edge_of_the_image(shape):
  """Also in a corner, where two edges cut it."""
  known, solid = _known(shape, seed=3, num_frames=3)
  path = np.array([[0.0, 0.9, 0.1], [0.2, -0.95, 0.0], [0.95, 0.85, -0.05]])
  solid = dataclasses.replace(solid, trajectory=path)
  masks = renderer.render([solid], _RIG, random_solids.BLACK).masks > 0
  on_edge = masks.copy()
  on_edge[:, :, 1:-1, 1:-1] = False
  # A sliver has too few rays to compare with.
  is_cut = on_edge.any((2, 3)) & (masks.sum((2, 3)) >= 60)
  assert is_cut.sum() >= 3
  found = _origins(path) + _offsets(known, path)
  expected = _measured(solid)
  np.testing.assert_allclose(found[is_cut], expected[is_cut], atol=0.03)


def test_there_is_no_offset_where_nothing_is_seen():
  known, _ = _known("cube", seed=4, num_frames=3)
  # Behind the first camera; out of its image; and nowhere.
  path = np.array([[3.0, 0, 1.5], [0, 5.0, 0], [np.nan] * 3])
  assert np.isnan(_offsets(known, path)[0]).all()


def test_sphere_like_symmetry_gives_nearly_no_offset_far_away():
  """A cube's silhouette from afar has point symmetry about its origin."""
  rig = cameras.make_rig(
    np.array([[200.0, 0, 0]]), np.zeros((1, 3)), np.array([0.01]), _SIZE
  )
  known, _ = _known("cube", seed=5)
  offsets = _offsets(known, np.zeros((4, 3)), rig)
  # Perspective: size / distance = 0.3 / 200 of the silhouette's 20 px.
  np.testing.assert_allclose(offsets, 0, atol=0.03)
