"""Insides, points and hits of the solids and figures agree."""

import numpy as np
import pytest
import scipy.spatial

from data_gen import schema
from data_gen.rendering import rotations, solids
from data_gen.rendering.rays import Solid
from data_gen.scenes import objects

SHAPES = schema.PRESETS["traj3d"].shapes
FIGURES = schema.PRESETS["traj2d"].shapes


@pytest.mark.parametrize("shape", SHAPES)
def test_inside_is_the_hull_of_the_outline(shape):
  """Except near the round rims, of which the outline is a polygon."""
  points = np.random.default_rng(0).uniform(-0.12, 0.12, (20_000, 3))
  outline = solids.outline_points(shape, 400)
  hull = scipy.spatial.Delaunay(outline).find_simplex(points) >= 0
  found = solids.contains(shape, points)
  assert found.sum() > 500
  # A polygon of 400 corners lies within 3e-5 of its circle in area.
  assert (found != hull).mean() < 1e-3
  assert not (hull & ~found).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_inner_points_are_inside_and_reach_the_surface(shape):
  points = solids.inner_points(shape)
  assert solids.contains(shape, points * (1 - 1e-9)).all()
  outside = ~solids.contains(shape, points * (1 + 1e-6))
  assert outside.sum() > 20
  np.testing.assert_allclose(
    np.abs(points).max(0), np.abs(solids.outline_points(shape, 12)).max(0)
  )


@pytest.mark.parametrize("shape", FIGURES)
def test_figures_are_hit_inside_their_outline(shape):
  """Rays straight down, against the convex hull of the outline."""
  points = np.random.default_rng(0).uniform(-0.2, 0.2, (5000, 2))
  origins = [points[:, 0], points[:, 1], np.full(5000, -1.0)]
  hits = solids.cast(shape, origins, [0.0, 0.0, np.ones(5000)], None)
  outline = solids.outline_points(shape, 400)[:, :2]
  hull = scipy.spatial.Delaunay(outline).find_simplex(points) >= 0
  assert (hits.is_hit != hull).mean() < 2e-3
  np.testing.assert_allclose(hits.distance[hits.is_hit], 1)
  area = hits.is_hit.mean() * 0.16
  expected = {
    "square": 0.04,
    "circle": np.pi * 0.15**2,
    "triangle": np.sqrt(3) / 4 * 0.04,
  }[shape]
  # Three standard deviations of a share of 5000 points.
  assert abs(area - expected) < 3 * 0.16 * np.sqrt(0.25 / 5000)


def _solid(shape, position, size=2.0, **lifetime):
  rotation = rotations.matrix_from_quaternion(np.array([[1.0, 0, 0, 0]] * 4))
  path = np.tile(position, (4, 1)).astype(float)
  return Solid(shape, size, path, rotation, np.ones(3), **lifetime)


def test_solids_that_overlap_touch_and_others_do_not():
  cube = _solid("cube", [0, 0, 0])  # Its sides are 0.2 m.
  assert objects.do_touch(cube, _solid("cube", [0.15, 0, 0]))
  assert not objects.do_touch(cube, _solid("cube", [0.25, 0, 0]))
  # A cylinder through the cube, with both ends outside.
  assert objects.do_touch(cube, _solid("cylinder", [0, 0, 0.1], size=4.0))
  assert objects.do_touch(_solid("cylinder", [0, 0, 0.1], size=4.0), cube)
  # The slanted side of the cone leaves room beside its apex.
  cone = _solid("cone", [0, 0, 0])
  beside = _solid("cube", [0.1, 0, 0.2], size=1.0)
  assert not objects.do_touch(cone, beside)
  assert objects.do_touch(
    _solid("cylinder", [0, 0, 0]), _solid("cube", [0.1, 0, 0.2], size=1.0)
  )


def test_solids_of_different_frames_never_touch():
  early = _solid("cube", [0, 0, 0], first_frame=0, last_frame=1)
  late = _solid("cube", [0, 0, 0], first_frame=2, last_frame=3)
  assert not objects.do_touch(early, late)
  assert objects.do_touch(early, _solid("cube", [0, 0, 0]))
