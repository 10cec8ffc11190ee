"""What a data set is made of: one field a flag of `python -m data_gen`."""

import dataclasses
import math

from data_gen import schema

# Fields that do not change the records.
_INCIDENTAL = ("output_dir", "num_workers", "preview")
_MAX_COLORS = 24


def _field(default, help_text: str):
  return dataclasses.field(default=default, metadata={"help": help_text})


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
  """Options of a data set; the help of each field is in its metadata.

  Raises:
    ValueError: A value is out of range; the message names the flag.
  """

  output_dir: str = _field(
    "data/traj3d",
    "Folder for shards and manifest. If it holds an unfinished data set with "
    "the same options, the missing shards are added.",
  )
  num_train: int = _field(6000, "Scenes to train on.")
  num_validation: int = _field(1000, "Scenes to validate on.")
  num_test: int = _field(1000, "Scenes to test on.")
  seed: int = _field(0, "With the other options it determines every byte.")
  image_size: int = _field(128, "Height and width of a frame, pixels.")
  num_frames: int = _field(16, "Frames of a scene.")
  size_min: float = _field(
    1.0, "Least scale of an object; at 1 a cube has sides of 0.1 m."
  )
  size_max: float = _field(3.0, "Largest scale of an object.")
  path_scale_min: float = _field(
    1.0, "Least scale of the nominal path, whose circle has a radius of 0.3 m."
  )
  path_scale_max: float = _field(1.0, "Largest scale of the nominal path.")
  position_noise: float = _field(
    0.006,
    "Largest standard deviation of the position noise, metres: in 80% of the "
    "scenes it is uniform between a third of this and this. 0 for none.",
  )
  num_colors: int = _field(
    0, "Number of saturated colours to choose from; 0 for any visible colour."
  )
  color_by_shape: bool = _field(
    False, "Cubes are red, cylinders green and cones blue."
  )
  scenes_per_shard: int = _field(250, "Scenes of a full shard.")
  num_workers: int = _field(
    0, "Processes that render; 0 for one a core. The bytes stay the same."
  )
  preview: int = _field(
    4, "Scenes on the contact sheet preview.png in output_dir; 0 for none."
  )

  def __post_init__(self):
    for field in dataclasses.fields(self):
      _check_type(field.name, getattr(self, field.name), field.type)
    if not self.output_dir:
      raise ValueError("--output_dir is empty: name a folder for the shards.")
    for split in schema.SPLITS:
      most = schema.MAX_SCENES_PER_SPLIT - 1
      _check_range(f"num_{split}", self.num_scenes(split), 0, most)
    if not sum(map(self.num_scenes, schema.SPLITS)):
      raise ValueError(
        "--num_train, --num_validation and --num_test are all 0: nothing to do."
      )
    _check_range("seed", self.seed, 0, 2**32 - 1)
    _check_range("image_size", self.image_size, 8, 4096)
    _check_range("num_frames", self.num_frames, 4, 1024)
    _check_interval("size", self.size_min, self.size_max, 8.0)
    _check_interval("path_scale", self.path_scale_min, self.path_scale_max, 3.0)
    _check_range("position_noise", self.position_noise, 0, 0.1)
    _check_range("num_colors", self.num_colors, 0, _MAX_COLORS)
    if self.color_by_shape and self.num_colors:
      raise ValueError(
        f"--color_by_shape and --num_colors={self.num_colors} exclude each "
        "other: drop one of them."
      )
    _check_range("scenes_per_shard", self.scenes_per_shard, 1, 10**6)
    _check_range("num_workers", self.num_workers, 0, 1024)
    _check_range("preview", self.preview, 0, 100)

  def num_scenes(self, split: str) -> int:
    """Returns the number of scenes of one of `schema.SPLITS`."""
    return getattr(self, f"num_{split}")

  def num_shards(self, split: str) -> int:
    """Returns the number of shards of a split; 0 for an empty one."""
    return -(-self.num_scenes(split) // self.scenes_per_shard)

  def shard_scenes(self, split: str, shard: int) -> range:
    """Returns the numbers of the scenes in a shard of a split."""
    first = shard * self.scenes_per_shard
    return range(
      first, min(first + self.scenes_per_shard, self.num_scenes(split))
    )

  def arguments(self) -> dict[str, int | float | bool]:
    """Returns the options that determine the records, as for JSON."""
    values = dataclasses.asdict(self)
    return {name: v for name, v in values.items() if name not in _INCIDENTAL}


def _check_type(name, value, expected):
  if expected is float:
    is_good = isinstance(value, int | float) and math.isfinite(value)
    is_good = is_good and not isinstance(value, bool)
  elif expected is int:
    is_good = isinstance(value, int) and not isinstance(value, bool)
  else:
    is_good = isinstance(value, expected)
  if not is_good:
    raise ValueError(f"--{name}={value!r} is not a valid {expected.__name__}.")


def _check_range(name, value, low, high):
  if not low <= value <= high:
    raise ValueError(
      f"--{name}={value} is out of range: give a value from {low} to {high}."
    )


def _check_interval(name, low, high, limit):
  if not 0 < low <= high <= limit:
    raise ValueError(
      f"--{name}_min={low} and --{name}_max={high} are no interval: they must "
      f"be positive, in this order, and at most {limit}."
    )
