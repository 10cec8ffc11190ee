"""Classes as users name them: by shape, by motion, or by both."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from magvit3d.errors import UserError


def matching_labels(
  class_names: Sequence[str],
  shape: str | None = None,
  motion: str | None = None,
) -> Int[np.ndarray, " n"]:
  """Returns the classes of a shape, a motion, or both; all for neither.

  Args:
    class_names: By label. A name such as 'cone_helical' is a shape and a
      motion; footage has names of its own, all of which are the shape.
    shape: Of the object, or the name of a class.
    motion: Of the object.

  Raises:
    UserError: No class has them; the message lists those there are.
  """
  if motion is None and shape in class_names:
    return np.array([class_names.index(shape)], np.int32)
  pairs = [_split(name) for name in class_names]
  for field, place, wanted in (("shape", 0, shape), ("motion", 1, motion)):
    known = dict.fromkeys(pair[place] for pair in pairs)
    if wanted is not None and wanted not in known:
      listed = ", ".join(filter(None, known)) or "none"
      raise UserError(f"{field}={wanted!r} is unknown; this run has: {listed}.")
  found = [
    label
    for label, pair in enumerate(pairs)
    if shape in (None, pair[0]) and motion in (None, pair[1])
  ]
  if not found:
    raise UserError(
      f"shape={shape!r} with motion={motion!r} is no class of this run; these "
      f"are: {', '.join(class_names)}."
    )
  return np.array(found, np.int32)


def _split(name: str) -> tuple[str, str]:
  shape, _, motion = name.partition("_")
  return (shape, motion) if motion and "_" not in motion else (name, "")
