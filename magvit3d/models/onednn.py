"""3D convolutions by oneDNN on CPUs: `conv_implementation="onednn"`.

`pip install "magvit3d[onednn]"` brings the library. The calls into it,
onednn_conv.cc, are compiled by the machine's C++ compiler when they are first
wanted, in seconds, and kept.

https://uxlfoundation.github.io/oneDNN
"""

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import logging
import math
import os
import pathlib
import subprocess
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_SOURCE = pathlib.Path(__file__).with_name("onednn_conv.cc")
_HANDLERS = "Magvit3dConvolve", "Magvit3dToClips", "Magvit3dToKernel"
_CONVOLVE, _TO_CLIPS, _TO_KERNEL = _HANDLERS
_PACKAGES = {  # Name of a file by the package that has it.
  "libdnnl.so.3": "onednn-cpu-gomp",
  "dnnl.hpp": "onednn-devel-cpu-gomp",
}
_log = logging.getLogger(__name__)

# Strides, zeros before and zeros after time, height and width.
_Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class _NotAvailable(Exception):
  """oneDNN, or a C++ compiler, is not there; says what to do."""


def is_available() -> bool:
  """Returns whether programs for this machine may call oneDNN.

  They may where one CPU device computes: XLA does not split such calls over
  devices. Compiles the calls where that has not been done.
  """
  return why_not() is None


def why_not() -> str | None:
  """Returns why programs cannot call oneDNN, and what to do; None: they can."""
  if jax.default_backend() != "cpu" or jax.device_count() > 1:
    return "oneDNN computes on one CPU device alone."
  return _load()


@functools.cache
def _load() -> str | None:
  """Makes the calls known to JAX; returns why that cannot be done."""
  try:
    library, header = (_find(*item) for item in _PACKAGES.items())
  except _NotAvailable as error:
    return str(error)
  try:
    with _passive_threads():
      ctypes.CDLL(str(library))
    # For this library alone: PyTorch and TensorFlow bring others of this name.
    calls = ctypes.CDLL(str(_compile(header, library)))
  except (_NotAvailable, OSError, RuntimeError) as error:
    _log.warning("oneDNN is installed but not used: %s", error)
    return str(error)
  for name in _HANDLERS:
    handler = jax.ffi.pycapsule(getattr(calls, name))
    jax.ffi.register_ffi_target(name, handler, platform="cpu")
  return None


@contextlib.contextmanager
def _passive_threads():
  """OpenMP is loaded so that who waits sleeps: XLA's threads want the cores."""
  policy = "OMP_WAIT_POLICY"
  is_given = policy in os.environ
  os.environ.setdefault(policy, "passive")
  try:
    yield
  finally:
    if not is_given:
      del os.environ[policy]


def _find(file: str, package: str) -> pathlib.Path:
  try:
    files = importlib.metadata.files(package) or []
  except importlib.metadata.PackageNotFoundError:
    files = []
  for path in files:
    if path.name == file:
      return pathlib.Path(path.locate()).resolve()
  raise _NotAvailable(
    f"{file} of oneDNN is missing: pip install 'magvit3d[onednn]', on Linux on "
    "x86."
  )


def _compile(header: pathlib.Path, library: pathlib.Path) -> pathlib.Path:
  """Returns the compiled calls, made anew where something else is installed."""
  headers = (header.parent, jax.ffi.include_dir())
  versions = map(importlib.metadata.version, ("jax", *_PACKAGES.values()))
  what = [_SOURCE.read_text(), *versions, *map(str, headers)]
  key = hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]
  cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  made = pathlib.Path(cache, "magvit3d", f"onednn-{key}.so")
  if made.exists():
    return made
  made.parent.mkdir(parents=True, exist_ok=True)
  part = made.with_name(f"{made.name}.{os.getpid()}")
  compiler = os.environ.get("CXX", "c++")
  command = [compiler, "-std=c++17", "-O2", "-fPIC", "-shared", "-w"]
  command += [f"-I{folder}" for folder in headers]
  try:
    done = subprocess.run(
      [*command, str(_SOURCE), str(library), "-o", str(part)],
      capture_output=True,
      text=True,
    )
  except OSError as error:
    raise _NotAvailable(
      f"No C++ compiler, which calls into oneDNN need: {error}. Install g++, "
      "or name one in CXX."
    ) from error
  if done.returncode:
    raise _NotAvailable(
      f"{compiler} cannot compile {_SOURCE.name}: {done.stderr[-2000:]}."
    )
  part.rename(made)
  return made


