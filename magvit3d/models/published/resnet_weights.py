"""Reads ResNet-50 weights from a file in torchvision's layout.

Keys are those of torchvision's state dict ("layer1.0.conv1.weight", ...); see
`weight_files` for the types of files.
"""

from collections.abc import Mapping

from absl import logging
from jaxtyping import PyTree

from magvit3d.models.published import weight_files
from magvit3d.models.published.resnet import FRAME_SIZE, ResNet50

_IGNORED = "num_batches_tracked"


def load_resnet50(path: str) -> PyTree:
  """Returns the parameters of `ResNet50` that the file holds, NumPy float32.

  Logs the file's SHA-256, which says which weights a run used.

  Raises:
    UserError: The file is missing, unreadable, of a type we do not open, does
      not hold exactly ResNet-50's arrays, or holds values that are not finite.
  """
  file = weight_files.read(path, "ResNet-50")
  params = from_torchvision(file.arrays, path)
  logging.info("ResNet-50 weights: %s, SHA-256 %s.", path, file.sha256)
  return params


def from_torchvision(
  tensors: Mapping[str, weight_files.Weights], path: str
) -> PyTree:
  """Converts torchvision's arrays; `path` is what messages call the file.

  Raises:
    UserError: See `load_resnet50`.
  """
  shapes = weight_files.parameter_shapes(
    ResNet50(), (1, FRAME_SIZE, FRAME_SIZE, 3)
  )
  return weight_files.fill(
    shapes,
    {k: v for k, v in tensors.items() if not k.endswith(_IGNORED)},
    {leaf: weight_files.torch_key(leaf) for leaf in shapes},
    path=path,
    network="torchvision's ResNet-50",
    advice="Save the state dict of `torchvision.models.resnet50` as it is.",
    convert=weight_files.from_torch_layout,
  )
