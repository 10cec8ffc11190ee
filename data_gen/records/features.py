"""What a record holds: type, shape and encoding of each feature.

The manifest of a data set lists them, so that readers need nothing else.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from data_gen import schema
from data_gen.scenes.options import DatasetOptions

# Numbers of entries and images, which are those of arrays in memory.
_Length = Annotated[int, msgspec.Meta(ge=0, le=2**20)]


@dataclasses.dataclass(frozen=True)
class Feature:
  """One key of a record's tf.train.Example.

  Attributes:
    dtype: Of the stored values: "uint8", "uint16" or "int16" for images;
      "int64", "float32" or "str" otherwise.
    shape: Of the decoded array; numbers are stored flattened, row-major.
    encoding: "numbers", "text", "png" (a PNG file for each image) or "raw"
      (little-endian bytes of each image).
    num_list_axes: Leading axes of `shape` that number the images.
    scale: A stored value times this is in the unit of the feature.
  """

  dtype: Literal[
    "uint8", "uint16", "uint32", "int16", "int64", "float32", "str"
  ]
  shape: tuple[_Length, ...] = ()
  encoding: Literal["numbers", "text", "png", "raw"] = "numbers"
  num_list_axes: _Length = 0
  scale: float = 1.0

  @property
  def num_images(self) -> int:
    """Entries of the bytes list of images."""
    return math.prod(self.shape[: self.num_list_axes])

  @property
  def image_shape(self) -> tuple[int, ...]:
    """Shape of one image."""
    return self.shape[self.num_list_axes :]

  def to_json(self) -> dict[str, Any]:
    """Returns the feature as for JSON; see `from_json`."""
    return dataclasses.asdict(self) | {"shape": list(self.shape)}

  @classmethod
  def from_json(cls, content: Mapping[str, Any]) -> "Feature":
    """Returns the feature that `to_json` described.

    Raises:
      ValueError: It describes none.
    """
    unknown = content.keys() - cls.__dataclass_fields__.keys()
    if unknown:
      raise ValueError(f"a feature has the unknown field {min(unknown)!r}")
    return msgspec.convert(content, cls)

  @property
  def nbytes(self) -> int:
    """Bytes of the decoded array; of texts none are known."""
    if self.encoding == "text":
      return 0
    return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def _images(dtype, shape, num_list_axes, encoding="png", scale=1.0):
  return Feature(dtype, shape, encoding, num_list_axes, scale)


def make_features(options: DatasetOptions) -> dict[str, Feature]:
  """Returns the features of a data set by key."""
  views, times = options.num_views, options.num_frames
  size = options.image_size
  integer, number = Feature("int64"), Feature("float32")
  text = Feature("str", encoding="text")

  def floats(*shape):
    return Feature("float32", shape)

  features = {
    schema.FRAMES: _images("uint8", (views, times, size, size, 3), 2),
    schema.MASKS: _images("uint8", (views, times, size, size), 2),
    schema.SHAPE: integer,
    schema.MOTION: integer,
    schema.CLASS: integer,
    schema.SCENE_ID: integer,
    schema.SEED: integer,
    schema.TRAJECTORY: floats(times, 3),
    schema.TRAJECTORY_CLEAN: floats(times, 3),
    schema.ORIENTATION: floats(times, 4),
    schema.SIZE: number,
    schema.COLOR: floats(3),
    schema.INTRINSICS: floats(views, 3, 3),
    schema.CAMERA_FROM_WORLD: floats(views, 3, 4),
    schema.CAPTION: text,
  }
  if options.ground_plane:
    features[schema.BACKGROUND_FRAMES] = _images(
      "uint8", (views, size, size, 3), 1
    )
  else:
    features[schema.BACKGROUND] = floats(3)
  if options.depths:
    features[schema.DEPTHS] = _images(
      "uint16", (views, times, size, size), 2, scale=schema.DEPTH_UNIT_M
    )
  if options.flows:
    features[schema.FLOWS] = _images(
      "int16",
      (views, times - 1, size, size, 2),
      2,
      encoding="raw",
      scale=schema.FLOW_UNIT_PX,
    )
  if options.has_violations:
    features |= {
      schema.VIOLATION_KIND: integer,
      schema.VIOLATION_FRAME: integer,
      schema.VIOLATION_VIEW: integer,
      schema.IMPOSSIBLE_FRAMES: features[schema.FRAMES],
      schema.IMPOSSIBLE_MASKS: features[schema.MASKS],
      schema.IMPOSSIBLE_TRAJECTORY: features[schema.TRAJECTORY],
    }
  if options.has_camera_path:
    features[schema.CAMERA_PATH] = features[schema.TRAJECTORY]
  count = options.num_scene_objects
  if count > 1:
    integers = Feature("int64", (count,))
    features |= {
      schema.OBJECTS_SHAPE: integers,
      schema.OBJECTS_MOTION: integers,
      schema.OBJECTS_FIRST_FRAME: integers,
      schema.OBJECTS_LAST_FRAME: integers,
      schema.OBJECTS_IS_TRANSIENT: integers,
      schema.OBJECTS_SIZE: floats(count),
      schema.OBJECTS_COLOR: floats(count, 3),
      schema.OBJECTS_TRAJECTORY: floats(count, times, 3),
      schema.OBJECTS_ORIENTATION: floats(count, times, 4),
    }
  return features
