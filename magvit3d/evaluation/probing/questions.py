"""What probes are asked: shape, motion, and where the object is and will be."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from data_gen.records.scene_source import SceneSource

AHEAD = (0, 1, 5)  # Frames after the last given one.


def name_of(ahead: int) -> str:
  """Returns "t", "t+1", ..."""
  return f"t+{ahead}" if ahead else "t"


def class_questions(source: SceneSource) -> dict[str, Sequence[str]]:
  """Returns the names of the answers by question.

  They are shape and motion; of footage, which has neither, the class.
  """
  if source.shape_names and source.motion_names:
    return {"shape": source.shape_names, "motion": source.motion_names}
  return {"class": source.class_names}


def class_answers(
  source: SceneSource, labels: Int[np.ndarray, " n"]
) -> dict[str, Int[np.ndarray, " n"]]:
  """Returns the right answers of scenes by question.

  Args:
    source: Of the scenes.
    labels: Their classes.
  """
  questions = class_questions(source)
  if "class" in questions:
    return {"class": labels}
  shape, motion = np.divmod(labels, len(questions["motion"]))
  return {"shape": shape, "motion": motion}


def positions(
  trajectory: Float[np.ndarray, "n t 3"], given_frames: int
) -> dict[str, Float[np.ndarray, "n 3"]]:
  """Returns true positions by question: at the last given frame, and later.

  Args:
    trajectory: Metres.
    given_frames: First frames that are given.
  """
  last = given_frames - 1
  return {
    name_of(ahead): trajectory[:, last + ahead]
    for ahead in AHEAD
    if last + ahead < trajectory.shape[1]
  }


def baseline_positions(
  trajectory: Float[np.ndarray, "n t 3"],
  given_frames: int,
  mean: dict[str, Float[np.ndarray, " 3"]],
) -> dict[str, dict[str, Float[np.ndarray, "n 3"]]]:
  """Returns guesses that read nothing, by name and question.

  Constant velocity and last position know the true past up to the last given
  frame, so they are not asked about that.

  Args:
    trajectory: Metres.
    given_frames: First frames that are given.
    mean: Of training scenes, by question.
  """
  last = trajectory[:, given_frames - 1]
  velocity = last - trajectory[:, max(given_frames - 2, 0)]
  later = {name_of(ahead): ahead for ahead in AHEAD if ahead}
  later = {name: ahead for name, ahead in later.items() if name in mean}
  shape = (len(trajectory), 3)
  return {
    "constant velocity": {
      name: last + ahead * velocity for name, ahead in later.items()
    },
    "last position": {name: last for name in later},
    "mean position": {
      name: np.broadcast_to(place, shape) for name, place in mean.items()
    },
  }


def accuracy(
  answers: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"]
) -> float:
  """Returns the share of right answers."""
  return float(np.mean(answers == right))


def distance(
  guess: Float[np.ndarray, "n 3"], right: Float[np.ndarray, "n 3"]
) -> float:
  """Returns the mean distance, metres."""
  return float(np.linalg.norm(guess - right, axis=1).mean())


def confusion(
  answers: Int[np.ndarray, " n"], right: Int[np.ndarray, " n"], size: int
) -> Int[np.ndarray, "k k"]:
  """Returns how often each right answer (row) was answered how (column)."""
  counts = np.zeros((size, size), int)
  np.add.at(counts, (right, answers), 1)
  return counts
