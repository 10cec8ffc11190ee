"""Scenes as cells that probes read: of tokens, of the transformer, of pixels.

A cell is a vector that stands for a place and a time in what one camera sees.
All kinds have the same cells, at most MAX_SIDE x MAX_SIDE in a frame of the
token grid, so that probes of different kinds see equally fine.
"""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from magvit3d.data.clips import load_clips
from magvit3d.data.scene_clips import SceneClips, fold_views
from magvit3d.evaluation.outputs import RunOutputs
from magvit3d.inference.batched import map_batches
from magvit3d.models import cameras
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.tokens import hidden_states
from magvit3d.tokens.masked_model import TokenBatch

KINDS = TOKENS, PIXELS, TRANSFORMER = "tokens", "pixels", "transformer"
MAX_SIDE = 8
_PIXELS_PER_CELL = 4  # At most, along each side.
_SCENES_AT_A_TIME = 32
_SAMPLES_AT_A_TIME = 256
_KEYS = ("frames", "masks", "background", "labels", "trajectory", *cameras.KEYS)


@dataclasses.dataclass(frozen=True)
class CellScenes:
  """Some scenes of a split as probes read them.

  Attributes:
    whole: By kind, cells of all frames, float16 (n, m, d).
    given: By kind, cells of the first frames alone, the others unseen; empty
      without frame prediction.
    grid: (v, t, h, w), whose product is m.
    tokens: Token grids of the transformer's samples, (k, t, h, w).
    labels: Classes (n,).
    trajectory: (n, t, 3), metres.
  """

  whole: Mapping[str, Float[np.ndarray, "n m _"]]
  given: Mapping[str, Float[np.ndarray, "n m _"]]
  grid: tuple[int, int, int, int]
  tokens: Int[np.ndarray, "k t h w"]
  labels: Int[np.ndarray, " n"]
  trajectory: Float[np.ndarray, "n t2 3"]

  def with_known_paths(self) -> "CellScenes":
    """Returns the scenes whose path is known in all frames."""
    rows = np.isfinite(self.trajectory).all((1, 2))
    per_scene = len(self.tokens) // max(len(rows), 1)
    return CellScenes(
      {kind: cells[rows] for kind, cells in self.whole.items()},
      {kind: cells[rows] for kind, cells in self.given.items()},
      self.grid,
      self.tokens[np.repeat(rows, per_scene)],
      self.labels[rows],
      self.trajectory[rows],
    )


