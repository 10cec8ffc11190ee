"""Which of two tied attributes a predictor goes by; see `data_gen.scenes.cues`.

In split ood_cues the tie is broken. What an object is like at the end of a clip
is found in the pixels: of two values of an attribute, the nearer one.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, UInt8

from data_gen.rendering import soft_figures
from data_gen.scenes import cues
from data_gen.scenes.phyworld_laws import FRAME_S, WORLD_WIDTH
from magvit3d.evaluation import velocity_error
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.outputs import to_uint8
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.studies.prediction.phyworld_motion import TRUE_CLIPS, TrueMotion
from magvit3d.studies.prediction.phyworld_scores import ROLES, TITLES
from magvit3d.studies.ratios import Ratio

_NUM_LAST = 3  # Frames that show what the object is like.
_UNKNOWN = -1


def add(
  results: Results,
  held_out: HeldOutScenes,
  made: Mapping[str, Float[np.ndarray, "n t h w 3"]],
  text: str,
) -> None:
  """Adds the table of cues.

  Args:
    results: Where it goes.
    held_out: Scenes of `cues.SPLIT`.
    made: Clips of the same by what made them, in [0, 1].
    text: Names of the two cues, as of --cues.
  """
  names = cues.parse(text)
  truth = TrueMotion.read(held_out)
  clips = {name: to_uint8(array) for name, array in made.items()}
  clips[TRUE_CLIPS] = held_out.samples["frames"][:, 0]
  values = [
    cues.values_of_scene(text, cues.SPLIT, int(index))
    for index in held_out.indices
  ]
  given = np.array([[scene[name] for name in names] for scene in values])
  rows = []
  for name, array in clips.items():
    found = np.stack([find_values(array, truth, cue) for cue in names], -1)
    kept = (found == given).astype(float)
    first, second = kept[:, 0], kept[:, 1]
    shares = (
      first * (1 - second),
      (1 - first) * second,
      first * second,
      (1 - first) * (1 - second),
    )
    cells = [Ratio.mean(share).cell() for share in shares]
    role = ROLES.get(name, "model")
    rows.append(Row.of(TITLES.get(name, name), role, cells))
  results.add_table(
    f"Cues: {names[0]} against {names[1]}",
    "Both were tied in training; these clips begin with the other pairs. Share "
    "of the clips by what is kept until the last frames in which the true "
    "object is wholly inside the image, [95% interval, bootstrap over scenes]. "
    "An object that is not found keeps nothing.",
    [
      Column(f"{names[0]} alone", "", None),
      Column(f"{names[1]} alone", "", None),
      Column("both", "", None),
      Column("neither", "", None),
    ],
    rows,
    n=len(given),
  )


def find_values(
  clips: UInt8[np.ndarray, "n t h w 3"], truth: TrueMotion, cue: str
) -> Int[np.ndarray, " n"]:
  """Returns which of the values of a cue, 0 or 1, objects have at the end.

  Args:
    clips: With one object each.
    truth: What is true of them, which says when the object is in the image.
    cue: One of `cues.CUES`.

  Returns:
    -1 where no object is found in the last frames.
  """
  size = clips.shape[2]
  is_inside = velocity_error.is_in_image(truth.paths, truth.radii, size)
  values = np.full(len(clips), _UNKNOWN)
  for number, clip in enumerate(clips):
    last = np.flatnonzero(is_inside[number])[-_NUM_LAST:]
    centers = velocity_error.find_discs(clip, truth.radii[number])[0]
    if len(last) and np.isfinite(centers[last]).all():
      values[number] = _value(cue, clip[last], centers[last])
  return values


def _value(cue, frames, centers) -> int:
  weights = velocity_error.darkness(frames)
  if cue == "color":
    shown = (weights[..., None] * frames).sum((0, 1, 2))
    return int(shown[2] > shown[0])
  scale = frames.shape[1] / WORLD_WIDTH
  radius = float(np.sqrt(weights.sum((1, 2)).mean() / np.pi))
  if cue == "size":
    return int(radius / scale > _border(cues.RADII))
  if cue == "velocity":
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=-1)
    return int(steps.mean() / FRAME_S > _border(cues.SPEEDS))
  places = (centers + WORLD_WIDTH / 2) * scale - 0.5
  errors = [
    np.square(
      soft_figures.cover(shape, places, radius, frames.shape[1]) - weights
    ).sum()
    for shape in soft_figures.SHAPES
  ]
  return int(np.argmin(errors))


def _border(values) -> float:
  """Halfway between the intervals of both values."""
  return (values[0][0][1] + values[1][0][0]) / 2
