"""What decisions about objects are worth, and how well one can do."""

import jax.numpy as jnp
import numpy as np
import pytest

from data_gen.scenes import objects
from magvit3d.config.studies import PersistenceConfig
from magvit3d.errors import UserError
from magvit3d.studies.persistence import (
  decisions,
  lifetimes,
  persistence_scores,
  seen_objects,
)
from magvit3d.studies.persistence.persistence_scores import Attention, Measured
from magvit3d.studies.persistence.watching_costs import Cost, WatchingCosts
from magvit3d.studies.ratios import Ratio

_NUM_STAYS, _NUM_PASSES, _NUM_FRAMES = 3, 4, 16


def _scenes(count, seed=0):
  """Who stays (n, o), and who is there (n, o, t), drawn by the law."""
  rng = np.random.default_rng(seed)
  stays = np.arange(_NUM_STAYS + _NUM_PASSES) < _NUM_STAYS
  stays = np.tile(stays, (count, 1))
  there = np.repeat(stays[..., None], _NUM_FRAMES, axis=-1)
  for scene, number in np.argwhere(~stays):
    first, last = objects.draw_lifetime(rng, _NUM_FRAMES)
    there[scene, number, first : last + 1] = True
  return stays, there


@pytest.fixture(scope="module")
def drawn():
  return _scenes(4000)


@pytest.fixture(scope="module")
def law():
  return lifetimes.expected(_NUM_STAYS, _NUM_PASSES, _NUM_FRAMES)


def _accuracies(answers, stays, there):
  has_appeared = decisions.appeared(there)
  return np.array(
    [
      decisions.accuracy(answers[..., k], stays, has_appeared[..., k]).value
      for k in range(_NUM_FRAMES)
    ]
  )


def test_the_law_counts_what_simulated_scenes_have(drawn, law):
  stays, there = drawn
  passes = decisions.appeared(there) & ~stays[..., None]
  doubtful = decisions.never_missed(there) & passes
  # Means of 4000 scenes of 4 objects: a standard error is below
  # sqrt(4 / 4 / 4000) = 0.016; 5 of these.
  for found, expected in ((passes, law.passes), (doubtful, law.doubtful)):
    np.testing.assert_allclose(found.sum(1).mean(0), expected, atol=0.08)
  assert law.passes[-1] == _NUM_PASSES
  assert not law.doubtful[3:].any() and law.doubtful[2] > 0


def test_no_answer_is_better_than_the_law(drawn, law):
  """A Bayes classifier learns from other scenes what presence so far tells."""
  stays, there = drawn
  other_stays, other_there = _scenes(4000, seed=1)
  powers = 2 ** np.arange(_NUM_FRAMES)
  answers = np.empty_like(there)
  for k in range(_NUM_FRAMES):
    history, seen = (
      (array[..., : k + 1] * powers[: k + 1]).sum(-1)
      for array in (other_there, there)
    )
    counts = np.zeros((2, 2 ** (k + 1)))
    np.add.at(counts, (other_stays.astype(int), history), 1)
    answers[..., k] = (counts[1] > counts[0])[seen]
  found = _accuracies(answers, stays, there)
  # Of 12000 answers or more a standard error is below 0.005; 4 of these.
  np.testing.assert_allclose(found, law.best, atol=0.02)
  presence = _accuracies(decisions.never_missed(there), stays, there)
  np.testing.assert_allclose(presence, found, atol=1e-3)


def test_the_law_is_sure_of_what_it_should_be(drawn, law):
  stays, there = drawn
  always = decisions.never_missed(there)
  for k in (0, 1, 2, 3):
    share = stays[always[..., k]].mean()
    np.testing.assert_allclose(law.certainty[k], share, atol=0.01)
  assert law.certainty[3] == 1
  found = persistence_scores.law_probabilities(there, law)
  assert found[0, 0].tolist() == law.certainty.tolist()
  assert found[0, -1, -1] == 0


