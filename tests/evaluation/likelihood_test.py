"""Bits of clips beside those of codes that no network predicts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_outputs
import table_values

from magvit3d.api import Magvit
from magvit3d.evaluation import likelihood
from magvit3d.evaluation.results import Results

_TOLD, _UNTOLD = "transformer, told the class", "transformer"
_PLACES = "codes of the place, as often as in training"


@pytest.fixture(scope="module")
def outputs(trained_run):
  return small_outputs.make(trained_run)[0]


def _rows(outputs, train_tokens):
  results = Results("test", has_objects=True)
  likelihood.score(outputs, results, train_tokens)
  (table,) = results.tables
  assert table.n == len(outputs.real)
  return table_values.rows(table)


def test_bits_are_those_of_the_api_and_of_counts(outputs, trained_run):
  tokens = np.asarray(outputs.tokens.tokens)
  rows = _rows(outputs, tokens[:1])
  magvit = Magvit.from_run(trained_run)
  clips = outputs.clips["frames"]
  wanted = magvit.surprise(clips, past_alone=True).sum(1).mean()
  # Sums of hundreds of float32, in other batches.
  assert rows[_UNTOLD][0] == pytest.approx(wanted, rel=1e-5)
  assert rows[_UNTOLD][1] == pytest.approx(wanted / outputs.model.num_tokens)
  # 32 codes, of which the one that was seen counts twice, of 33 in all.
  is_seen = (tokens == tokens[:1]).reshape(len(tokens), -1)
  costs = np.where(is_seen, np.log2(33 / 2), np.log2(33)).sum(1)
  assert rows[_PLACES][0] == pytest.approx(costs.mean())
  assert rows["any code alike"] == [outputs.model.num_tokens * 5, 5]
  assert rows[_TOLD][0] != rows[_UNTOLD][0]


def test_a_network_that_knows_nothing_is_no_better_than_any_code(
  outputs, monkeypatch
):
  zeros = jax.tree.map(jnp.zeros_like, outputs.params)
  monkeypatch.setattr(outputs, "params", zeros)
  rows = _rows(outputs, np.asarray(outputs.tokens.tokens))
  for name in (_TOLD, _UNTOLD):
    assert rows[name] == pytest.approx(rows["any code alike"], rel=1e-5)


@pytest.mark.slow
def test_bits_of_several_views_are_of_a_clip(scenes_run):
  outputs = small_outputs.make_scenes(scenes_run)[0]
  rows = _rows(outputs, np.asarray(outputs.tokens.tokens))
  model = outputs.model
  assert rows["any code alike"][0] == pytest.approx(
    model.num_tokens / model.num_views * 5
  )
