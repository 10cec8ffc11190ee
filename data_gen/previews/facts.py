"""What a record says of its scene, in words and numbers."""

import dataclasses

import numpy as np

from data_gen import schema
from data_gen.previews.data_set import (
  UNKNOWN,
  DataSet,
  has_masks,
  path_length_m,
)
from data_gen.rendering import colors


@dataclasses.dataclass(frozen=True)
class ObjectFacts:
  """One object of a scene.

  Attributes:
    name: Such as "cone, helical".
    kind: "main", "moving", "still" or "transient".
    size: Scale; NaN if unknown.
    color: "#rrggbb", or None if unknown.
    first_frame, last_frame: Its lifetime, both inclusive.
    path: (T, 3), metres; NaN where unknown.
    visible_px: Pixels of its mask, (V, T); None if there are no masks.
  """

  name: str
  kind: str
  size: float
  color: str | None
  first_frame: int
  last_frame: int
  path: np.ndarray
  visible_px: np.ndarray | None

  @property
  def visible_range_px(self) -> tuple[int, int] | None:
    """Least and most pixels in its lifetime; None without masks."""
    if self.visible_px is None:
      return None
    alive = self.visible_px[:, self.first_frame : self.last_frame + 1]
    return int(alive.min()), int(alive.max())


def describe_objects(data: DataSet, scene: dict) -> list[ObjectFacts]:
  """Returns the objects of a scene, the main one first."""
  masks = scene[schema.MASKS] if has_masks(scene[schema.MASKS]) else None
  return [
    ObjectFacts(
      name=f"{data.shape_name(labels[0])}, "
      + _moves(data, labels[1], is_main=number == 0),
      kind=_kind(number, *labels[1:3]),
      size=float(size),
      color=_color(color),
      first_frame=int(labels[3]),
      last_frame=int(labels[4]),
      path=path,
      visible_px=None
      if masks is None
      else (masks == number + 1).sum((2, 3), dtype=int),
    )
    for number, (labels, size, color, path) in enumerate(_objects(scene))
  ]


def describe_scene(
  data: DataSet, scene: dict, things: list[ObjectFacts]
) -> dict[str, str]:
  """Returns facts by name, as text; what is not known is "unknown"."""
  main = things[0]
  noise = scene[schema.TRAJECTORY] - scene[schema.TRAJECTORY_CLEAN]
  known = noise[np.isfinite(noise)]
  noise_m = np.sqrt(np.mean(known**2)) if known.size else np.nan
  visible = main.visible_range_px
  return {
    "shape": data.shape_name(scene[schema.SHAPE]),
    "motion": data.motion_name(scene[schema.MOTION]),
    "class": data.class_name(scene[schema.CLASS]),
    "size": _number(main.size, "", 3),
    "colour": f"{colors.name_color(scene[schema.COLOR])} {main.color}"
    if main.color
    else UNKNOWN,
    "path length": _number(
      path_length_m(scene[schema.TRAJECTORY_CLEAN]), f" {data.unit}", 3
    ),
    "position noise": _number(1e3 * noise_m, " mm RMS an axis", 2)
    if noise_m
    else "none",
    "visible": f"{visible[0]} to {visible[1]} px" if visible else UNKNOWN,
    "background": "images"
    if schema.BACKGROUND_FRAMES in scene
    else hex_color(scene[schema.BACKGROUND]),
    "cameras": str(data.source.num_views),
    "frames": f"{data.source.num_frames} of {data.source.image_size} px",
    "scene id": str(scene[schema.SCENE_ID]),
    "seed": str(scene[schema.SEED]),
  }


def has_noise(scene: dict) -> bool:
  """Whether the path with noise is known, and another than that without."""
  noise = scene[schema.TRAJECTORY] - scene[schema.TRAJECTORY_CLEAN]
  return bool(noise[np.isfinite(noise)].any())


def hex_color(color: np.ndarray) -> str:
  """Returns a colour (3,) in [0, 1] as "#rrggbb"."""
  levels = np.rint(255 * np.clip(np.nan_to_num(color), 0, 1)).astype(int)
  return "#" + "".join(f"{level:02x}" for level in levels)


def _objects(scene):
  """Yields labels (shape, motion, is transient, first, last), size, colour
  and path of each object."""
  if schema.OBJECTS_SHAPE in scene:
    keys = (
      schema.OBJECTS_SHAPE,
      schema.OBJECTS_MOTION,
      schema.OBJECTS_IS_TRANSIENT,
      schema.OBJECTS_FIRST_FRAME,
      schema.OBJECTS_LAST_FRAME,
    )
    labels = np.stack([scene[key] for key in keys], -1)
    sizes, tints = scene[schema.OBJECTS_SIZE], scene[schema.OBJECTS_COLOR]
    yield from zip(
      labels, sizes, tints, scene[schema.OBJECTS_TRAJECTORY], strict=True
    )
    return
  path = scene[schema.TRAJECTORY]
  labels = (scene[schema.SHAPE], scene[schema.MOTION], 0, 0, len(path) - 1)
  yield labels, scene[schema.SIZE], scene[schema.COLOR], path


def _moves(data, motion, is_main):
  if motion == schema.STILL and not is_main:
    return "still"
  return data.motion_name(motion)


def _kind(number, motion, is_transient):
  if number == 0:
    return "main"
  if is_transient:
    return "transient"
  return "still" if motion == schema.STILL else "moving"


def _color(color):
  return hex_color(color) if np.isfinite(color).all() else None


def _number(value, unit, digits):
  if not np.isfinite(value).all():
    return UNKNOWN
  return f"{value:.{digits}g}{unit}"
