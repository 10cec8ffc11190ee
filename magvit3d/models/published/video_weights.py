"""Reads the weights of I3D and C3D from a user's file.

Names are those of the Flax parameters, joined by slashes
("Mixed_3b/Branch_0.Conv3d_0a_1x1/conv_3d/kernel", "fc6/bias"), in the layout
that the networks declare; or those of files in circulation:

I3D: the published TensorFlow checkpoint, and its conversions to PyTorch, by
piergiaj (rgb_imagenet.pt; VideoGPT's i3d_pretrained_400.pt has its names) and
by hassony2 (model_rgb.pth).
C3D: Chainer's conversion of the published Caffe model, as TGAN's inception
score uses it, and PyTorch modules with the same names; both with the mean clip.
"""

import re
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.models.published import c3d, i3d, weight_files
from magvit3d.models.published.c3d import C3D
from magvit3d.models.published.i3d import I3D
from magvit3d.models.published.weight_files import WeightFile, Weights

_DOCUMENT = "docs/video_metrics.md says how to make one."
_TENSORFLOW_SCOPE = "RGB/inception_i3d/"
_TENSORFLOW_LEAVES = {"kernel": "w", "bias": "b"}
# The one published convolution that is not called as in the other blocks.
_MISNAMED = (
  "Mixed_5b/Branch_2/Conv3d_0b_3x3/",
  "Mixed_5b/Branch_2/Conv3d_0a_3x3/",
)
_PIERGIAJ_UNITS = {
  "Branch_0.Conv3d_0a_1x1": "b0",
  "Branch_1.Conv3d_0a_1x1": "b1a",
  "Branch_1.Conv3d_0b_3x3": "b1b",
  "Branch_2.Conv3d_0a_1x1": "b2a",
  "Branch_2.Conv3d_0b_3x3": "b2b",
  "Branch_3.Conv3d_0b_1x1": "b3b",
  "Logits.Conv3d_0c_1x1": "logits",
}
_HASSONY_UNITS = {
  "Branch_0.Conv3d_0a_1x1": "branch_0",
  "Branch_1.Conv3d_0a_1x1": "branch_1.0",
  "Branch_1.Conv3d_0b_3x3": "branch_1.1",
  "Branch_2.Conv3d_0a_1x1": "branch_2.0",
  "Branch_2.Conv3d_0b_3x3": "branch_2.1",
  "Branch_3.Conv3d_0b_1x1": "branch_3.1",  # The first is a pooling.
}
_TORCH_LEAVES = {
  "kernel": "weight",
  "bias": "bias",
  "beta": "bias",
  "moving_mean": "running_mean",
  "moving_variance": "running_var",
}
# "conv1a/W" of Chainer; "conv1.weight", "backbone.fc6.bias" of PyTorch.
_OTHER_C3D = re.compile(
  r"(?:.*\.)?(conv\d[ab]?|fc[678])(/W|/b|\.weight|\.bias)"
)
_MEAN_MARGIN = 8  # Pixels.
_MEAN_SHAPES = tuple(
  (3, c3d.NUM_FRAMES, *size) for size in ((128, 171), (c3d.FRAME_SIZE,) * 2)
)
_MOST_CHANNELS = 2**12


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
    arrays = {key.removesuffix(":0"): value for key, value in arrays.items()}
    keys = {leaf: _tensorflow_key(leaf, arrays) for leaf in shapes}
    convert = _from_tensorflow
  elif found := _find_torch(arrays):
    prefix, make_key = found
    arrays = {key.removeprefix(prefix): value for key, value in arrays.items()}
    arrays = _without_scales(arrays, path)
    keys = {leaf: make_key(leaf) for leaf in shapes}
    convert = weight_files.from_torch_layout
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
  arrays, convert = file.arrays, np.asarray
  if any(_OTHER_C3D.fullmatch(key) for key in arrays):
    arrays = _renamed_c3d(arrays, path)
    convert = weight_files.from_torch_layout
  params = weight_files.fill(
    shapes,
    arrays,
    {leaf: "/".join(leaf) for leaf in shapes},
    path=path,
    network="C3D with the 101 classes of UCF-101",
    advice=f"{_DOCUMENT} Networks trained on Sports-1M alone, of 487 classes, "
    "will not do.",
    convert=lambda value: value if value.ndim == 4 else convert(value),
  )
  return params, file


