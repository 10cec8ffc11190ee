"""What has been asked of a split's pairs so far, so that a run can go on."""

import io
import pathlib
import time

import numpy as np

from data_gen.files import array_files
from magvit3d.evaluation.surprise import PairScores
from magvit3d.files import atomic_file

_WRITE_S = 30.0
_KINDS, _FRAMES, _BITS, _KEY = "kinds", "frames", "bits", "key"


class AskedPairs:
  """The scores of the first pairs of a split, which are kept in a file.

  Args:
    path: The file. None: of a process among others, it is not kept.
    key: Names all that the scores depend on.

  Attributes:
    scores: None at first.
  """

  def __init__(self, path: pathlib.Path | None, key: str):
    self._path, self._key = path, key
    self._written_at = time.monotonic()
    self.scores = self._read()

  def __len__(self) -> int:
    return 0 if self.scores is None else len(self.scores.kinds)

  def add(self, new: PairScores, *, is_last: bool) -> None:
    """Adds those of the pairs that follow; now and then writes the file."""
    self.scores = new if self.scores is None else self.scores.joined(new)
    if is_last or time.monotonic() - self._written_at >= _WRITE_S:
      self._write(self.scores)
      self._written_at = time.monotonic()

  def _write(self, scores: PairScores) -> None:
    if self._path is None:
      return
    file = io.BytesIO()
    np.savez(
      file,
      **{
        _KINDS: scores.kinds,
        _FRAMES: scores.frames,
        _BITS: scores.bits,
        _KEY: np.frombuffer(self._key.encode(), np.uint8),
      },
      **scores.baselines,
    )
    atomic_file.write_bytes(self._path, file.getvalue())

  def _read(self) -> PairScores | None:
    """Returns what was kept of the same networks and pairs, if anything."""
    if self._path is None:
      return None
    try:
      found = {
        name: np.asarray(array)
        for name, array in array_files.open_npz(self._path).items()
      }
    except (OSError, array_files.ArrayFileError):
      return None
    if found.pop(_KEY, np.empty(0)).tobytes() != self._key.encode():
      return None
    return PairScores(
      found.pop(_KINDS), found.pop(_FRAMES), found.pop(_BITS), found
    )
