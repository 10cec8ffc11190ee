"""Scores of clips that are generated from a part of the truth."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from magvit3d.evaluation import image_metrics, tokenizer_scores
from magvit3d.tokens.tasks import Task


def baselines(
  task: Task,
  clips: Mapping[str, np.ndarray],
  is_given: Bool[np.ndarray, "n v"] | None,
  camera_from_world: Float[np.ndarray, "n v 3 4"] | None,
) -> dict[str, Float[np.ndarray, "m t h w 3"]]:
  """Returns what can be said without a network, by name; clips in [0, 1].

  Args:
    task: What is given.
    clips: `frames`, uint8 (m, t, h, w, 3), and `background`; those of a
      scene's v views in a row, m = n*v.
    is_given: Which views are, if the task gives any.
    camera_from_world: Of the cameras, then.
  """
  real = clips["frames"].astype(np.float32) / 255
  found = {}
  if task.condition is not None:
    given = task.condition.cond_frames
    found["copy of the last given frame"] = image_metrics.copy_last(real, given)
  if is_given is not None:
    source = nearest_given_views(is_given, camera_from_world)
    found["copy of the nearest given view"] = real[source]
  found["background only"] = image_metrics.background_only(
    clips["background"], real.shape
  )
  return found


def nearest_given_views(
  is_given: Bool[np.ndarray, "n v"],
  camera_from_world: Float[np.ndarray, "n v 3 4"],
) -> np.ndarray:
  """Returns for each clip the number of the given one with the nearest camera.

  Clips are numbered through all scenes; a given one is its own nearest.

  Returns:
    int (n*v,).
  """
  rotation, translation = camera_from_world[..., :3], camera_from_world[..., 3]
  centres = -np.einsum("nvij,nvi->nvj", rotation, translation)
  offsets = centres[:, :, None] - centres[:, None]
  distances = np.linalg.norm(offsets, axis=-1)
  distances = np.where(is_given[:, None], distances, np.inf)
  first = np.arange(len(is_given))[:, None] * is_given.shape[1]
  return (first + distances.argmin(axis=-1)).ravel()


def score_rows(
  named: Mapping[str, np.ndarray],
  clips: Mapping[str, np.ndarray],
  is_asked: Bool[np.ndarray, " n"],
  first_frame: int,
) -> list[list]:
  """Returns a row of scores for each of some named clips.

  Args:
    named: Clips (n, t, h, w, 3) in [0, 1].
    clips: The truth: `frames` and `masks`.
    is_asked: Which clips count.
    first_frame: Of these, the first that was not given.
  """
  real = clips["frames"].astype(np.float32) / 255
  rows = []
  for name, made in named.items():
    scores = tokenizer_scores.image_scores(
      *(array[is_asked, first_frame:] for array in (made, real, clips["masks"]))
    )
    rows.append([name, *scores.values()])
  return rows
