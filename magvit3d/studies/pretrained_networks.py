"""The trained networks that `config.pretrained` of a study names."""

import pathlib

from jax.sharding import Mesh

from data_gen.files import user_paths
from magvit3d.errors import UserError
from magvit3d.inference import finished_run
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.parallel import sharding
from magvit3d.pretrained import files, shipped


def load(name: str | None, mesh: Mesh) -> TrainedNetworks:
  """Returns them, on all devices.

  Args:
    name: Of a model that comes with the package; the work folder of a run; or
      a folder of `save_pretrained`.
    mesh: Devices.

  Raises:
    UserError: There are none, or they are damaged.
  """
  if not name:
    raise UserError(
      "config.pretrained is missing: trained networks, such as traj3d-tiny, "
      "the --workdir of a run, or a folder of save_pretrained."
    )
  place = sharding.replicated(mesh)
  if name in shipped.names():
    return shipped.load(name, place)
  folder = pathlib.Path(user_paths.read(name))
  if not folder.exists():
    raise shipped.unknown(name)
  if files.is_export(folder):
    return files.load(folder, place)
  return finished_run.load(folder, place)
