"""Records of several shards as one sequence: what all file formats share."""

import abc
import operator
import os
import pathlib
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from data_gen.errors import DataError

ADVICE = (
  "Delete this shard and run the command that made the data set again "
  "(python -m data_gen, or data_gen.import_videos for footage, with the same "
  "options): it makes just what is missing."
)


class RecordSource(abc.ABC):
  """Records of shards by number; a Grain source.

  Attributes:
    paths: The shards.
    advice: What messages tell the user to do about a damaged shard.
  """

  def __init__(
    self,
    paths: Sequence[str | os.PathLike],
    counts: Sequence[int],
    advice: str | None = None,
  ):
    """Names the shards and the number of records in each."""
    self.paths = [pathlib.Path(path) for path in paths]
    self.advice = advice or ADVICE
    self._ends = np.cumsum([0, *counts])[1:]

  def __len__(self) -> int:
    return int(self._ends[-1]) if len(self._ends) else 0

  def __repr__(self) -> str:
    # Grain compares it when it restores an iterator: no folders, which move.
    names = [path.name for path in self.paths]
    return f"{type(self).__name__}({names}, {len(self)} records)"

  def __getitem__(self, index: SupportsIndex) -> bytes:
    """Returns the data of record `index`, in [0, len(self))."""
    index = operator.index(index)
    if not 0 <= index < len(self):
      raise IndexError(f"Record {index} of {len(self)} does not exist.")
    shard = int(np.searchsorted(self._ends, index, side="right"))
    number = index - (int(self._ends[shard - 1]) if shard else 0)
    return self._read(shard, number)

  @abc.abstractmethod
  def _read(self, shard: int, number: int) -> bytes:
    """Returns record `number` of a shard; raises DataError."""


def wrong_count(
  path: pathlib.Path, found: int, expected: str, advice: str
) -> DataError:
  """Returns the error of a shard that has too few or too many records."""
  return DataError(
    f"{path} has {found} records, but {expected} expected: the shard is not "
    f"the one that the manifest describes, or it is damaged. {advice}"
  )
