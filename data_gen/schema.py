"""Names that writer and reader share: classes, splits, features and files.

A class is a pair of shape and motion: `shape * len(MOTIONS) + motion`.
"""

SHAPES = ("cube", "cylinder", "cone")
MOTIONS = ("linear", "circular", "helical", "parabolic")
NUM_CLASSES = len(SHAPES) * len(MOTIONS)
CLASSES = tuple(f"{shape}_{motion}" for shape in SHAPES for motion in MOTIONS)

# The place of a split in this tuple enters the seeds: only ever append.
SPLITS = ("train", "validation", "test")
MAX_SCENES_PER_SPLIT = 10**9

# Any change of the bytes of a data set with the same options raises this.
FORMAT_VERSION = 1

MANIFEST_NAME = "manifest.json"
PREVIEW_NAME = "preview.png"

# Feature keys of tf.train.Example; (...)* is flattened row-major.
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
BACKGROUND = "background"  # float (3), in [0, 1].
INTRINSICS = "intrinsics"  # float (V,3,3)*, pixels.
CAMERA_FROM_WORLD = "camera_from_world"  # float (V,3,4)*.
CAPTION = "caption"  # bytes, UTF-8.


def class_index(shape: int, motion: int) -> int:
  """Returns the class of a shape and a motion, in [0, NUM_CLASSES)."""
  return shape * len(MOTIONS) + motion


def scene_id(split: str, index: int) -> int:
  """Returns an id that no other scene of any split has."""
  return SPLITS.index(split) * MAX_SCENES_PER_SPLIT + index


def shard_name(split: str, shard: int, num_shards: int) -> str:
  """Returns the file name of shard number `shard` of a split."""
  return f"traj3d-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"
