"""Reads the weights of I3D and C3D from a user's file.

Names are those of the Flax parameters, joined by slashes
("Mixed_3b/Branch_0.Conv3d_0a_1x1/conv_3d/kernel", "fc6/bias"), in the layout
that the networks declare. Of I3D also the names and shapes of the published
TensorFlow variables ("RGB/inception_i3d/Mixed_3b/Branch_0/.../w").
"""

import numpy as np
from jaxtyping import PyTree

from magvit3d.models.published import c3d, i3d, weight_files
from magvit3d.models.published.c3d import C3D
from magvit3d.models.published.i3d import I3D
from magvit3d.models.published.weight_files import WeightFile

_DOCUMENT = "docs/video_metrics.md says how to make one."
_TENSORFLOW_SCOPE = "RGB/inception_i3d/"
_TENSORFLOW_LEAVES = {"kernel": "w", "bias": "b"}


def load_i3d(path: str) -> tuple[PyTree, WeightFile]:
  """Returns the parameters of `I3D`, NumPy float32, and their file.

  Raises:
    UserError: The file is missing, unreadable, of a type we do not open, does
      not hold exactly I3D's arrays, or holds values that are not finite.
  """
  file = weight_files.read(path, "I3D")
  shapes = weight_files.parameter_shapes(
    I3D(), (1, i3d.MIN_FRAMES, i3d.FRAME_SIZE, i3d.FRAME_SIZE, 3)
  )
  keys = {leaf: "/".join(leaf) for leaf in shapes}
  arrays, convert = file.arrays, np.asarray
  if any(key.startswith(_TENSORFLOW_SCOPE) for key in arrays):
    keys = {leaf: _tensorflow_key(leaf) for leaf in shapes}
    arrays = {key.removesuffix(":0"): value for key, value in arrays.items()}
    convert = _from_tensorflow
  params = weight_files.fill(
    shapes,
    arrays,
    keys,
    path=path,
    network="I3D with the 400 classes of Kinetics",
    advice=_DOCUMENT,
    convert=convert,
  )
  return params, file


def load_c3d(path: str) -> tuple[PyTree, WeightFile]:
  """Returns the parameters of `C3D`, NumPy float32, and their file.

  Raises:
    UserError: As of `load_i3d`.
  """
  file = weight_files.read(path, "C3D")
  shapes = weight_files.parameter_shapes(
    C3D(), (1, c3d.NUM_FRAMES, c3d.FRAME_SIZE, c3d.FRAME_SIZE, 3)
  )
  params = weight_files.fill(
    shapes,
    file.arrays,
    {leaf: "/".join(leaf) for leaf in shapes},
    path=path,
    network="C3D with the 101 classes of UCF-101",
    advice=_DOCUMENT,
  )
  return params, file


def _tensorflow_key(leaf: weight_files.Leaf) -> str:
  *modules, name = leaf
  scope = "/".join(modules).replace(".", "/")
  return f"{_TENSORFLOW_SCOPE}{scope}/{_TENSORFLOW_LEAVES.get(name, name)}"


def _from_tensorflow(value: np.ndarray) -> np.ndarray:
  """Takes the leading axes of size 1 from batch norm's (1, 1, 1, 1, c)."""
  if value.shape[:-1] == (1, 1, 1, 1):
    return value.reshape(-1)
  return value