def _tensorflow_key(
  leaf: weight_files.Leaf, arrays: Mapping[str, Weights]
) -> str:
  *modules, name = leaf
  scope = "/".join(modules).replace(".", "/")
  key = f"{_TENSORFLOW_SCOPE}{scope}/{_TENSORFLOW_LEAVES.get(name, name)}"
  published = key.replace(*_MISNAMED)
  return published if published in arrays else key


def _from_tensorflow(value: np.ndarray) -> np.ndarray:
  """Takes the leading axes of size 1 from batch norm's (1, 1, 1, 1, c)."""
  if value.shape[:-1] == (1, 1, 1, 1):
    return value.reshape(-1)
  return value


def _find_torch(
  arrays: Mapping[str, Weights],
) -> tuple[str, Callable[[weight_files.Leaf], str]] | None:
  """The prefix of PyTorch's names ("module."), and what makes them of ours."""
  for first, make_key in (
    ("Conv3d_1a_7x7.conv3d.weight", _piergiaj_key),
    ("conv3d_1a_7x7.conv3d.weight", _hassony_key),
  ):
    for key in arrays:
      if key.endswith(first):
        return key.removesuffix(first), make_key
  return None


def _piergiaj_key(leaf: weight_files.Leaf) -> str:
  """ "Mixed_3b.b1a.conv3d.weight" and the like."""
  *blocks, unit, layer, name = ("", *leaf)
  place = _PIERGIAJ_UNITS.get(unit, unit)
  blocks = [block for block in blocks if block]
  return ".".join([*blocks, place, *_torch_layer(layer, name, "bn")])


def _hassony_key(leaf: weight_files.Leaf) -> str:
  """ "mixed_3b.branch_1.0.conv3d.weight" and the like."""
  *blocks, unit, layer, name = ("", *leaf)
  place = _HASSONY_UNITS.get(unit, unit.split(".")[-1].lower())
  blocks = [block.lower() for block in blocks if block]
  return ".".join([*blocks, place, *_torch_layer(layer, name, "batch3d")])


def _torch_layer(layer: str, name: str, norm: str) -> tuple[str, str]:
  module = "conv3d" if layer == "conv_3d" else norm
  return module, _TORCH_LEAVES[name]


def _without_scales(
  arrays: Mapping[str, Weights], path: str
) -> dict[str, Weights]:
  """PyTorch's batch norm has a scale, which is 1 here, and counts batches."""
  kept, scaled = {}, set()
  for key, value in arrays.items():
    if key.endswith((".bn.weight", ".batch3d.weight")):
      is_long = value.ndim != 1 or value.shape[0] > _MOST_CHANNELS
      if is_long or np.any(weight_files.array_of(value, path) != 1):
        scaled.add(key)
    elif not key.endswith(".num_batches_tracked"):
      kept[key] = value
  if scaled:
    raise UserError(
      f"{path} {weight_files.listed('has scales other than 1 in', scaled)}: it "
      "was trained further than the published I3D, whose batch norm has none. "
      f"{_DOCUMENT}"
    )
  return kept


def _renamed_c3d(
  arrays: Mapping[str, Weights], path: str
) -> dict[str, Weights]:
  """Our names, and our offset in place of the mean clip."""
  renamed = {}
  for key, value in arrays.items():
    if found := _OTHER_C3D.fullmatch(key):
      layer = {"conv1": "conv1a", "conv2": "conv2a"}.get(found[1], found[1])
      name = "kernel" if found[2] in ("/W", ".weight") else "bias"
      renamed[f"{layer}/{name}"] = value
    elif key == "mean" and value.shape in _MEAN_SHAPES:
      size = c3d.FRAME_SIZE
      # Of 128 x 171 pixels, TGAN takes these.
      first = _MEAN_MARGIN if value.shape[2] > size else 0
      part = slice(first, first + size)
      mean = weight_files.array_of(value, path).astype(np.float32)
      offset = -mean[:, :, part, part]
      renamed["x_offset"] = offset.transpose(1, 2, 3, 0)
    else:
      renamed[key] = value
  return renamed
