"""Scenes as the extractors are asked about them: what is seen, and answers."""

from typing import SupportsIndex

import numpy as np
from jaxtyping import Int

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.errors import UserError


class MotionScenes:
  """Scenes with the first frames of every camera, as a random-access source.

  Attributes:
    motions: Int32 (n,), numbers of `scenes.motion_names`.

  Args:
    scenes: Of a split.
    given_frames: First frames that are seen.
    tokens: In place of the frames; None: frames.
    seed: Of motions that are shuffled, a control; None: the true ones.
  """

  def __init__(
    self,
    scenes: SceneSource,
    given_frames: int,
    tokens: Int[np.ndarray, "n v s y x"] | None = None,
    seed: int | None = None,
  ):
    self._scenes, self._given = scenes, given_frames
    self._tokens, self._seed = tokens, seed
    numbers = [
      scenes.scene(index, (schema.MOTION,))[schema.MOTION]
      for index in range(len(scenes))
    ]
    self.motions = np.asarray(numbers, np.int32)
    if seed is not None:
      self.motions = _shuffled(self.motions, np.random.default_rng(seed))

  def __len__(self) -> int:
    return len(self._scenes)

  def __repr__(self) -> str:
    # Grain compares it when it restores an iterator.
    kind = "frames" if self._tokens is None else "tokens"
    return (
      f"MotionScenes({self._scenes!r}, {self._given} {kind}, seed {self._seed})"
    )

  def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
    """Returns a scene.

    Returns:
      seen: Uint8 (v, t, h, w, 3), or tokens, int32 (v, s, y, x).
      motion: Int32. positions: Float32 (t, 3), metres, of all frames.
    """
    number = int(index)
    keys = (schema.TRAJECTORY,)
    if self._tokens is None:
      keys += (schema.FRAMES,)
    views = range(self._scenes.num_views)
    scene = self._scenes.views(number, views, keys)
    if self._tokens is None:
      seen = scene[schema.FRAMES][:, : self._given]
    else:
      seen = self._tokens[number]
    return {
      "seen": seen,
      "motion": self.motions[number],
      "positions": scene[schema.TRAJECTORY],
    }


def _shuffled(
  motions: Int[np.ndarray, " n"], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
  """Gives the scenes of each motion all motions equally often.

  A plain permutation leaves some more of one than of the others, which a
  network would learn.
  """
  names, shuffled = np.unique(motions), np.empty_like(motions)
  for motion in names:
    rows = np.flatnonzero(motions == motion)
    given = names[(np.arange(len(rows)) + motion) % len(names)]
    shuffled[rows] = rng.permutation(given)
  return shuffled


def check_stratified(
  split: str, motions: Int[np.ndarray, " n"], names: tuple[str, ...]
) -> None:
  """Raises UserError unless a split has every motion equally often.

  Equally: a scene more or less for each shape is left to the last batch of
  classes, so the counts differ by a tenth at most.
  """
  # Those of footage have no numbers either.
  counts = np.bincount(motions if names else [], minlength=len(names))
  if not names or counts.min() < 0.9 * counts.max():
    found = ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True))
    raise UserError(
      f"The {split} split of the data has {found or 'no motions'}. Every "
      "motion must be there equally often: take data of python -m data_gen, "
      f"with more scenes (config.data.num_{split})."
    )
