"""Paths keep what defines their motion, whatever was drawn."""

import numpy as np
import pytest

from data_gen import schema
from data_gen.scenes import motions

NUM_FRAMES = 16
SEEDS = range(40)
SCALES = (0.5, 1.0)


def _paths(motion, **options):
  for seed in SEEDS:
    for scale in SCALES:
      rng = np.random.default_rng(seed)
      yield motions.draw_path(rng, motion, NUM_FRAMES, scale, **options), scale


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


def _speed_ratio(motion, usual, other):
  """Length of a path at another speed relative to the usual one."""
  lengths = [
    np.mean(
      [
        np.linalg.norm(np.diff(path, axis=0), axis=-1).sum()
        for path, _ in _paths(motion, is_ood_speed=is_ood)
      ]
    )
    for is_ood in (usual, other)
  ]
  return lengths[1] / lengths[0]


@pytest.mark.parametrize("motion", ["linear", "circular", "helical"])
def test_unseen_speeds_are_faster_turns_and_slower_lines(motion):
  ratio = _speed_ratio(motion, False, True)
  if motion == "linear":
    # Mean speeds 0.5 against 1.
    assert ratio == pytest.approx(0.5, abs=0.05)
  else:
    # 1.55 against 1; the rise of the helix does not change.
    assert ratio == pytest.approx(1.55, abs=0.12)


def test_helix_of_unseen_speed_turns_more_than_any_other():
  for path, _ in _paths("helical", is_ood_speed=True):
    centre, radius = _circle(path[:, :2])
    distances = np.linalg.norm(path[:, :2] - centre, axis=-1)
    np.testing.assert_allclose(distances, radius, atol=1e-6)
    # A step is up to 0.23 turns.
    assert 2.8 - 1e-6 <= _turns(path[:, :2], centre) <= 3.4 + 1e-6


def test_random_paths_are_smooth_and_all_different():
  paths = np.stack([path for path, _ in _paths(schema.RANDOM)])
  assert len(np.unique(paths[:, 0], axis=0)) == len(paths)
  # Three waves of amplitudes up to reach / k^1.5 and angular speeds of up to
  # 1.25 pi k: the second difference is below the sum of a (w / 15)^2.
  waves = np.arange(1, 4)
  bound = (waves**-1.5 * (1.25 * np.pi * waves / 15) ** 2).sum()
  second = np.abs(np.diff(paths, n=2, axis=1)).max((0, 1))
  assert (second <= bound * np.sqrt(2) * np.array([0.5, 0.5, 0.2])).all()
  # None of the other motions: neither straight nor of constant acceleration.
  for path in paths:
    third = np.abs(np.diff(path, n=3, axis=0)).max()
    assert third > 1e-5


def _flat_paths(motion):
  for path, scale in _paths(motion, preset="traj2d"):
    assert not path[:, 2].any()
    yield path[:, :2], scale


def test_flat_line_has_rank_one():
  for path, _ in _flat_paths("linear"):
    singular = np.linalg.svd(path - path.mean(0), compute_uv=False)
    assert singular[1] < 1e-6
    assert singular[0] > 0.1


def test_flat_circle_has_constant_radius():
  for path, scale in _flat_paths("circular"):
    centre, radius = _circle(path)
    distances = np.linalg.norm(path - centre, axis=-1)
    np.testing.assert_allclose(distances, radius, atol=1e-6)
    assert 0.24 * scale <= radius <= 0.36 * scale + 1e-9


def test_flat_parabola_has_constant_acceleration():
  for path, _ in _flat_paths("parabolic"):
    second = np.diff(path, n=2, axis=0)
    np.testing.assert_allclose(second, second[:1].repeat(14, 0), atol=1e-6)
    assert np.linalg.norm(second[0]) > 1e-3


def test_flat_sine_oscillates_about_an_even_progress():
  """In a frame along its heading: x = a s + b, and y'' = -w^2 (y - c)."""
  for path, _ in _flat_paths("sine"):
    # Four unknowns a step: p'' + w^2 (p - p0 - v s) = 0, linear in the rest
    # for the right w, which a search over speeds finds.
    s = np.linspace(0, 1, NUM_FRAMES)
    best = np.inf
    for speed in np.linspace(0.75, 1.25, 501):
      angle = 4 * np.pi * speed * s
      basis = np.stack([np.ones(16), s, np.sin(angle), np.cos(angle)], -1)
      residual = path - basis @ np.linalg.lstsq(basis, path, rcond=None)[0]
      best = min(best, np.abs(residual).max())
    # The grid of speeds is off by 1/2000 at most: 4 pi 0.2 / 2000 = 1.3e-3.
    assert best < 1.3e-3


@pytest.mark.parametrize("motion", ["linear", "circular", "sine", "parabolic"])
def test_flat_noise_and_places_stay_flat(motion):
  rng = np.random.default_rng(0)
  assert not motions.draw_noise(rng, 16, 0.006, "traj2d")[:, 2].any()
  assert motions.draw_place(rng, "traj2d")[2] == 0
  path = next(_flat_paths(motion))[0]
  flat = np.column_stack([path, np.zeros(16)])
  assert motions.is_within_bounds(0.5 * flat, "traj2d")
  assert not motions.is_within_bounds(flat + np.array([0.7, 0, 0]), "traj2d")
  assert not motions.is_within_bounds(flat + np.array([0, 0, 0.01]), "traj2d")