def test_f1_and_accuracy_by_hand():
  stays = np.array([[True, True, True, False], [False, True, False, False]])
  answers = np.array([[True, True, False, True], [False, True, False, True]])
  asked = np.array([[True, True, True, True], [True, True, True, False]])
  # TP 3, FN 1, FP 1, and 2 right that pass.
  assert decisions.f1(answers, stays, asked).value == pytest.approx(6 / 8)
  found = decisions.accuracy(answers, stays, asked)
  assert found.value == pytest.approx(5 / 7)
  assert found.above.tolist() == [2, 3] and found.below.tolist() == [4, 3]
  of_one_scene = decisions.accuracy(answers, stays, asked, num_views=2)
  assert of_one_scene.below.tolist() == [7]


def test_log_loss_by_hand():
  probabilities = np.array([[[0.5, 0.25], [0.9, 0.9]]])
  stays = np.array([[True, False]])
  asked = np.array([[[True, True], [False, True]]])
  found = decisions.log_loss(probabilities, stays, asked)
  assert found == pytest.approx(-np.log(0.5 * 0.25 * 0.1) / 3)


def test_intervals_are_over_scenes():
  above, below = np.repeat([0.0, 4.0], 50), np.full(100, 4.0)
  cell = Ratio(above, below).cell()
  # A share of one half of 100 scenes: 2 standard errors are 0.1.
  assert cell.low is not None and cell.high is not None
  assert 0.38 < cell.low < 0.42 and 0.58 < cell.high < 0.62
  assert np.isnan(Ratio(above * 0, below * 0).value)
  alone = Ratio(above[-1:], below[-1:]).cell()
  assert alone.value == 1 and alone.low is None and alone.high is None


def test_early_answers_count_when_they_are_taken():
  probabilities = np.array(
    [[[0.6, 0.95, 0.1, 0.1], [0.2, 0.3, 0.5, 0.6], [0.01, 0.02, 0.9, 0.8]]]
  )
  stays = np.array([[False, True, True]])
  has_appeared = np.ones((1, 3, 4), bool)
  has_appeared[0, 2, :2] = False  # It is sure before it sees anything.
  found = decisions.early(probabilities, stays, has_appeared, 0.9)
  assert found.frame.tolist() == [[2, 4, 3]]
  # Wrong after frame 2, though right in the end; right after frame 3.
  assert found.accuracy.value == 0.5
  assert found.share.value == pytest.approx(2 / 3)
  assert found.saved.value == pytest.approx((2 + 0 + 1) / 12)


def _sums(weights, seen, stays, with_own):
  arrays = map(jnp.asarray, (weights, seen, stays))
  return decisions.attention_sums(*arrays, with_own=with_own)


def _attention(factor, seen, stays):
  """Weights, `factor` times as much to each key that stays."""
  count, num_objects, num_frames = seen.shape
  keys = np.where(np.repeat(stays, num_frames, axis=1), factor, 1.0)
  keys = keys * seen.reshape(count, -1)
  frames = np.tile(np.arange(num_frames), num_objects)
  weights = keys[:, None] * (frames[None] <= frames[:, None])
  weights += np.eye(len(frames)) * (weights.sum(-1, keepdims=True) == 0)
  weights /= weights.sum(-1, keepdims=True)
  return np.repeat(weights[:, None], 2, axis=1).astype(np.float32)


@pytest.mark.parametrize("with_own", [False, True])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_attention_is_a_key_and_not_an_object(factor, with_own):
  """Those that stay have many more keys, and that does not count."""
  stays, there = _scenes(5)
  sums = _sums(_attention(factor, there, stays), there, stays, with_own)
  ratio = decisions.attention_ratio(np.asarray(sums))
  assert ratio.value == pytest.approx(factor, rel=1e-4)


