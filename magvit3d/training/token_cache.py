"""Tokens of a whole split, made once by the frozen tokenizer."""

import os
import pathlib
import zipfile
from typing import SupportsIndex

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.data.clips import ClipSource, load_clips
from magvit3d.evaluation.transformer_scores import make_tokenize
from magvit3d.tokens.token_model import TokenModel

_CHUNK = 64  # Batches that are read at once.


class TokenSource:
  """Cached tokens as a random-access source of dicts.

  Args:
    arrays: `tokens` (n, t, h, w), `cond_tokens` (n, tasks, t, h, w), `labels`.
  """

  def __init__(self, arrays: dict[str, np.ndarray]):
    self._arrays = arrays

  def __len__(self) -> int:
    return len(self._arrays["labels"])

  def __getitem__(
    self, index: SupportsIndex
  ) -> dict[str, np.ndarray | np.generic]:
    return {key: value[index] for key, value in self._arrays.items()}

  def __repr__(self) -> str:
    return f"TokenSource({len(self)} clips)"


def load_or_make(
  path: pathlib.Path,
  source: ClipSource,
  model: TokenModel,
  tokenizer_params: PyTree,
  *,
  key: str,
  batch_size: int,
  mesh: Mesh,
) -> TokenSource:
  """Returns the tokens of all clips of `source`.

  Args:
    path: An .npz file that keeps them.
    source: Clips.
    model: Says how to tokenize them.
    tokenizer_params: Frozen generator parameters.
    key: Names tokenizer, data and tasks; tokens kept under another one are
      made again.
    batch_size: Clips at a time.
    mesh: Devices.
  """
  kept = _load(path, key)
  if kept is not None:
    return TokenSource(kept)
  logging.info("Tokenizing %d training clips.", len(source))
  tokenize = make_tokenize(model, batch_size, mesh)
  parts = []
  for start in range(0, len(source), _CHUNK * batch_size):
    stop = min(start + _CHUNK * batch_size, len(source))
    clips = load_clips(source, range(start, stop), keys=("frames", "labels"))
    parts.append(tokenize(tokenizer_params, clips))
  joined = jax.tree.map(lambda *x: np.concatenate(x), *parts)
  arrays = {
    "tokens": joined.tokens,
    "cond_tokens": joined.cond_tokens,
    "labels": joined.labels,
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_suffix(".tmp.npz")
  np.savez(temporary, key=np.array(key), **arrays)
  os.replace(temporary, path)
  return TokenSource(arrays)


def _load(path: pathlib.Path, key: str) -> dict[str, np.ndarray] | None:
  if not path.exists():
    return None
  try:
    with open(path, "rb") as file, np.load(file) as kept:
      if str(kept["key"]) != key:
        return None
      return {name: kept[name] for name in kept.files if name != "key"}
  except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
    logging.warning("%s is damaged (%s) and made again.", path, error)
    return None
