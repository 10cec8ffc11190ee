"""Reads weights of published networks from a user's file.

A `.safetensors` or an `.npz` file holds arrays by name. It must hold exactly
the arrays of the network, so that no layer stays random. Pickled files are
refused: opening one can run any program it holds.
"""

import dataclasses
import hashlib
import math
import pathlib
import zipfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from data_gen.files import array_files, plain_files
from magvit3d.errors import UserError

Leaf = tuple[str, ...]  # Names of a parameter's modules, and its own.

_PICKLED = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar")
_NUM_NAMED = 4  # Keys that a message names.
_MOST_BYTES, _MOST_HEADER_BYTES = 2**32, 2**24  # Of a file, and of its names.
_ERRORS = (safetensors.SafetensorError, ValueError, TypeError, OSError)
# Of safetensors; what is none of them holds no numbers for us.
_DTYPES = {
  "F16": jnp.float16,
  "BF16": jnp.bfloat16,
  "F32": jnp.float32,
  "F64": np.float64,
  "I8": np.int8,
  "I16": np.int16,
  "I32": np.int32,
  "I64": np.int64,
  "U8": np.uint8,
  "U16": np.uint16,
  "U32": np.uint32,
  "U64": np.uint64,
  "BOOL": np.bool_,
}
_TORCH_LEAVES = {
  "kernel": "weight",
  "scale": "weight",
  "bias": "bias",
  "moving_mean": "running_mean",
  "moving_variance": "running_var",
}


@runtime_checkable
class Weights(Protocol):
  """An array of a file, which `numpy.asarray` reads; or one that was read."""

  @property
  def shape(self) -> tuple[int, ...]: ...
  @property
  def ndim(self) -> int: ...
  @property
  def dtype(self) -> Any: ...
  def __array__(self, dtype: Any = None) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class WeightFile:
  """What a file holds.

  Attributes:
    path: As messages call it.
    arrays: By name; none has been read.
    sha256: Of the file, in hexadecimal: says which weights were used.
  """

  path: str
  arrays: Mapping[str, Weights]
  sha256: str


def read(path: str, network: str) -> WeightFile:
  """Reads a file.

  Args:
    path: Of a `.safetensors` or an `.npz` file.
    network: What messages say that its weights are of.

  Raises:
    UserError: The file is missing, unreadable, or of a type we do not open.
  """
  arrays = _find_arrays(pathlib.Path(path), network)
  with plain_files.open_file(pathlib.Path(path)) as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  return WeightFile(path, arrays, digest)


def parameter_shapes(
  network: nn.Module, input_shape: tuple[int, ...]
) -> dict[Leaf, tuple[int, ...]]:
  """Returns the shapes of a network's parameters, without computing them."""
  inputs = jax.ShapeDtypeStruct(input_shape, jnp.float32)
  tree = jax.eval_shape(network.init, jax.random.key(0), inputs)["params"]
  return {leaf: array.shape for leaf, array in flatten_dict(tree).items()}


