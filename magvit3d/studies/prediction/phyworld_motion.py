"""What records of PhyWorld's scenes say of their motion."""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_gen import schema
from data_gen.records.scene_source import SceneSource, read_manifest
from data_gen.rendering import soft_figures
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.run.data import RunData

TRUE_CLIPS = "true"
# Splits out of distribution, and how a table calls them.
OOD_SPLITS = {
  "ood_size": "other radii",
  "ood_speed": "other speeds",
  "ood_size_speed": "other radii and speeds",
}


@dataclasses.dataclass(frozen=True)
class TrueMotion:
  """What is true of some scenes.

  Attributes:
    paths: Of the centres of the discs, from left to right, units.
    radii: Of the discs, units.
  """

  paths: Float[np.ndarray, "n d t 2"]
  radii: Float[np.ndarray, "n d"]

  @classmethod
  def read(cls, held_out: HeldOutScenes) -> "TrueMotion":
    """Reads what the records of scenes say."""
    source = held_out.source
    assert isinstance(source, SceneSource)
    keys = (schema.TRAJECTORY, schema.SIZE, schema.SHAPE)
    if schema.OBJECTS_SIZE in source.features:
      keys = (
        schema.OBJECTS_TRAJECTORY,
        schema.OBJECTS_SIZE,
        schema.OBJECTS_SHAPE,
      )
    frames = held_out.frames or slice(None)
    paths, radii = [], []
    for index in held_out.indices:
      scene = source.scene(index, keys)
      path, sizes, shapes = (np.asarray(scene[key]) for key in keys)
      paths.append(path.reshape(-1, *path.shape[-2:])[:, frames, :2])
      radii.append(
        [
          soft_figures.radius_of(source.shape_names[shape], float(size))
          for shape, size in zip(shapes.ravel(), sizes.ravel(), strict=True)
        ]
      )
    return cls(np.stack(paths).astype(float), np.array(radii))


def further_splits(data: RunData) -> list[str]:
  """Returns the splits out of distribution that have scenes."""
  found = read_manifest(data.folder)["splits"]
  return [split for split in OOD_SPLITS if split in found]


def arguments(data: RunData) -> dict:
  """Returns what PhyWorld's scenes were made with; empty of others."""
  found = read_manifest(data.folder)["arguments"]
  is_own = str(found.get("preset")).startswith(schema.PHYWORLD)
  return dict(found) if is_own else {}
