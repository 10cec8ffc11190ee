"""The attention probe learns what cells tell, and nothing where they do not."""

import numpy as np
import pytest

from magvit3d.evaluation.probing.attention import Targets, TrainedProbe

_GRID = (2, 2, 4, 4)
_NUM_CELLS = 64


def _scenes(seed, count):
  """In one cell of each frame is a mark, whose kind is the class."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(3, size=count)
  cells = rng.normal(0, 0.3, (count, 4, 16, 5)).astype(np.float16)
  places = rng.integers(16, size=count)
  for i in range(count):
    cells[i, :, places[i], labels[i]] += 3
  place = np.stack(np.divmod(places, 4), axis=1).astype(float)
  return cells.reshape(count, _NUM_CELLS, 5), labels, place


@pytest.fixture(scope="module")
def probe():
  cells, labels, places = _scenes(0, 200)
  other_cells, other_labels, other_places = _scenes(1, 60)
  return TrainedProbe(
    cells,
    _GRID,
    Targets({"kind": labels}, {"place": places}),
    {"kind": 3},
    validation=(
      other_cells,
      Targets({"kind": other_labels}, {"place": other_places}),
    ),
    num_steps=150,
    seed=0,
  )


def test_a_probe_learns_class_and_place(probe):
  cells, labels, places = _scenes(2, 100)
  found = probe(cells)
  assert found["kind"].shape == (100, 3) and found["place"].shape == (100, 2)
  assert np.mean(found["kind"].argmax(1) == labels) > 0.9
  error = np.linalg.norm(found["place"] - places, axis=1).mean()
  always_mean = np.linalg.norm(places - places.mean(0), axis=1).mean()
  assert error < always_mean / 3


def test_answers_do_not_depend_on_the_batch(probe):
  cells, _, _ = _scenes(2, 40)
  whole, part = probe(cells), probe(cells[33:35])
  for name in whole:
    np.testing.assert_allclose(part[name], whole[name][33:35], rtol=1e-5)
  np.testing.assert_allclose(
    probe.features(cells[33:35]), probe.features(cells)[33:35], rtol=1e-4
  )


def test_shuffled_labels_give_chance():
  """Sixty marks in three classes: shuffled, a guess for each mark."""
  rng = np.random.default_rng(0)

  def scenes(count):
    marks = np.arange(count) % 60
    cells = rng.normal(0, 0.1, (count, 4, 16, 60))
    cells[np.arange(count), :, rng.integers(16, size=count), marks] += 3
    return cells.reshape(count, _NUM_CELLS, 60).astype(np.float16), marks % 3

  train, validation, test = scenes(240), scenes(60), scenes(120)

  def accuracy(order):
    probe = TrainedProbe(
      train[0],
      _GRID,
      Targets({"kind": order(train[1])}, {}),
      {"kind": 3},
      validation=(validation[0], Targets({"kind": order(validation[1])}, {})),
      num_steps=120,
      seed=0,
    )
    return np.mean(probe(test[0])["kind"].argmax(1) == test[1])

  assert accuracy(lambda labels: labels) > 0.9
  # Four standard deviations of sixty guesses among three.
  assert abs(accuracy(rng.permutation) - 1 / 3) < 4 * 0.0609


def test_the_best_parameters_on_validation_are_kept():
  """Where validation asks for the contrary, the first ones stay."""
  cells, labels, places = _scenes(0, 32)
  right = Targets({"kind": labels}, {"place": places})
  wrong = Targets({"kind": (labels + 1) % 3}, {"place": -places})

  def accuracy(validation):
    probe = TrainedProbe(
      cells,
      _GRID,
      right,
      {"kind": 3},
      validation=(cells, validation),
      num_steps=30,
      seed=0,
    )
    return np.mean(probe(cells)["kind"].argmax(1) == labels)

  assert accuracy(right) > 0.95
  assert accuracy(wrong) < 0.8
