"""Reads ResNet-50 weights from a file in torchvision's layout.

Keys are those of torchvision's state dict ("layer1.0.conv1.weight", ...), in a
`.safetensors` or an `.npz` file. Pickled files are refused: opening one can
run any program it holds.
"""

import hashlib
import pathlib
import zipfile
import zlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from absl import logging
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.models.resnet import FRAME_SIZE, ResNet50

_LEAVES = {
  "kernel": "weight",
  "scale": "weight",
  "bias": "bias",
  "moving_mean": "running_mean",
  "moving_variance": "running_var",
}
_IGNORED = "num_batches_tracked"
_PICKLED = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar")
_NUM_NAMED = 4  # Keys that a message names.


def load_resnet50(path: str) -> PyTree:
  """Returns the parameters of `ResNet50` that the file holds, NumPy float32.

  Logs the file's SHA-256, which says which weights a run used.

  Raises:
    UserError: The file is missing, unreadable, of a type we do not open, does
      not hold exactly ResNet-50's arrays, or holds values that are not finite.
  """
  tensors = _read(pathlib.Path(path))
  with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  params = from_torchvision(tensors, path)
  logging.info("ResNet-50 weights: %s, SHA-256 %s.", path, digest)
  return params


def from_torchvision(tensors: Mapping[str, np.ndarray], path: str) -> PyTree:
  """Converts torchvision's arrays; `path` is what messages call the file.

  Raises:
    UserError: See `load_resnet50`.
  """
  frames = jax.ShapeDtypeStruct((1, FRAME_SIZE, FRAME_SIZE, 3), jnp.float32)
  tree = jax.eval_shape(ResNet50().init, jax.random.key(0), frames)["params"]
  shapes = {path: leaf.shape for path, leaf in flatten_dict(tree).items()}
  keys = {path: f"{'.'.join(path[:-1])}.{_LEAVES[path[-1]]}" for path in shapes}
  found = {key for key in tensors if not key.endswith(_IGNORED)}
  problems = [
    _listed("lacks", set(keys.values()) - found),
    _listed("has unexpected", found - set(keys.values())),
  ]
  if any(problems):
    raise UserError(
      f"{path} does not hold torchvision's ResNet-50: it "
      f"{' and '.join(filter(None, problems))}. Save the state dict of "
      "`torchvision.models.resnet50` as it is."
    )
  flat = {
    leaf: _to_flax(np.asarray(tensors[key])) for leaf, key in keys.items()
  }
  wrong = {
    f"{keys[leaf]} (shape {tensors[keys[leaf]].shape})"
    for leaf, value in flat.items()
    if value.shape != shapes[leaf]
  }
  if wrong:
    raise UserError(
      f"{path} is another network than ResNet-50 or in another layout than "
      f"torchvision's: it {_listed('has mis-shaped', wrong)}. Save the state "
      "dict of `torchvision.models.resnet50` as it is."
    )
  broken = {
    keys[leaf] for leaf, value in flat.items() if not np.all(np.isfinite(value))
  }
  if broken:
    raise UserError(
      f"{path} {_listed('has NaN or infinite values in', broken)}. The file "
      "is damaged, or its training had diverged; take another."
    )
  return unflatten_dict(flat)


def _to_flax(value: np.ndarray) -> np.ndarray:
  """Moves output channels last: (o, i, h, w) -> (h, w, i, o), and so on."""
  axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
  value = value if axes is None else value.transpose(axes)
  return np.ascontiguousarray(value, dtype=np.float32)


def _listed(verb: str, names: set[str]) -> str:
  """'lacks a, b and 3 more'; empty where there are no names."""
  if not names:
    return ""
  shown = ", ".join(sorted(names)[:_NUM_NAMED])
  rest = len(names) - _NUM_NAMED
  return f"{verb} {shown}" + (f" and {rest} more" if rest > 0 else "")


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  if path.suffix in _PICKLED:
    raise UserError(
      f"{path} is a pickle file, which could run any program when opened, and "
      "is not read. Convert it where you trust it, with torch and safetensors "
      'installed: python -c "import torch, safetensors.torch as s; '
      f"s.save_file(torch.load('{path.name}', weights_only=True), "
      f"'{path.stem}.safetensors')\""
    )
  if path.suffix not in (".safetensors", ".npz"):
    raise UserError(
      f"{path}: weights are read from .safetensors or .npz files, not "
      f"{path.suffix or 'files without a suffix'!r}."
    )
  if not path.is_file():
    raise UserError(f"{path}: there is no such file of ResNet-50 weights.")
  try:
    if path.suffix == ".safetensors":
      return safetensors.numpy.load_file(path)
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
      return dict(arrays)
  except (
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    OSError,
  ) as error:
    raise UserError(
      f"{path} cannot be read ({error}). It may be cut short; copy or convert "
      "it again."
    ) from error
