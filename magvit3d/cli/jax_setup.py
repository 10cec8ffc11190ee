"""Settings of JAX for a run: where compiled programs are kept, precision."""

import os
import pathlib

import jax

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError

CACHE_NAME = "compiled_programs"
_PRECISIONS = ("default", "high", "highest", "bfloat16", "tensorfloat32")


def set_up(config: RunConfig, workdir: pathlib.Path) -> None:
  """Applies `config.compilation_cache_dir` and `config.matmul_precision`.

  Compiled programs are kept beside the work folder unless the config, or
  JAX_COMPILATION_CACHE_DIR, names another place: runs that differ in nothing
  that is compiled share them, and a resumed run starts at once.

  Raises:
    UserError: The precision is unknown.
  """
  set_precision(config)
  chosen = config.compilation_cache_dir
  if chosen is None and os.environ.get("JAX_COMPILATION_CACHE_DIR"):
    return
  folder = chosen or workdir.absolute().parent / CACHE_NAME
  jax.config.update("jax_compilation_cache_dir", str(folder))


def set_precision(config: RunConfig) -> None:
  """Applies `config.matmul_precision`; raises UserError if it is unknown."""
  precision = config.matmul_precision
  if precision is not None and precision not in _PRECISIONS:
    raise UserError(
      f"config.matmul_precision={precision!r} is unknown; use one of "
      f"{', '.join(_PRECISIONS)}, or None for JAX's own."
    )
  if precision is not None:
    jax.config.update("jax_default_matmul_precision", precision)
