"""One split of a data set, opened to be looked at."""

import pathlib

import numpy as np

from data_gen import schema
from data_gen.errors import DataError
from data_gen.records.scene_source import SceneSource, read_manifest
from data_gen.scenes import motions

UNKNOWN = "unknown"
_MAX_COLUMNS = 4


class DataSet:
  """A split that has scenes, and the names of what is in it.

  Attributes:
    folder: Where it is.
    split: Its name.
    source: Its scenes.
    class_counts: Scenes by class name, as in the manifest.
  """

  def __init__(self, folder: pathlib.Path, split: str):
    """Opens a split.

    Raises:
      DataError: There is no such folder, data set, split or shard.
    """
    if not folder.is_dir():
      raise DataError(f"--data={folder} is no folder: name that of a data set.")
    manifest = read_manifest(folder)
    found = {
      name: content["num_scenes"]
      for name, content in manifest["splits"].items()
    }
    if not found.get(split):
      choices = [f"{name} ({count})" for name, count in found.items() if count]
      raise DataError(
        f"--split={split}: {folder} has no scenes of that split. It has "
        f"{', '.join(choices) or 'none at all'}."
      )
    self.folder = folder
    self.split = split
    self.source = SceneSource(folder, split)
    self.class_counts: dict[str, int] = manifest["splits"][split][
      "class_counts"
    ]
    self._preset = manifest["dataset"]
    self._arguments = manifest["arguments"]

  @property
  def name(self) -> str:
    """The preset, or where else the scenes are from."""
    return self._preset

  @property
  def is_flat(self) -> bool:
    """Whether all is in the plane z = 0."""
    return schema.is_flat(self._preset)

  @property
  def unit(self) -> str:
    """Of positions: 'm', or 'units'."""
    return schema.length_unit(self._preset)

  @property
  def has_ground(self) -> bool:
    """Whether there is a ground below the objects."""
    return bool(self._arguments.get("ground_plane"))

  @property
  def bounds(self) -> np.ndarray | None:
    """Largest |x|, |y| and |z| of an object, (3,), metres, if limited."""
    if self._preset not in motions.BOUNDS:
      return None
    return np.array(motions.BOUNDS[self._preset])

  def scene(self, index: int) -> dict:
    """Returns all of a scene; see `SceneSource.scene`.

    Raises:
      DataError: There is no such scene, or it is damaged.
    """
    if not 0 <= index < len(self.source):
      raise DataError(
        f"--scene={index} does not exist: the {self.split} split of "
        f"{self.folder} has {len(self.source)} scenes, numbers 0 to "
        f"{len(self.source) - 1}."
      )
    scene = self.source.scene(index)
    _check_numbers(scene, f"Scene {index} of {self.split} in {self.folder}")
    return scene

  def shape_name(self, label: int) -> str:
    """Returns the name of a shape, or UNKNOWN."""
    return _name(self.source.shape_names, label)

  def motion_name(self, label: int) -> str:
    """Returns the name of a motion, or UNKNOWN."""
    return _name(self.source.motion_names, label)

  def class_name(self, label: int) -> str:
    """Returns the name of a class, or UNKNOWN."""
    return _name(self.source.class_names, label)

  @property
  def num_class_columns(self) -> int:
    """Columns that put classes of the same motion below each other."""
    source = self.source
    pairs = tuple(
      f"{shape}_{motion}"
      for shape in source.shape_names
      for motion in source.motion_names
    )
    if pairs and pairs == source.class_names:
      return len(source.motion_names)
    return num_columns(len(source.class_names))


def _check_numbers(scene: dict, name: str) -> None:
  """Raises DataError for numbers that nothing can be drawn of."""
  matrices = scene[schema.INTRINSICS], scene[schema.CAMERA_FROM_WORLD]
  for matrix in matrices:
    linear = matrix[..., :3]
    with np.errstate(all="ignore"):
      is_regular = np.abs(np.linalg.det(linear.astype(float))) > 0
    if not np.isfinite(matrix).all() or not is_regular.all():
      raise DataError(f"{name} has a camera that cannot be. Get the data anew.")
  for key, value in scene.items():
    if np.asarray(value).dtype.kind == "f" and np.isinf(value).any():
      raise DataError(f"{name} has an infinite {key}. Get the data anew.")


def camera_name(view: int) -> str:
  """Returns how pages and figures call a camera."""
  return f"camera {view}"


def num_columns(num_tiles: int) -> int:
  """Returns in how many columns to lay out tiles, so that few are missing."""
  return -(-num_tiles // -(-num_tiles // _MAX_COLUMNS))


def has_masks(masks: np.ndarray) -> bool:
  """Whether masks tell anything: those of imported footage may be empty."""
  return bool(masks.any())


def path_length_m(path: np.ndarray) -> float:
  """Returns the length of a path (T, 3), metres.

  Steps from or to an unknown (NaN) position do not count; NaN if all do not.
  """
  steps = np.linalg.norm(np.diff(path.astype(float), axis=0), axis=-1)
  known = steps[np.isfinite(steps)]
  return float(known.sum()) if len(known) else float("nan")


def _name(names: tuple[str, ...], label: int) -> str:
  return names[label] if 0 <= label < len(names) else UNKNOWN
