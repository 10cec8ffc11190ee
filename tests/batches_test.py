"""Batches come in an order that a resumed run continues."""

import grain
import numpy as np
import pytest

from magvit3d.data.clips import make_batches, spread_indices
from magvit3d.errors import UserError

_COUNT = 12


class _Numbers:
  """A source whose samples are their own numbers."""

  def __len__(self):
    return _COUNT

  def __getitem__(self, index):
    return {"number": np.int64(index)}


def _make(seed=0, batch_size=4) -> grain.DatasetIterator:
  return make_batches(
    _Numbers(), batch_size=batch_size, seed=seed, num_threads=2
  )


def _take(batches, count):
  return [next(batches)["number"].tolist() for _ in range(count)]


def test_every_epoch_holds_every_sample_once_in_another_order():
  batches = _make()
  epochs = [np.ravel(_take(batches, _COUNT // 4)).tolist() for _ in range(3)]
  for epoch in epochs:
    assert sorted(epoch) == list(range(_COUNT))
  assert len(set(map(tuple, epochs))) == 3


def test_order_depends_on_the_seed_alone():
  assert _take(_make(seed=1), 4) == _take(_make(seed=1), 4)
  assert _take(_make(seed=1), 4) != _take(_make(seed=2), 4)


def test_restored_iterator_continues_where_the_saved_one_was():
  batches = _make()
  _take(batches, 4)
  state = batches.get_state()
  wanted = _take(batches, 5)
  other = _make()
  other.set_state(state)
  assert _take(other, 5) == wanted


def test_batch_larger_than_the_data_is_refused():
  with pytest.raises(UserError, match="batch_size=13 is larger than the 12"):
    _make(batch_size=13)


@pytest.mark.parametrize("count", [1, 5, 12, 99])
def test_spread_indices_are_different_and_cover_the_source(count):
  indices = spread_indices(_Numbers(), count)
  assert len(set(indices.tolist())) == min(count, _COUNT)
  assert indices.min() == 0 and indices.max() < _COUNT
  gaps = np.diff(indices)
  assert count == 1 or gaps.max() - gaps.min() <= 1
