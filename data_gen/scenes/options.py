"""What a data set is made of: one field a flag of `python -m data_gen`."""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from data_gen import schema
from data_gen.files import user_paths
from data_gen.rendering import cameras, colors
from data_gen.scenes import phyworld_flags, phyworld_laws
from data_gen.scenes.flag_checks import (
  check_choice,
  check_interval,
  check_range,
  check_type,
)
from data_gen.shard_plan import ShardPlan

# Fields that do not change the records.
_INCIDENTAL = ("output_dir", "num_workers", "preview")
_MAX_COLORS = 24
_MAX_OBJECTS = 254  # Instance ids are bytes, and 0 is the background.
FILE_FORMATS = ("tfrecord", "array_record", "npz")
# Of an object, by preset, where --size_min and --size_max are 0.
_DEFAULT_SIZES = {"traj3d": (1.0, 3.0), "traj2d": (0.8, 1.2)}


_ONLY_IN_SPACE = (
  "camera_rig",
  "field_of_view",
  "camera_jitter",
  "target_jitter",
  "focal_jitter",
  "num_ood_camera",
  "ground_plane",
)


def _field(default, help_text: str):
  return dataclasses.field(default=default, metadata={"help": help_text})


@dataclasses.dataclass(frozen=True)
class DatasetOptions(ShardPlan):
  """Options of a data set; the help of each field is in its metadata.

  Raises:
    ValueError: A value is out of range; the message names the flag.
  """

  has_violations: ClassVar[bool] = False  # See `data_gen.scenes.violations`.
  has_camera_path: ClassVar[bool] = False  # See `moving_cameras`.

  output_dir: str = _field(
    "data/traj3d",
    "Folder for shards and manifest. If it holds an unfinished data set with "
    "the same options, the missing shards are added.",
  )
  preset: str = _field(
    "traj3d",
    "Kind of scenes: 'traj3d', solids in space, 'traj2d', flat figures that "
    "move over one image, or 'phyworld_uniform', 'phyworld_parabola' and "
    "'phyworld_collision', discs by PhyWorld's laws.",
  )
  file_format: str = _field(
    "tfrecord",
    "Of the shards: 'tfrecord', 'array_record', or 'npz' (arrays of videos, "
    "masks, paths, labels and cameras for use elsewhere; magvit3d does not "
    "read them).",
  )
  num_train: int = _field(6000, "Scenes to train on.")
  num_validation: int = _field(1000, "Scenes to validate on.")
  num_test: int = _field(1000, "Scenes to test on.")
  num_ood_pair: int = _field(
    0, "Scenes of split ood_pair: only the pair --ood_pair."
  )
  num_ood_camera: int = _field(
    0,
    "Scenes of split ood_camera: cameras that no other split has, turned by "
    "45 degrees (rings: half a step) about the z axis and half a metre higher.",
  )
  num_ood_speed: int = _field(
    0,
    "Scenes of split ood_speed: turning motions at 1.4 to 1.7 times the "
    "speed of their (scaled) nominal path, others at 0.4 to 0.6; elsewhere it "
    "is 0.75 to 1.25.",
  )
  num_ood_size: int = _field(
    0,
    "Scenes of split ood_size, of phyworld_*: radii of 0.3 to 0.6 or 1.5 to 2 "
    "units; elsewhere they are 0.7 to 1.4.",
  )
  num_ood_size_speed: int = _field(
    0,
    "Scenes of split ood_size_speed, of phyworld_*: radii as in ood_size and "
    "speeds as in ood_speed, which are 0 to 0.8 or 4.5 to 6 units per second "
    "there; elsewhere they are 1 to 4.",
  )
  num_ood_cues: int = _field(
    0, "Scenes of split ood_cues: the other pairs of values of --cues."
  )
  cues: str = _field(
    "",
    "Two of color, size, velocity and shape that are tied, in "
    "phyworld_uniform, such as color,shape: red discs and blue squares. Empty "
    "for none.",
  )
  ood_pair: str = _field(
    "",
    "Pair of shape and motion that all other splits leave out, such as "
    "cone_helical; empty for none.",
  )
  seed: int = _field(0, "With the other options it determines every byte.")
  image_size: int = _field(128, "Height and width of a frame, pixels.")
  num_frames: int = _field(
    16, "Frames of a scene; of the presets phyworld_* 32, unless given."
  )
  size_min: float = _field(
    0.0,
    "Least scale of an object; at 1 a cube has sides of 0.1 m. 0 for the "
    "preset's own: 1 in space, 0.8 for flat figures.",
  )
  size_max: float = _field(
    0.0,
    "Largest scale of an object. 0 for the preset's own: 3 in space, 1.2 for "
    "flat figures.",
  )
  path_scale_min: float = _field(
    1.0, "Least scale of the nominal path, whose circle has a radius of 0.3 m."
  )
  path_scale_max: float = _field(1.0, "Largest scale of the nominal path.")
  position_noise: float = _field(
    0.006,
    "Largest standard deviation of the position noise, metres: in 80% of the "
    "scenes it is uniform between a third of this and this. 0 for none.",
  )
  spin: float = _field(
    0.0,
    "Most turns of an object about an axis of its own during a clip; each "
    "turns by a uniform share of it, either way.",
  )
  random_motion: bool = _field(
    False, "Adds a fifth motion: a smooth random path."
  )
  num_objects: int = _field(1, "Objects that move, the main one included.")
  num_clutter: int = _field(0, "Objects that stand still.")
  num_transients: int = _field(
    0, "Moving objects that appear for one to three frames only."
  )
  camera_rig: str = _field(
    "default",
    "'default' (three cameras), 'ring:N' (N around the scene), 'random:N' "
    "(other ones in each scene), or positions in metres: 'x,y,z; x,y,z; ...'.",
  )
  field_of_view: float = _field(45.0, "Of the cameras, vertical, degrees.")
  camera_jitter: float = _field(
    0.0, "Largest shift of a camera along each axis, in each scene, metres."
  )
  target_jitter: float = _field(
    0.0,
    "Largest shift of the point that a camera looks at, along each axis, in "
    "each scene, metres.",
  )
  focal_jitter: float = _field(
    0.0,
    "Largest relative change of a camera's focal length, in each scene.",
  )
  background: str = _field(
    "0,0,0", "Colour 'r,g,b' in [0, 1], or 'random' for one in each scene."
  )
  ground_plane: bool = _field(
    False, "Puts a ground below the objects, with soft shadows."
  )
  depths: bool = _field(False, "Also writes depth maps.")
  flows: bool = _field(False, "Also writes optical flow to the next frame.")
  num_colors: int = _field(
    0, "Number of saturated colours to choose from; 0 for any visible colour."
  )
  color_by_shape: bool = _field(
    False, "Cubes are red, cylinders green and cones blue."
  )
  scenes_per_shard: int = _field(250, "Scenes of a full shard.")
  num_workers: int = _field(
    0,
    "Processes that render; 0 for one a core that this process may use. The "
    "bytes stay the same.",
  )
  preview: int = _field(
    4, "Scenes on the contact sheet preview.png in output_dir; 0 for none."
  )

  def __post_init__(self):
    for field in dataclasses.fields(self):
      check_type(field.name, getattr(self, field.name), field.type)
    # Frozen, but here.
    folder = user_paths.expanded(self.output_dir)
    object.__setattr__(self, "output_dir", folder)
    if not self.output_dir:
      raise ValueError("--output_dir is empty: name a folder for the shards.")
    check_choice("preset", self.preset, tuple(schema.PRESETS))
    self._settle_phyworld()
    self._check_file_format()
    self._check_splits()
    self._check_objects()
    self._check_cameras()
    check_range("seed", self.seed, 0, 2**32 - 1)
    check_range("image_size", self.image_size, 8, 4096)
    check_range("num_frames", self.num_frames, 4, 1024)
    check_range("scenes_per_shard", self.scenes_per_shard, 1, 10**6)
    check_range("num_workers", self.num_workers, 0, 1024)
    check_range("preview", self.preview, 0, 100)

  def _settle_phyworld(self) -> None:
    """Checks flags of PhyWorld, and gives others the values of its presets."""
    phyworld_flags.check(vars(self), dataclasses.fields(self))
    if self.is_phyworld:
      for name, value in phyworld_flags.OWN.items():
        object.__setattr__(self, name, value)

  def _check_file_format(self) -> None:
    check_choice("file_format", self.file_format, FILE_FORMATS)
    if self.file_format != "npz":
      return
    for name, is_asked in (
      ("depths", self.depths),
      ("flows", self.flows),
      ("violations", self.has_violations),
      ("moving_cameras", self.has_camera_path),
    ):
      if is_asked:
        raise ValueError(
          f"--file_format=npz has no arrays for what --{name} adds: use "
          "tfrecord or array_record."
        )

  def _check_splits(self) -> None:
    for split in schema.SPLITS:
      most = schema.MAX_SCENES_PER_SPLIT - 1
      check_range(f"num_{split}", self.num_scenes(split), 0, most)
    if not sum(map(self.num_scenes, schema.SPLITS)):
      raise ValueError(
        "--num_train, --num_validation and --num_test are all 0: nothing to do."
      )
    if self.ood_pair:
      check_choice("ood_pair", self.ood_pair, self.class_names)
    if self.num_ood_pair and not self.ood_pair:
      raise ValueError(
        f"--num_ood_pair={self.num_ood_pair} needs --ood_pair: the pair to "
        "leave out elsewhere, such as cone_helical."
      )

  def _check_objects(self) -> None:
    low, high = _DEFAULT_SIZES.get(self.preset, phyworld_laws.RADII[0])
    # Frozen, but here: 0 stands for the preset's own.
    object.__setattr__(self, "size_min", self.size_min or low)
    object.__setattr__(self, "size_max", self.size_max or high)
    check_interval("size", self.size_min, self.size_max, 8.0)
    check_interval("path_scale", self.path_scale_min, self.path_scale_max, 3.0)
    check_range("position_noise", self.position_noise, 0, 0.1)
    check_range("spin", self.spin, 0, 100)
    check_range("num_objects", self.num_objects, 1, _MAX_OBJECTS)
    check_range("num_clutter", self.num_clutter, 0, _MAX_OBJECTS)
    check_range("num_transients", self.num_transients, 0, _MAX_OBJECTS)
    if self.num_scene_objects > _MAX_OBJECTS:
      raise ValueError(
        f"--num_objects, --num_clutter and --num_transients make "
        f"{self.num_scene_objects} objects; at most {_MAX_OBJECTS} fit a mask."
      )
    check_range("num_colors", self.num_colors, 0, _MAX_COLORS)
    if self.color_by_shape and self.num_colors:
      raise ValueError(
        f"--color_by_shape and --num_colors={self.num_colors} exclude each "
        "other: drop one of them."
      )
    if self.background != colors.RANDOM_BACKGROUND:
      self._check_background(colors.parse_background(self.background))

  def _check_background(self, background: np.ndarray) -> None:
    for color in self.fixed_colors:
      if not colors.is_visible(color, background[None]):
        raise ValueError(
          f"--background={self.background} is too near to the colour "
          f"{color.round(2).tolist()} of an object (--num_colors, "
          "--color_by_shape), or to a shade of it. Choose another background."
        )

  def _check_cameras(self) -> None:
    cameras.parse_rig(self.camera_rig)
    check_range("field_of_view", self.field_of_view, 5, 120)
    check_range("camera_jitter", self.camera_jitter, 0, 1)
    check_range("target_jitter", self.target_jitter, 0, 0.5)
    check_range("focal_jitter", self.focal_jitter, 0, 0.5)
    if self.depths:
      self._check_depths()
    if self.preset != "traj2d":
      return
    fields = {field.name: field.default for field in dataclasses.fields(self)}
    for name in _ONLY_IN_SPACE:
      if getattr(self, name) != fields[name]:
        raise ValueError(
          f"--{name}={getattr(self, name)} has no meaning for "
          "--preset=traj2d, which has one fixed image: drop it."
        )

  def _check_depths(self) -> None:
    positions = cameras.parse_rig(self.camera_rig)
    if isinstance(positions, int):
      farthest = cameras.RANDOM_DISTANCES_M[1]
    else:
      lift = cameras.OOD_LIFT_M if self.num_ood_camera else 0.0
      farthest = np.linalg.norm(positions, axis=-1).max() + lift
    # The corner of the world, where the far end of a cone may be farther.
    farthest += 1.5 + 0.12 * self.size_max
    farthest += math.sqrt(3) * self.camera_jitter
    limit = 65535 * schema.DEPTH_UNIT_M
    if farthest >= limit:
      raise ValueError(
        f"--depths stores up to {limit:.2f} m, and from --camera_rig="
        f"{self.camera_rig} an object may be {farthest:.2f} m away. Move the "
        "cameras nearer."
      )

  @property
  def is_phyworld(self) -> bool:
    """Whether the scenes are those of `data_gen.scenes.phyworld`."""
    return self.preset.startswith(schema.PHYWORLD)

  @property
  def is_flat(self) -> bool:
    """Whether all is in the plane z = 0, seen by one camera."""
    return schema.is_flat(self.preset)

  @property
  def shapes(self) -> tuple[str, ...]:
    """Names of the shapes, by label."""
    return schema.PRESETS[self.preset].shapes

  @property
  def motions(self) -> tuple[str, ...]:
    """Names of the motions, by label."""
    return schema.motion_names(self.preset, self.random_motion)

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the pairs of shape and motion, by class."""
    return schema.class_names(self.preset, self.random_motion)

  @property
  def fixed_colors(self) -> np.ndarray:
    """Colours that objects may have, (C, 3); none if they may have any."""
    if self.color_by_shape:
      return colors.SHAPE_COLORS
    return colors.make_palette(self.num_colors)

  @property
  def num_views(self) -> int:
    """Cameras of a scene."""
    return 1 if self.is_flat else cameras.num_views(self.camera_rig)

  @property
  def num_scene_objects(self) -> int:
    """Objects of a scene, those that come and go included."""
    if self.is_phyworld:
      return 2 if self.preset == "phyworld_collision" else 1
    return self.num_objects + self.num_clutter + self.num_transients

  @property
  def splits(self) -> tuple[str, ...]:
    """The three usual splits, and others that have scenes."""
    return tuple(
      split
      for split in schema.SPLITS
      if not split.startswith("ood_") or self.num_scenes(split)
    )

  def num_scenes(self, split: str) -> int:
    """Returns the number of scenes of one of `schema.SPLITS`."""
    return getattr(self, f"num_{split}")

  def arguments(self) -> dict[str, int | float | bool | str]:
    """Returns the options that determine the records, as for JSON."""
    values = dataclasses.asdict(self)
    left_out = set(_INCIDENTAL)
    if not self.is_phyworld:  # As in data sets older than those presets.
      left_out.update(phyworld_flags.ONLY_HERE)
    return {name: v for name, v in values.items() if name not in left_out}
