"""Clips that the transformer makes of a class alone."""

import numpy as np

from magvit3d.evaluation.results import Results
from magvit3d.evaluation.stage.outputs import (
  RunOutputs,
  side_by_side,
  to_uint8,
)

_TASK = "full_generation"


def show(outputs: RunOutputs, results: Results) -> None:
  """Adds samples of each class to the clips to show, and a real one."""
  task_names = [task.name for task in outputs.model.tasks]
  if _TASK not in task_names:
    return
  class_names = outputs.held_out.class_names
  count = outputs.settings["num_shown_samples_per_class"]
  labels = np.repeat(np.arange(len(class_names)), count)
  grids = outputs.generate(
    task_names.index(_TASK), outputs.nothing_given(labels)
  )
  num_views = outputs.model.num_views
  clips = side_by_side(to_uint8(outputs.decode(grids)), num_views)
  known = side_by_side(outputs.clips["frames"], num_views)
  real = []
  for label in range(len(class_names)):
    of_class = np.flatnonzero(outputs.samples["labels"] == label)
    real.append(known[of_class[0]] if of_class.size else 0 * known[0])
  results.shown |= {
    "samples/frames": clips.reshape(len(class_names), count, *clips.shape[1:]),
    "samples/class_names": np.array(class_names),
    "samples/real": np.stack(real),
  }
