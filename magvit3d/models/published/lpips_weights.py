"""Reads the weights of LPIPS from a user's file, or from two.

Keys are torchvision's for the network below ("features.0.weight", ...; its
classifier is passed over) and those of the published linear layers
("lin0.model.1.weight" to "lin4.model.1.weight"). The state dict of the package
lpips has both, the former as "net.slice1.0.weight", ...
"""

import re
from collections.abc import Mapping, Sequence

from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.models.published import weight_files
from magvit3d.models.published.lpips import Lpips
from magvit3d.models.published.lpips_backbones import ARCHITECTURES
from magvit3d.models.published.weight_files import WeightFile, Weights

# torchvision's classifier, and timm's of the same network; of the package lpips
# its second names of the linear layers, and the scale of pixels.
_PASSED_OVER = (
  "classifier.",
  "pre_logits.",
  "head.",
  "lins.",
  "scaling_layer.",
)
# "net.slice2.5.weight": the same convolutions in the package lpips.
_SLICE = re.compile(r"(?:.*\.)?net\.slice\d\.(\d+\.(?:weight|bias))")
_FIRST = "features.0.weight"
_FIRST_SHAPES = {"vgg16": (64, 3, 3, 3), "alexnet": (64, 3, 11, 11)}


def load_lpips(
  paths: Sequence[str],
) -> tuple[str, PyTree, tuple[WeightFile, ...]]:
  """Returns the backbone's name, the parameters of `Lpips`, and the files.

  Args:
    paths: One file with all, or one of the backbone and one of the layers.

  Raises:
    UserError: Files are missing, unreadable, of a type we do not open, do not
      hold exactly the arrays of one of the networks, or hold values that are
      not finite.
  """
  files = tuple(weight_files.read(path, "LPIPS") for path in paths)
  arrays: dict[str, Weights] = {}
  for file in files:
    named = _by_our_names(file.arrays)
    twice = arrays.keys() & named.keys()
    if twice:
      raise UserError(
        f"{file.path} {weight_files.listed('repeats', twice)} of "
        f"{files[0].path}. Give one file, or one of the backbone and one of "
        "the linear layers."
      )
    arrays |= named
  text = " and ".join(paths)
  backbone = _find_backbone(arrays, text)
  size = ARCHITECTURES[backbone].min_frame_size
  shapes = weight_files.parameter_shapes(Lpips(backbone), (1, 2, size, size, 3))
  params = weight_files.fill(
    shapes,
    {k: v for k, v in arrays.items() if not k.startswith(_PASSED_OVER)},
    # Without the module that holds the backbone.
    {leaf: weight_files.torch_key(leaf[-2:]) for leaf in shapes},
    path=text,
    network=f"LPIPS with {backbone}",
    advice="Give torchvision's features and the five linear layers of version "
    "0.1, in one file or in two; see docs/video_metrics.md.",
    convert=weight_files.from_torch_layout,
  )
  return backbone, params, files


def _by_our_names(arrays: Mapping[str, Weights]) -> dict[str, Weights]:
  """torchvision's names in place of those of the package lpips."""
  renamed = {}
  for key, value in arrays.items():
    found = _SLICE.fullmatch(key)
    renamed[f"features.{found[1]}" if found else key] = value
  return renamed


def _find_backbone(arrays: Mapping[str, Weights], path: str) -> str:
  found = arrays[_FIRST].shape if _FIRST in arrays else ()
  for name, shape in _FIRST_SHAPES.items():
    if found == shape:
      return name
  what = f"its shape is {found}" if _FIRST in arrays else "it is not there"
  raise UserError(
    f"{path} holds neither vgg16 nor alexnet: {_FIRST} would have the shape "
    f"{' or '.join(map(str, _FIRST_SHAPES.values()))}, but {what}. Give "
    "torchvision's features, by its names; see docs/video_metrics.md."
  )
