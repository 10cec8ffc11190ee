"""Scores of predicted frames, against numbers that are known."""

import numpy as np
import pytest
import small_world

from magvit3d.studies.world_model import world_model_scores as scores

_COSTS = {
  scores.MODEL: scores.Cost(100, 3.0, 0.1),
  scores.CONVLSTM: scores.Cost(95, None, 0.1),
}


def _tables(error_with_others, **fields):
  """Scores of clips of light 0.5, whose predictions are off by 0.1."""
  config = small_world.make_config(num_samples=2, **fields)
  truth = np.full((6, 5, 12, 12), 0.5, np.float32)
  truth[:, :2] = 0.25
  future = truth[:, 2:]
  made = {
    scores.mean_name(2): future + np.float32(0.05),
    scores.MODEL: future + np.float32(0.1),
    scores.MODEL + scores.OTHERS: future + np.float32(error_with_others),
    scores.CONVLSTM: future - np.float32(0.1),
  }
  return scores.tables(made, truth, config, "test", _COSTS)


def test_errors_are_those_of_known_predictions():
  table = _tables(0.2).tables[0]
  found = {row.name: [cell.value for cell in row.cells] for row in table.rows}
  # Differences of float32 near 0.5: 6e-8 of 0.05, squared.
  for name, error in (
    (scores.mean_name(2), 0.05**2),
    (scores.MODEL, 0.1**2),
    (scores.COPY_LAST, 0.25**2),
    (scores.BLACK, 0.25),
  ):
    mean, summed, _, decibels = found[name]
    assert mean == pytest.approx(error, rel=1e-5)
    assert summed == pytest.approx(error * 4096, rel=1e-5)
    assert decibels == pytest.approx(-10 * np.log10(error), rel=1e-5)


@pytest.mark.parametrize("kind", ["", scores.UNTOLD])
def test_the_note_says_whether_actions_are_told(kind):
  clips = np.zeros((2, 5, 12, 12), np.float32)
  names = (scores.mean_name(2), scores.MODEL, scores.CONVLSTM)
  made = {name + kind: clips[:, 2:] for name in names}
  config = small_world.make_config(num_samples=2)
  note = scores.tables(made, clips, config, "test", _COSTS).tables[0].note
  assert ("are told the actions" in note) == (not kind)


def test_a_plot_has_a_color_for_each_line():
  names = [line["name"] for line in _tables(0.2).plots[0]["series"]]
  assert len(names) == 6 == len(set(names))
  assert scores.MODEL + scores.OTHERS in names


def test_the_difference_of_actions_is_paired_and_checked():
  results = _tables(0.2)
  cell = results.tables[1].rows[0].cells[0]
  assert cell.value == pytest.approx(0.2**2 - 0.1**2, rel=1e-5)
  assert [c["passed"] for c in results.checks] == [True] * 5
  # No worse with others' actions: the interval has 0 in it.
  assert not _tables(0.1).checks[-1]["passed"]


def test_a_model_that_is_no_better_misses_its_targets():
  truth = np.full((4, 5, 12, 12), 0.5, np.float32)
  future = truth[:, 2:]
  made = {
    scores.mean_name(2): future + np.float32(0.2),
    scores.MODEL: future + np.float32(0.2),
    scores.CONVLSTM: future - np.float32(0.1),
  }
  config = small_world.make_config(num_samples=2)
  costs = dict(_COSTS)
  costs[scores.CONVLSTM] = scores.Cost(80, None, 0.1)
  found = scores.tables(made, truth, config, "test", costs).checks
  # A still clip: the copy is perfect. Black is worse; sizes differ by a fifth.
  assert [check["passed"] for check in found] == [False, True, False, False]


def test_similarity_is_one_for_the_truth_and_by_frame():
  rng = np.random.default_rng(0)
  truth = rng.random((3, 4, 12, 12), np.float32)
  made = truth.copy()
  made[:, 1] = rng.random((3, 12, 12), np.float32)
  found = scores.Predicted(made, truth).similarity
  np.testing.assert_allclose(found[:, [0, 2, 3]], 1, atol=1e-6)
  assert (found[:, 1] < 0.5).all()