def test_own_keys_are_left_out():
  stays, there = np.array([[True, False]]), np.ones((1, 2, 1), bool)
  weights = np.array([[[[0.9, 0.1], [0.6, 0.4]]]], np.float32)
  sums = _sums(weights, there, stays, True)
  np.testing.assert_allclose(sums, [[1.5, 0.5]], rtol=1e-6)
  # Neither object sees others of both kinds.
  sums = _sums(weights, there, stays, False)
  assert not np.asarray(sums).any()


def test_costs_add_up_frame_by_frame():
  costs = WatchingCosts(
    Cost(10.0, 1.0), (Cost(1.0, 0.0), Cost(2.0, 0.0), Cost(4.0, 0.0))
  )
  assert costs.whole("flops") == 34 and costs.whole("seconds") == 3
  frames = np.array([1, 3])
  assert costs.until(frames, "flops").tolist() == [11, 37]


def _measured(probabilities, stays, there):
  sums = np.tile([2.0, 1.0], (len(stays), 1))
  even = {persistence_scores.OTHERS: sums, persistence_scores.ALL: sums}
  costs = WatchingCosts(Cost(10.0, 1.0), (Cost(1.0, 1.0),) * _NUM_FRAMES)
  return Measured(probabilities, stays, there, 1, Attention(even, even), costs)


def _tables(measured):
  config = PersistenceConfig(
    confidences=(0.9,), min_f1=0.95, min_attention_ratio=2.5
  )
  return persistence_scores.tables(
    measured, config, num_parameters=7, training_seconds=None
  )


def test_one_who_knows_is_always_right(drawn):
  stays, there = drawn[0][:40], drawn[1][:40]
  knows = np.repeat(stays[..., None].astype(float), _NUM_FRAMES, axis=-1)
  results = _tables(_measured(knows, stays, there))
  assert [check["passed"] for check in results.checks] == [True, False]
  rows = {row.name: row for row in results.tables[1].rows}
  assert [c.value for c in rows[persistence_scores.NETWORK].cells] == [1] * 6
  early = results.tables[2].rows[0].cells
  assert early[1].value == 1
  # All but those that come with the last frame, whose answer is not early.
  late = ~there[..., :-1].any(-1)
  assert early[0].value == pytest.approx(1 - late.mean())
  assert len(results.plots[0]["series"]) == 4
  assert results.tables[0].rows[2].cells[0].value == pytest.approx(6 / 10)


def test_shuffled_labels_are_others_labels():
  stays = np.arange(60).reshape(10, 6) % 3 == 0
  empty = np.zeros((10, 6, 2, 4), np.float32)
  found = seen_objects.SeenObjects(empty, empty, stays)
  shuffled = found.shuffled(0)
  assert shuffled.stays.sum() == stays.sum()
  assert (shuffled.stays != stays).any()
  assert (shuffled.stays != found.shuffled(1).stays).any()


def test_codes_are_means_under_the_masks():
  codebook = np.array([[0.0, 0], [1, 0], [0, 1]], np.float32)
  tokens = np.array([[[[0, 1], [2, 2]]]])
  masks = np.zeros((1, 1, 4, 4), np.uint8)
  masks[0, 0, 1, 1:3] = 1  # One pixel in each upper cell.
  masks[0, 0, 3, 0] = 2
  codes, places = seen_objects.pooled(tokens, masks, codebook, 3)
  np.testing.assert_allclose(
    codes[0, :, 0], [[0.5, 0], [0, 1], [0, 0]], atol=1e-6
  )
  np.testing.assert_allclose(
    places[0, :, 0],
    [[1, 2 / 16, -1 / 3, 0], [1, 1 / 16, 1, -1], [0, 0, 0, 0]],
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"num_heads": 3}, r"num_heads=3 must divide width=64"),
    ({"num_layers": 0}, r"num_layers=0 must be 1 or more"),
    ({"confidences": (0.9, 0.5)}, r"confidences=\(0.9, 0.5\) must be above"),
    ({"confidences": (1.0,)}, "below 1"),
  ],
)
def test_fields_that_cannot_be_are_named(fields, named):
  with pytest.raises(UserError, match=named):
    PersistenceConfig(**fields)