def fill(
  shapes: Mapping[Leaf, tuple[int, ...]],
  arrays: Mapping[str, Weights],
  keys: Mapping[Leaf, str],
  *,
  path: str,
  network: str,
  advice: str,
  convert: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> PyTree:
  """Returns parameters, NumPy float32, taken from a file's arrays.

  Args:
    shapes: Of the parameters.
    arrays: Of the file, without those that may be passed over.
    keys: Where the file has each parameter.
    path: What messages call the file.
    network: What messages call what it should hold.
    advice: What to do if it holds something else: a sentence.
    convert: Turns an array of the file into the layout of ours.

  Raises:
    UserError: The arrays are not exactly those, or are no finite numbers.
  """
  wanted, found = set(keys.values()), set(arrays)
  problems = [
    listed("lacks", wanted - found),
    listed("has unexpected", found - wanted),
  ]
  if any(problems):
    raise UserError(
      f"{path} does not hold {network}: it "
      f"{' and '.join(filter(None, problems))}. {advice}"
    )
  text = {key for key in wanted if not _is_numeric(arrays[key])}
  if text:
    raise UserError(f"{path} {listed('has no numbers in', text)}. {advice}")
  wrong, flat = set(), {}
  for leaf, key in keys.items():
    # One of another size is not even read.
    if math.prod(arrays[key].shape) == math.prod(shapes[leaf]):
      value = convert(array_of(arrays[key], path))
      flat[leaf] = np.asarray(value, np.float32, order="C")
    if leaf not in flat or flat[leaf].shape != shapes[leaf]:
      wrong.add(f"{key} (shape {arrays[key].shape})")
  if wrong:
    raise UserError(
      f"{path} holds another network than {network}, or has another layout: "
      f"it {listed('has mis-shaped', wrong)}. {advice}"
    )
  broken = {
    keys[leaf] for leaf, value in flat.items() if not np.all(np.isfinite(value))
  }
  if broken:
    raise UserError(
      f"{path} {listed('has NaN or infinite values in', broken)}. The file "
      "is damaged, or its training had diverged; take another."
    )
  return unflatten_dict(flat)


def array_of(array: Weights, path: str) -> np.ndarray:
  """Reads an array of a file; raises UserError if it is damaged."""
  try:
    return np.asarray(array)
  except _ERRORS as error:
    raise _unreadable(path, error) from error


def torch_key(leaf: Leaf) -> str:
  """Returns PyTorch's name of a parameter whose modules have its names."""
  return f"{'.'.join(leaf[:-1])}.{_TORCH_LEAVES[leaf[-1]]}"


def from_torch_layout(value: np.ndarray) -> np.ndarray:
  """Moves output channels last: (o, i, h, w) -> (h, w, i, o), and so on."""
  axes = {5: (2, 3, 4, 1, 0), 4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim)
  return value if axes is None else value.transpose(axes)


def listed(verb: str, names: Collection[str]) -> str:
  """'lacks a, b and 3 more'; empty where there are no names."""
  if not names:
    return ""
  shown = ", ".join(sorted(names)[:_NUM_NAMED])
  rest = len(names) - _NUM_NAMED
  return f"{verb} {shown}" + (f" and {rest} more" if rest > 0 else "")


def _is_numeric(array: Weights) -> bool:
  # JAX's, since it knows bfloat16.
  return jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(
    array.dtype, jnp.integer
  )


def _find_arrays(path: pathlib.Path, network: str) -> Mapping[str, Weights]:
  if path.suffix in _PICKLED:
    raise _pickled(path)
  if path.suffix not in (".safetensors", ".npz"):
    raise UserError(
      f"{path}: weights are read from .safetensors or .npz files, not "
      f"{path.suffix or 'files without a suffix'!r}."
    )
  if not path.is_file():
    raise UserError(f"{path}: there is no such file of {network} weights.")
  try:
    if plain_files.check(path).st_size > _MOST_BYTES:
      raise ValueError("it has more than 4 GiB, as none of these networks has")
    if path.suffix == ".npz":
      return array_files.open_npz(path)
    with plain_files.open_file(path) as file:
      if int.from_bytes(file.read(8), "little") > _MOST_HEADER_BYTES:
        raise ValueError("its header is too large")
    with safetensors.safe_open(path, "np") as file:
      return {
        key: _Tensor(path, key, file.get_slice(key)) for key in file.keys()
      }
  except _ERRORS as error:
    raise _unreadable(path, error) from error


class _Tensor:
  """An array of a `.safetensors` file; see `Weights`."""

  def __init__(self, path: pathlib.Path, key: str, part: Any):
    self._path, self._key = path, key
    self.shape = tuple(part.get_shape())
    self.ndim = len(self.shape)
    self.dtype = np.dtype(_DTYPES.get(part.get_dtype(), "V1"))

  def __array__(
    self, dtype: Any = None, copy: bool | None = None
  ) -> np.ndarray:
    with safetensors.safe_open(self._path, "np") as file:
      array = file.get_tensor(self._key)
    return array if dtype is None else array.astype(dtype)


def _unreadable(path: pathlib.Path | str, error: Exception) -> UserError:
  return UserError(
    f"{path} cannot be read ({error}). It may be cut short; copy or convert it "
    "again."
  )


def _pickled(path: pathlib.Path) -> UserError:
  """What to say of a file that is not opened, and how to convert it."""
  if _is_torchscript(path):
    what = "is a TorchScript program, which is not run"
    load = f"torch.jit.load('{path.name}', map_location='cpu').state_dict()"
  else:
    what = (
      "is a pickle file, which could run any program when opened, and is not "
      "read"
    )
    load = f"torch.load('{path.name}', weights_only=True, map_location='cpu')"
  return UserError(
    f"{path} {what}. Convert it where you trust it, with torch and safetensors "
    'installed: python -c "import torch, safetensors.torch as s; '
    f"d = {load}; d = d.get('state_dict', d); "
    "s.save_file({k: v.clone().contiguous() for k, v in d.items()}, "
    f"'{path.stem}.safetensors')\""
  )


def _is_torchscript(path: pathlib.Path) -> bool:
  """Whether an archive of PyTorch holds code; by its name if it is damaged."""
  try:
    with zipfile.ZipFile(path) as archive:
      return any("/code/" in name for name in archive.namelist())
  except (OSError, zipfile.BadZipFile):
    return "torchscript" in path.name.lower()
