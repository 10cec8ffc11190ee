"""Trained networks as programs open them: what --run or --model names."""

import pathlib

from magvit3d.api import BATCH_SIZE, Magvit
from magvit3d.cli import jax_setup
from magvit3d.pretrained import files, shipped


def open_model(path: pathlib.Path, *, batch_size: int = BATCH_SIZE) -> Magvit:
  """Opens a work folder, what `save_pretrained` wrote, or a name.

  The folder may be a stranger's: it does not choose where compiled programs,
  which are machine code, are read from. JAX_COMPILATION_CACHE_DIR does.

  Args:
    path: Of the folder; or the name of a model that comes with the package.
    batch_size: See `Magvit`.

  Raises:
    UserError: It is none of these, or is damaged.
  """
  is_folder = path.exists() and str(path) not in shipped.names()
  if not is_folder or files.is_export(path):
    return Magvit.from_pretrained(path, batch_size=batch_size)
  magvit = Magvit.from_run(path, batch_size=batch_size)
  jax_setup.set_precision(magvit.trained.config)
  return magvit
