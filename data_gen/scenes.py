"""Draws and renders one scene from its number alone.

A scene depends on the options, the split and its index, and on nothing else,
so that any process can make it, in any order.
"""

import functools
from typing import Any

import numpy as np

from data_gen import (
  cameras,
  colors,
  motions,
  renderer,
  rotations,
  schema,
  visibility,
)
from data_gen.options import DatasetOptions

MAX_TRIES = 400
# Last words of the seeds: numpy takes [a, b] and [a, b, 0] for the same.
_SCENE_STREAM, _CLASS_STREAM = 1, 2


def class_of_scene(options: DatasetOptions, split: str, index: int) -> int:
  """Returns the class of a scene; the counts differ by one at most."""
  return int(_classes(options.seed, split, options.num_scenes(split))[index])


def make_scene(
  options: DatasetOptions, split: str, index: int
) -> dict[str, Any]:
  """Draws scene `index` of a split and renders it.

  Raises:
    ValueError: No path that keeps the object in view was found.
  """
  label = class_of_scene(options, split, index)
  shape, motion = divmod(label, len(options.motions))
  rng = np.random.default_rng(
    [options.seed, schema.SPLITS.index(split), index, _SCENE_STREAM]
  )
  rig = cameras.make_default_rig(options.image_size)
  background = colors.parse_background(options.background)
  if options.color_by_shape:
    color = colors.SHAPE_COLORS[shape]
  else:
    color = colors.draw_color(rng, background, options.num_colors)
  size = float(np.float32(rng.uniform(options.size_min, options.size_max)))
  color = _as_stored(color)
  for _ in range(MAX_TRIES):
    clean, trajectory, orientation = _draw_pose(rng, options, motion)
    if not motions.is_within_bounds(trajectory):
      continue
    solid = renderer.Solid(
      shape=schema.PRESETS["traj3d"].shapes[shape],
      size=size,
      trajectory=trajectory,
      rotations=rotations.matrix_from_quaternion(orientation),
      color=color,
    )
    if not visibility.is_seen(solid, rig):
      continue
    frames, masks = renderer.render(solid, rig, background)
    if masks.sum((2, 3), dtype=int).min() < visibility.MIN_PIXELS:
      continue
    return {
      schema.SHAPE: shape,
      schema.MOTION: motion,
      schema.CLASS: label,
      schema.SCENE_ID: schema.scene_id(split, index),
      schema.SEED: options.seed,
      schema.FRAMES: frames,
      schema.MASKS: masks,
      schema.TRAJECTORY: trajectory,
      schema.TRAJECTORY_CLEAN: clean,
      schema.ORIENTATION: orientation,
      schema.SIZE: size,
      schema.COLOR: color,
      schema.BACKGROUND: background,
      schema.INTRINSICS: rig.intrinsics,
      schema.CAMERA_FROM_WORLD: rig.camera_from_world,
      schema.CAPTION: make_caption(shape, motion, color),
    }
  raise ValueError(_infeasible_message(options, split, index, label, size))


def make_caption(shape: int, motion: int, color: np.ndarray) -> str:
  """Returns a description such as "a green cone on a helix"."""
  path = {
    "linear": "a line",
    "circular": "a circle",
    "helical": "a helix",
    "parabolic": "a parabola",
  }[schema.PRESETS["traj3d"].motions[motion]]
  name = colors.name_color(color)
  article = "an" if name[0] in "aeiou" else "a"
  return f"{article} {name} {schema.PRESETS['traj3d'].shapes[shape]} on {path}"


@functools.lru_cache(maxsize=8)
def _classes(seed: int, split: str, num_scenes: int) -> np.ndarray:
  rng = np.random.default_rng(
    [seed, schema.SPLITS.index(split), 0, _CLASS_STREAM]
  )
  # Which classes get one scene more than others is drawn too.
  order = rng.permutation(12)
  return rng.permutation(order[np.arange(num_scenes) % 12])


def _draw_pose(rng, options, motion):
  """Draws the path without and with noise (T, 3), and orientations (T, 4)."""
  scale = rng.uniform(options.path_scale_min, options.path_scale_max)
  clean = motions.draw_path(
    rng, schema.PRESETS["traj3d"].motions[motion], options.num_frames, scale
  )
  noise = motions.draw_noise(rng, options.num_frames, options.position_noise)
  orientation = np.tile(
    rotations.random_quaternion(rng), (options.num_frames, 1)
  )
  return clean, _as_stored(clean + noise), _as_stored(orientation)


def _as_stored(array: np.ndarray) -> np.ndarray:
  """Rounds to float32, so that records hold exactly what was rendered."""
  return np.asarray(array, np.float32).astype(np.float64)


def _infeasible_message(options, split, index, label, size):
  return (
    f"{split} scene {index} ({options.class_names[label]}, scale {size:.2f}): none "
    f"of {MAX_TRIES} paths keeps the object within bounds, half of its "
    f"silhouette inside every image, and at least {visibility.MIN_PIXELS} "
    "pixels of it in sight. Too large: lower "
    f"--size_max={options.size_max} or --path_scale_max="
    f"{options.path_scale_max}. Too small: raise --size_min="
    f"{options.size_min} or --image_size={options.image_size}."
  )