class CellReader:
  """Reads scenes as cells.

  Args:
    outputs: Networks of the run.
    task_index: Of frame prediction; None without.
  """

  def __init__(self, outputs: RunOutputs, task_index: int | None):
    self._outputs = outputs
    self._model = outputs.model
    self._task_index = task_index
    codebook = outputs.tokenizer_params["quantizer"]["codebook"]
    self._codebook = np.asarray(codebook)
    self._side = choose_side(self._model.latent_shape[1])
    self._features = _make_features(outputs, task_index)

  @property
  def given_frames(self) -> int | None:
    """First frames that `CellScenes.given` is of; None without prediction."""
    if self._task_index is None:
      return None
    return self._model.tasks[self._task_index].condition.cond_frames

  def token_cells(
    self, grids: Int[np.ndarray, "k t h w"]
  ) -> Float[np.ndarray, "k m d"]:
    """Returns cells of the grids of the transformer's samples."""
    num_parts = max(len(grids) // _SAMPLES_AT_A_TIME, 1)
    return np.concatenate(
      [
        self._pooled(self._codebook[part], len(part), self._model.num_views)
        for part in np.array_split(grids, num_parts)
      ]
    )

  def read(
    self,
    source: SceneClips,
    indices: Sequence[int],
    tokens: TokenBatch | None = None,
    kinds: Collection[str] = KINDS,
  ) -> CellScenes:
    """Returns some scenes of a source.

    Args:
      source: Of scenes.
      indices: Of those that are read.
      tokens: Of their samples in this order; None: they are made.
      kinds: Of the cells.
    """
    parts = []
    per_scene = len(tokens.tokens) // len(indices) if tokens else 0
    for start in range(0, len(indices), _SCENES_AT_A_TIME):
      stage_progress.note(start, len(indices))
      chosen = indices[start : start + _SCENES_AT_A_TIME]
      rows = slice(start * per_scene, (start + len(chosen)) * per_scene)
      known = tokens and jax.tree.map(lambda x, rows=rows: x[rows], tokens)
      scenes = load_clips(source, chosen, _KEYS)
      parts.append(self._read(scenes, known, kinds))
    return CellScenes(
      grid=parts[0].grid,
      **{
        field: jax.tree.map(
          lambda *arrays: np.concatenate(arrays),
          *(getattr(part, field) for part in parts),
        )
        for field in ("whole", "given", "tokens", "labels", "trajectory")
      },
    )

  def _read(
    self,
    scenes: Mapping[str, np.ndarray],
    tokens: TokenBatch | None,
    kinds: Collection[str],
  ) -> CellScenes:
    n, v, t = scenes["frames"].shape[:3]
    model, outputs = self._model, self._outputs
    if tokens is None:
      samples = scenes if model.num_views > 1 else fold_views(scenes)
      tokens = outputs.tokenize(outputs.tokenizer_params, samples)
    whole = {
      TOKENS: lambda: self._pooled(self._codebook[tokens.tokens], n, v),
      TRANSFORMER: lambda: self._pooled(self._features(tokens, False), n, v),
      PIXELS: lambda: self._pixel_cells(scenes["frames"]),
    }
    given = {}
    if self._task_index is not None:
      task = model.tasks[self._task_index]
      shown = tokens.cond_tokens[:, self._task_index]
      first = scenes["frames"][:, :, : self.given_frames]
      still = np.repeat(first[:, :, -1:], t - first.shape[2], axis=2)
      given = {
        TOKENS: lambda: self._pooled(self._codebook[shown], n, v),
        PIXELS: lambda: self._pixel_cells(
          np.concatenate([first, still], axis=2)
        ),
      }
      if not task.class_conditional:  # The class would tell of the motion.
        given[TRANSFORMER] = lambda: self._pooled(
          self._features(tokens, True), n, v
        )
    whole, given = (
      {kind: make() for kind, make in makers.items() if kind in kinds}
      for makers in (whole, given)
    )
    grid = (v, model.latent_shape[0], self._side, self._side)
    return CellScenes(
      whole, given, grid, tokens.tokens, scenes["labels"], scenes["trajectory"]
    )

  def _pooled(self, grids, n, v) -> np.ndarray:
    """Float16 (n, m, d) of grids (k, t, h, w, d), averaged over squares."""
    t, h, w = self._model.latent_shape
    cells = grids.reshape(n * v * t, h, w, grids.shape[-1])
    for axis in (1, 2):
      cells = _averages(cells, axis, self._side)
    return cells.reshape(n, -1, grids.shape[-1]).astype(np.float16)

  def _pixel_cells(self, frames: UInt8[np.ndarray, "n v t h w 3"]):
    """Float16 (n, m, d): the pixels of each cell's place and time."""
    n, v, t, h, w, _ = frames.shape
    num_latent, side = self._model.latent_shape[0], self._side
    size = min(_PIXELS_PER_CELL, h // side)
    small = frames.reshape(n * v * t, h, w, 3)
    for axis in (1, 2):
      small = _averages(small, axis, size * side)
    cells = (small / 255).reshape(
      n * v, num_latent, t // num_latent, side, size, side, size, 3
    )
    cells = cells.transpose(0, 1, 3, 5, 2, 4, 6, 7)
    m = v * num_latent * side * side
    return cells.reshape(n, m, -1).astype(np.float16)


def choose_side(length: int) -> int:
  """Returns how many cells stand for `length` tokens.

  It divides the length where that gives four or more; otherwise cells are of
  unequal sizes.
  """
  divisors = [d for d in range(1, MAX_SIDE + 1) if length % d == 0]
  return divisors[-1] if divisors[-1] >= 4 else min(length, MAX_SIDE)


def _averages(array: np.ndarray, axis: int, count: int) -> np.ndarray:
  """Means over `count` stretches of an axis, as equal as can be; float32."""
  length = array.shape[axis]
  if count == length:
    return array.astype(np.float32)
  starts = np.arange(count) * length // count
  shape = [1] * array.ndim
  shape[axis] = count
  sizes = np.diff([*starts, length]).reshape(shape)
  sums = np.add.reduceat(array.astype(np.float32), starts, axis)
  return sums / sizes.astype(np.float32)


def _make_features(outputs: RunOutputs, task_index: int | None):
  """Returns `(tokens, is_given_only) -> features`, float32 (k, t, h, w, d)."""
  model = outputs.model

  @functools.partial(jax.jit, static_argnums=2)
  def read(params, batch, is_given_only):
    seen_by = Cameras.from_batch(batch)
    if is_given_only:
      given = batch["cond_tokens"][:, task_index]
      return hidden_states.given_features(
        model, params, given, task_index, seen_by
      )
    return hidden_states.features(model, params, batch["tokens"], seen_by)

  def run(tokens, is_given_only):
    arrays = {"tokens": tokens.tokens, "cond_tokens": tokens.cond_tokens}
    if tokens.cameras:
      arrays |= dataclasses.asdict(tokens.cameras)
    return map_batches(
      lambda batch: read(outputs.params, batch, is_given_only),
      arrays,
      outputs.batch_size,
      outputs.mesh,
    )

  return run
