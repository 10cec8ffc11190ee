"""A clip of each motion beside its prediction: the head of the report."""

import numpy as np
from jaxtyping import Float, UInt8

from data_gen import schema
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.results import Results


def choose(
  held_out: HeldOutScenes, ade: Float[np.ndarray, " n"] | None = None
) -> tuple[list[int], list[str]]:
  """Returns the scene of median error of each motion, and the motions' names.

  Args:
    held_out: The scenes; there are none if their motions have no names.
    ade: Metres, of each scene; None: the first scene of each motion.
  """
  names = held_out.motion_names
  labels = held_out.samples["labels"]
  rows, shown = [], []
  for motion, name in enumerate(names):
    ranked = np.flatnonzero(labels % len(names) == motion)
    if ade is not None:
      ranked = ranked[np.argsort(ade[ranked], kind="stable")]
    if ranked.size:
      place = (len(ranked) - 1) // 2 if ade is not None else 0
      rows.append(int(ranked[place]))
      shown.append(name)
  return rows, shown


def keep(
  results: Results,
  held_out: HeldOutScenes,
  real: UInt8[np.ndarray, "m t h w 3"],
  predicted: UInt8[np.ndarray, "m t h w 3"],
  given_frames: int,
  ade: Float[np.ndarray, " n"] | None = None,
) -> None:
  """Adds the scene of median error of each motion, as its first view shows it.

  Args:
    results: Where they go.
    held_out: The scenes; nothing is added if their motions have no names.
    real: Their clips, those of a scene in a row.
    predicted: The same of the model.
    given_frames: First frames that the model was given.
    ade: Metres, of each scene; None where it is not known: then the first
      scene of each motion is shown.
  """
  rows, shown = choose(held_out, ade)
  labels = held_out.samples["labels"]
  if not rows:
    return
  views = len(real) // len(labels)
  first = schema.scene_id(held_out.split, 0)
  errors = np.full(len(rows), np.nan) if ade is None else ade[rows]
  results.shown |= {
    "motions/real": real[::views][rows],
    "motions/predicted": predicted[::views][rows],
    "motions/names": np.array(shown),
    "motions/captions": np.array(held_out.class_names)[labels[rows]],
    "motions/ade": errors.astype(np.float32),
    "motions/scene_id": first + np.array(held_out.indices)[rows],
    "motions/given_frames": np.array(given_frames),
  }
