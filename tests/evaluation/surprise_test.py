"""Which half of a pair is impossible: shares, baselines, places of peaks."""

import numpy as np
import pytest
import table_values

from data_gen.scenes.violations import KINDS
from magvit3d.evaluation import surprise
from magvit3d.evaluation.surprise import PairScores

_FRAMES, _LATENT = 16, 4


def _clips(centres, size=32, num_views=1):
  """A white square on blue at given rows of pixels; NaN: none."""
  clips = np.zeros((num_views, len(centres), size, size, 3), np.uint8)
  clips[..., 2] = 60
  for time, centre in enumerate(centres):
    if np.isfinite(centre):
      row = int(centre)
      clips[:, time, row : row + 4, 8:12] = 255
  return clips


def test_baselines_are_small_for_even_motion_and_large_for_jumps():
  even = surprise.baseline_scores(_clips(range(8)))
  jump = surprise.baseline_scores(_clips([0, 1, 2, 3, 14, 15, 16, 17]))
  gone = surprise.baseline_scores(_clips([0, 1, 2, 3, *[np.nan] * 4]))
  velocity, difference = surprise.CONSTANT_VELOCITY, surprise.FRAME_DIFFERENCE
  assert even[velocity] == 0
  assert jump[velocity] == 10  # Of rows, where one was expected.
  assert gone[velocity] == 32  # As far as the image is large.
  # A row of four pixels comes and one goes; a jump changes both squares.
  assert jump[difference] == pytest.approx(4 * even[difference])


def _scores(gain, n_per_kind=10, seed=0, frame=9):
  """Impossible halves have `gain` more bits in the latent frame of `frame`."""
  rng = np.random.default_rng(seed)
  kinds = np.arange(n_per_kind * len(KINDS)) % len(KINDS)
  bits = np.repeat(rng.uniform(50, 60, (1, len(kinds), _LATENT)), 2, axis=0)
  bits[1, :, frame * _LATENT // _FRAMES] += gain
  # Less motion where it stops, more elsewhere.
  steps = np.stack([np.ones(len(kinds)), np.where(kinds == 4, 0.5, 2.0)])
  return PairScores(
    kinds,
    np.full(len(kinds), frame),
    bits,
    {surprise.FRAME_DIFFERENCE: steps},
  )


def test_shares_count_pairs_and_baselines_choose_their_direction():
  shares, places = surprise.tables(
    _scores(5.0, seed=1), _scores(5.0), "test", _FRAMES
  )
  rows = table_values.rows(shares)
  assert rows["model's surprise"] == [1.0] * 8
  assert rows[surprise.FRAME_DIFFERENCE] == [1.0] * 8
  assert rows["chance"] == [0.5] * 8
  assert shares.n == 70 and shares.split == "test"
  cell = shares.rows[0].cells[1]
  assert cell.high == 1 and cell.low == pytest.approx(0.722, abs=1e-3)
  assert [column.name for column in shares.columns[1:]] == list(KINDS)
  assert table_values.rows(places)["chance"] == [0.25] * 7
  assert places.n == 60


def test_a_model_that_sees_no_difference_is_at_chance():
  shares, _ = surprise.tables(_scores(0.0), _scores(0.0), "test", _FRAMES)
  assert table_values.rows(shares)["model's surprise"] == [0.5] * 8


def test_peaks_are_found_beyond_what_is_usual():
  """Bits of the first latent frame are high anyway."""
  validation, test = _scores(0.0, seed=1), _scores(30.0)
  for scores in (validation, test):
    scores.bits[:, :, 0] += 100
  _, places = surprise.tables(validation, test, "test", _FRAMES)
  assert table_values.rows(places)["model's surprise"] == [1.0] * 7
  late = _scores(30.0, frame=13)
  moved = PairScores(late.kinds, late.frames - 6, late.bits, late.baselines)
  _, places = surprise.tables(_scores(0.0), moved, "test", _FRAMES)
  assert table_values.rows(places)["model's surprise"] == [0.0] * 7


def test_headlines_are_a_line_a_row():
  found = surprise.tables(_scores(5.0), _scores(5.0), "test", _FRAMES)
  first, *_ = surprise.headlines(found)
  assert first.startswith("model's surprise: mean of six 1.00, vanish 1.00")
