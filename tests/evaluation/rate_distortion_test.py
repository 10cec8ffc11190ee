"""Rates count what is told, and what is told is kept."""

import dataclasses
import math

import numpy as np
import pytest
import small_outputs
import table_values

from magvit3d.evaluation import rate_distortion, tokenizer_scores
from magvit3d.evaluation.results import Results

_SHARES = (0.0, 0.25, 1.0)
_NUM_POSITIONS = 4 * 12 * 12


@pytest.fixture(scope="module")
def outputs(trained_run):
  fields = {"evaluation__token_budgets": _SHARES}
  return small_outputs.make(trained_run, **fields)[0]


def test_most_frequent_codes_are_those_of_their_place():
  tokens = np.array([[0, 5], [2, 5], [2, 1]]).reshape(3, 1, 1, 2)
  found = rate_distortion.most_frequent_codes(tokens, 8)
  assert found.tolist() == [[[2, 5]]]


def test_rates_and_scores(outputs):
  results = Results("test", has_objects=True)
  frequent = np.zeros((1, *outputs.model.grid_shape), np.int32)
  rate_distortion.score(outputs, results, frequent)
  (table,) = results.tables
  (plot,) = results.plots
  rows = table_values.rows(table)
  assert len(rows) == 2 * len(_SHARES)
  by_fill = {
    fill: [rows[f"{n} positions, {text}"] for n in (0, 144, _NUM_POSITIONS)]
    for fill, text in rate_distortion._FILLS.items()
  }
  bits = [row[0] for row in by_fill["frequent"]]
  assert bits == pytest.approx([0, 144 * 5, _NUM_POSITIONS * 5])  # 32 codes.
  # The class is told unless all tokens are.
  bits = [row[0] for row in by_fill["transformer"]]
  told = math.log2(12)
  assert bits == pytest.approx([told, 144 * 5 + told, _NUM_POSITIONS * 5])
  # All tokens: nothing to fill in.
  assert by_fill["transformer"][-1] == by_fill["frequent"][-1]
  assert plot["series"][0]["x"] == bits
  assert plot["series"][0]["y"] == [row[-1] for row in by_fill["transformer"]]
  assert [s["is_baseline"] for s in plot["series"]] == [False, True]


def test_rates_are_of_as_many_clips_as_asked(outputs, monkeypatch):
  settings = dataclasses.replace(outputs.settings, num_rate_clips=5)
  monkeypatch.setattr(outputs, "settings", settings)
  assert rate_distortion.choose_samples(outputs).tolist() == [0, 2, 4, 7, 9]
  results = Results("test", has_objects=True)
  rate_distortion.score(
    outputs, results, np.zeros((1, *outputs.model.grid_shape), int)
  )
  assert results.tables[0].n == 5
  clips = [0, 2, 4, 7, 9]
  scores = tokenizer_scores.image_scores(
    outputs.reconstruction[clips],
    outputs.real[clips],
    outputs.clips["masks"][clips],
  )
  # All tokens told: the tokenizer's own clips.
  *_, last = table_values.rows(results.tables[0]).values()
  assert last[1:] == list(scores.values())


def test_known_tokens_are_kept_and_the_others_chosen(outputs):
  fill = rate_distortion._make_fill(outputs, outputs.tokens, 0)
  tokens = outputs.tokens.tokens
  is_known = np.random.default_rng(0).uniform(size=tokens.shape) < 0.5
  found = fill(is_known)
  np.testing.assert_array_equal(found[is_known], tokens[is_known])
  # What is not known is not looked at.
  other = outputs.tokens.replace(
    tokens=np.where(is_known, tokens, (tokens + 1) % 32)
  )
  np.testing.assert_array_equal(
    rate_distortion._make_fill(outputs, other, 0)(is_known), found
  )


def test_orders_are_nested_and_of_all_positions():
  ranks = rate_distortion._ranks((2, 3, 4, 5), seed=0)
  for sample in ranks:
    assert sorted(sample.ravel()) == list(range(60))
  assert (ranks[0] != ranks[1]).any()
