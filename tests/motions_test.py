"""Paths keep what defines their motion, whatever was drawn."""

import numpy as np
import pytest

from data_gen import motions, schema

NUM_FRAMES = 16
SEEDS = range(40)
SCALES = (0.5, 1.0)


def _paths(motion):
  for seed in SEEDS:
    for scale in SCALES:
      rng = np.random.default_rng(seed)
      yield motions.draw_path(rng, motion, NUM_FRAMES, scale), scale


def _circle(points):
  """Least-squares circle: centre and radius, by linear equations."""
  system = np.column_stack([2 * points, np.ones(len(points))])
  solution = np.linalg.lstsq(system, (points**2).sum(-1), rcond=None)[0]
  centre = solution[:2]
  return centre, np.sqrt(solution[2] + centre @ centre)


def _turns(points, centre):
  angles = np.unwrap(np.arctan2(*(points - centre).T[::-1]))
  return abs(angles[-1] - angles[0]) / (2 * np.pi)


def test_line_has_rank_one():
  for path, scale in _paths("linear"):
    singular = np.linalg.svd(path - path.mean(0), compute_uv=False)
    assert singular[1] < 1e-6
    assert singular[0] > 0.3 * scale


def test_circle_has_constant_radius_and_height():
  for path, scale in _paths("circular"):
    centre, radius = _circle(path[:, :2])
    distances = np.linalg.norm(path[:, :2] - centre, axis=-1)
    np.testing.assert_allclose(distances, radius, atol=1e-6)
    np.testing.assert_allclose(path[:, 2], path[0, 2], atol=1e-6)
    assert 0.24 * scale <= radius <= 0.36 * scale + 1e-9


def test_helix_climbs_evenly_for_at_least_one_and_a_half_turns():
  for path, _ in _paths("helical"):
    centre, radius = _circle(path[:, :2])
    distances = np.linalg.norm(path[:, :2] - centre, axis=-1)
    np.testing.assert_allclose(distances, radius, atol=1e-6)
    np.testing.assert_allclose(np.diff(path[:, 2], n=2), 0, atol=1e-6)
    assert abs(path[-1, 2] - path[0, 2]) > 0.1
    assert _turns(path[:, :2], centre) >= 1.5 - 1e-6


def test_parabola_has_constant_acceleration_and_a_visible_sagitta():
  for path, scale in _paths("parabolic"):
    second = np.diff(path, n=2, axis=0)
    np.testing.assert_allclose(second, second[:1].repeat(14, 0), atol=1e-6)
    s = np.linspace(0, 1, NUM_FRAMES)
    # Least height of the parabola itself, which no frame may hit.
    fit = np.polyfit(s, path[:, 2], 2)
    lowest = np.polyval(fit, -fit[1] / (2 * fit[0]))
    assert (path[0, 2] + path[-1, 2]) / 2 - lowest >= 0.1 * scale


@pytest.mark.parametrize("motion", schema.PRESETS["traj3d"].motions)
def test_paths_differ_in_heading_and_direction(motion):
  paths = np.stack([path for path, _ in _paths(motion)])
  headings = paths[:, 1] - paths[:, 0]
  angles = np.arctan2(headings[:, 1], headings[:, 0])
  assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() >= 5


def test_noise_is_off_at_zero_and_in_a_fifth_of_the_scenes():
  assert not motions.draw_noise(np.random.default_rng(0), 16, 0.0).any()
  sigmas = np.array(
    [
      motions.draw_noise(np.random.default_rng(seed), 400, 0.006).std()
      for seed in range(300)
    ]
  )
  # Three binomial standard deviations are 0.07; a sigma's error is 0.03 of it.
  assert abs((sigmas == 0).mean() - 0.2) < 0.07
  noisy = sigmas[sigmas > 0]
  assert noisy.min() > 0.002 * 0.9
  assert noisy.max() < 0.006 * 1.1