def conv3d(
  clips: Float[Array, "b t h w c"],
  kernel: Float[Array, "kt kh kw c f"],
  strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
) -> Float[Array, "b t2 h2 w2 f"]:
  """A 3D convolution; `padding` is 'SAME', 'VALID', or zeros, as in `lax`."""
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(
      clips.shape[1:4], kernel.shape[:3], strides, padding
    )
  before, after = zip(*padding, strict=True)
  return _convolve(clips, kernel, (tuple(strides), before, after))


def conv3d_transpose(
  clips: Float[Array, "b t h w c"],
  kernel: Float[Array, "kt kh kw c f"],
  strides: Sequence[int],
) -> Float[Array, "b t2 h2 w2 f"]:
  """A transposed 3D convolution with 'SAME' padding, as in `lax`.

  It is the gradient, to its input, of a convolution of these strides. Kernels
  are 4 wide, or 3 where the stride is 1.
  """
  b, *sizes, _ = clips.shape
  sizes = [n * stride for n, stride in zip(sizes, strides, strict=True)]
  sides = zip(kernel.shape, strides, strict=False)
  after = tuple(side - 1 - stride for side, stride in sides)
  window = tuple(strides), (1, 1, 1), after
  flipped = kernel[::-1, ::-1, ::-1].swapaxes(-1, -2)
  return _to_clips(clips, flipped, window, (b, *sizes, kernel.shape[-1]))


def _call(handler, shape, a, b, window):
  strides, before, after = (np.array(sizes, np.int64) for sizes in window)
  out, kernel = {
    _CONVOLVE: (shape, b.shape),
    _TO_CLIPS: (a.shape, b.shape),
    _TO_KERNEL: (b.shape, shape),
  }[handler]
  call = jax.ffi.ffi_call(
    handler,
    jax.ShapeDtypeStruct(shape, jnp.float32),
    vmap_method="sequential",
  )
  # For `monitoring.flops`: XLA does not see into the call.
  flops = np.int64(2 * math.prod(out[:-1]) * math.prod(kernel))
  return call(a, b, strides=strides, before=before, after=after, flops=flops)


# Each of the three is linear in both of its arguments, and its gradients are
# the other two.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(clips, kernel, window):
  sizes = (
    (n + before + after - k) // stride + 1
    for n, k, stride, before, after in zip(
      clips.shape[1:4], kernel.shape[:3], *window, strict=True
    )
  )
  shape = (len(clips), *sizes, kernel.shape[-1])
  return _call(_CONVOLVE, shape, clips, kernel, window)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _to_clips(out, kernel, window, shape):
  return _call(_TO_CLIPS, shape, out, kernel, window)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _to_kernel(clips, out, window, shape):
  return _call(_TO_KERNEL, shape, clips, out, window)


def _convolve_back(window, saved, out):
  clips, kernel = saved
  return (
    _to_clips(out, kernel, window, clips.shape),
    _to_kernel(clips, out, window, kernel.shape),
  )


def _to_clips_back(window, _, saved, clips):
  out, kernel = saved
  return (
    _convolve(clips, kernel, window),
    _to_kernel(clips, out, window, kernel.shape),
  )


def _to_kernel_back(window, _, saved, kernel):
  clips, out = saved
  return (
    _to_clips(out, kernel, window, clips.shape),
    _convolve(clips, kernel, window),
  )


for _function, _back in (
  (_convolve, _convolve_back),
  (_to_clips, _to_clips_back),
  (_to_kernel, _to_kernel_back),
):
  _function.defvjp(
    lambda *arguments, function=_function: (
      function(*arguments),
      arguments[:2],
    ),
    _back,
  )
