"""Names that writer and reader share: classes, splits, features and files.

A class is a pair of shape and motion: `shape * number of motions + motion`.
The names of a data set's own classes are in its manifest.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Preset:
  """A family of scenes.

  Attributes:
    shapes: Their names, by label.
    motions: Their names, by label.
  """

  shapes: tuple[str, ...]
  motions: tuple[str, ...]


# In space, or flat figures on one image; by the name of the data set.
PRESETS = {
  "traj3d": Preset(
    ("cube", "cylinder", "cone"),
    ("linear", "circular", "helical", "parabolic"),
  ),
  "traj2d": Preset(
    ("square", "circle", "triangle"),
    ("linear", "circular", "sine", "parabolic"),
  ),
  # See `data_gen.scenes.phyworld`; squares are for --cues.
  "phyworld_uniform": Preset(("circle", "square"), ("uniform",)),
  "phyworld_parabola": Preset(("circle",), ("parabola",)),
  "phyworld_collision": Preset(("circle",), ("collision",)),
}
PHYWORLD = "phyworld_"  # Their names start so.
# A further motion of every preset, if asked for.
RANDOM = "random"
# Motion of objects that stand still.
STILL = -1
# The data set's name of footage (see `data_gen.footage.footage`), and its shape
# and motion.
FOOTAGE = "footage"
UNKNOWN = -1

# The place of a split in this tuple enters the seeds: only ever append.
SPLITS = (
  "train",
  "validation",
  "test",
  "ood_pair",
  "ood_camera",
  "ood_speed",
  "ood_size",
  "ood_size_speed",
  "ood_cues",
)
MAX_SCENES_PER_SPLIT = 10**9

# Any change of the bytes of a data set with the same options raises this.
FORMAT_VERSION = 2

MANIFEST_NAME = "manifest.json"
PREVIEW_NAME = "preview.png"

# Feature keys of tf.train.Example; (...)* is flattened row-major. V cameras,
# T frames, N objects.
FRAMES = "frames"  # PNG, RGB, one a frame, view-major: V*T entries.
MASKS = "masks"  # PNG, uint8 instance id, 0 background, as `frames`.
SHAPE = "shape"  # int64
MOTION = "motion"  # int64
CLASS = "class"  # int64
SCENE_ID = "scene_id"  # int64, unique over the splits.
SEED = "seed"  # int64, the data set's.
TRAJECTORY = "trajectory"  # float (T,3)*, metres, as rendered.
TRAJECTORY_CLEAN = "trajectory_clean"  # float (T,3)*, before the noise.
ORIENTATION = "orientation"  # float (T,4)*, quaternion wxyz.
SIZE = "size"  # float, scale of the solid.
COLOR = "color"  # float (3), in [0, 1].
BACKGROUND = "background"  # float (3), in [0, 1], where it is plain.
BACKGROUND_FRAMES = "background_frames"  # PNG, RGB, one a view, otherwise.
INTRINSICS = "intrinsics"  # float (V,3,3)*, pixels.
CAMERA_FROM_WORLD = "camera_from_world"  # float (V,3,4)*.
CAPTION = "caption"  # bytes, UTF-8.

# Optional.
DEPTHS = "depths"  # PNG, uint16, as `frames`; z in DEPTH_UNIT_M.
FLOWS = "flows"  # int16 (H,W,2)* little-endian, V*(T-1) entries; FLOW_UNIT_PX.
DEPTH_UNIT_M = 1e-4  # 0 is nothing; 65535 that far or farther.
FLOW_UNIT_PX = 1 / 16  # x to the right, y down, to the next frame.

# Of cameras that move; see `data_gen.scenes.moving_cameras`.
CAMERA_PATH = "camera_path"  # float (T,3)*, metres since the first frame.

# With more than one object: of all of them, the main one first. Number i of
# these has instance id i + 1 in the masks.
OBJECTS_SHAPE = "objects/shape"  # int64 (N)
OBJECTS_MOTION = "objects/motion"  # int64 (N), STILL for those that stay.
OBJECTS_FIRST_FRAME = "objects/first_frame"  # int64 (N)
OBJECTS_LAST_FRAME = "objects/last_frame"  # int64 (N), inclusive.
OBJECTS_IS_TRANSIENT = "objects/is_transient"  # int64 (N), 0 or 1.
OBJECTS_SIZE = "objects/size"  # float (N)
OBJECTS_COLOR = "objects/color"  # float (N,3)*
OBJECTS_TRAJECTORY = "objects/trajectory"  # float (N,T,3)*
OBJECTS_ORIENTATION = "objects/orientation"  # float (N,T,4)*

# Of pairs; see `data_gen.scenes.violations`.
VIOLATION_KIND = "violation/kind"  # int64, of `violations.KINDS`.
VIOLATION_FRAME = "violation/frame"  # int64, the first one that differs.
VIOLATION_VIEW = "violation/view"  # int64, the camera; -1 for all.
IMPOSSIBLE_FRAMES = "impossible/frames"  # As FRAMES.
IMPOSSIBLE_MASKS = "impossible/masks"  # As MASKS.
IMPOSSIBLE_TRAJECTORY = "impossible/trajectory"  # As TRAJECTORY.


def motion_names(preset: str, random_motion: bool) -> tuple[str, ...]:
  """Returns the motions of a preset, by label."""
  return PRESETS[preset].motions + ((RANDOM,) if random_motion else ())


def is_flat(preset: str) -> bool:
  """Whether all is in the plane z = 0, seen by one camera."""
  return preset == "traj2d" or preset.startswith(PHYWORLD)


def length_unit(preset: str) -> str:
  """Returns the unit of positions, 'm'; PhyWorld's have a unit of their own."""
  return "units" if preset.startswith(PHYWORLD) else "m"


def class_names(preset: str, random_motion: bool) -> tuple[str, ...]:
  """Returns the pairs of shape and motion of a preset, by class."""
  motions = motion_names(preset, random_motion)
  return tuple(f"{s}_{m}" for s in PRESETS[preset].shapes for m in motions)


def scene_id(split: str, index: int) -> int:
  """Returns an id that no other scene of any split has."""
  return SPLITS.index(split) * MAX_SCENES_PER_SPLIT + index


def shard_name(
  dataset: str, split: str, file_format: str, shard: int, num_shards: int
) -> str:
  """Returns the file name of shard number `shard` of a split.

  Args:
    dataset: Key of PRESETS, or FOOTAGE.
    split: One of SPLITS.
    file_format: "tfrecord", "array_record" or "npz".
    shard: Number of the shard.
    num_shards: Shards of the split.
  """
  place = f"{shard:05d}-of-{num_shards:05d}"
  if file_format == "npz":
    return f"{dataset}-{split}-{place}.npz"
  return f"{dataset}-{split}.{file_format}-{place}"
