"""Scenes of PhyWorld: `--preset=phyworld_uniform`, `_parabola`, `_collision`.

One red disc, or two that collide, before white; see
`data_gen.scenes.phyworld_laws` for how they move and
`data_gen.rendering.soft_figures` for their edges. Records are those of other
scenes, with units in the place of metres: the size is the scale of a flat
figure, and the plane z = 0 is seen by one camera. The world of 10 x 10 units is
the image, edge to edge: x and y in [-5, 5], to the right and down, are the
pixels W (x + 5) / 10 - 1/2.
"""

from typing import Any

import numpy as np

from data_gen import schema
from data_gen.rendering import soft_figures
from data_gen.rendering.rays import Solid
from data_gen.scenes import cues, objects, phyworld_laws, rigs
from data_gen.scenes.objects import SceneObject
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.phyworld_laws import WORLD_WIDTH, Body

_STREAM = 1  # Last word of the seeds; see `scenes`.
_WORDS = {
  "uniform": "moves evenly",
  "parabola": "falls",
  "collision": "collides with another",
}
_NAMES = {cues.RED: "red", cues.BLUE: "blue"}


def make_scene(
  options: DatasetOptions, split: str, index: int
) -> dict[str, Any]:
  """Draws scene `index` of a split and renders it.

  Returns:
    A value for each of `features.make_features(options)`.

  Raises:
    ValueError: Two discs that collide find no room.
  """
  law = options.preset.removeprefix(schema.PHYWORLD)
  place = schema.SPLITS.index(split)
  rng = np.random.default_rng([options.seed, place, index, _STREAM])
  shape, color, radii, speeds = cues.looks(
    cues.values_of_scene(options.cues, split, index)
  )
  if split in ("ood_size", "ood_size_speed"):
    radii = phyworld_laws.OOD_RADII
  if split in ("ood_speed", "ood_size_speed"):
    speeds = phyworld_laws.OOD_SPEEDS
  bodies = phyworld_laws.draw(rng, law, options.num_frames, radii, speeds)
  found = [_make_object(body, shape, color) for body in bodies]
  main = found[0]
  rig = rigs.make_rig(options, split, rng)
  frames, masks = _render(found, options.image_size)
  values = {
    schema.FRAMES: frames[None],
    schema.MASKS: masks[None],
    schema.SHAPE: main.shape,
    schema.MOTION: main.motion,
    schema.CLASS: main.shape,  # There is one motion.
    schema.SCENE_ID: schema.scene_id(split, index),
    schema.SEED: options.seed,
    schema.TRAJECTORY: main.solid.trajectory,
    schema.TRAJECTORY_CLEAN: main.clean,
    schema.ORIENTATION: main.orientation,
    schema.SIZE: main.solid.size,
    schema.COLOR: main.solid.color,
    schema.BACKGROUND: np.ones(3),
    schema.INTRINSICS: rig.intrinsics,
    schema.CAMERA_FROM_WORLD: rig.camera_from_world,
    schema.CAPTION: f"a {_NAMES[color]} {shape} {_WORDS[law]}",
  }
  return values | (objects.stack_labels(found) if len(found) > 1 else {})


def _make_object(body: Body, shape: str, color) -> SceneObject:
  path = np.pad(body.path, ((0, 0), (0, 1)))
  path = objects.as_stored(path)
  scale = soft_figures.scale_of(shape, body.radius)
  return SceneObject(
    shape=soft_figures.SHAPES.index(shape),
    motion=0,
    is_transient=False,
    clean=path,
    orientation=np.tile([1.0, 0.0, 0.0, 0.0], (len(path), 1)),
    solid=Solid(
      shape=shape,
      size=float(objects.as_stored(scale)),
      trajectory=path,
      rotations=np.tile(np.eye(3), (len(path), 1, 1)),
      color=np.array(color),
    ),
  )


def _render(
  found: list[SceneObject], image_size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Returns frames (T, H, W, 3) and masks (T, H, W), uint8."""
  scale = image_size / WORLD_WIDTH
  masks = np.zeros((len(found[0].clean), image_size, image_size), np.uint8)
  image = np.ones((*masks.shape, 3))
  for number, thing in enumerate(found, 1):
    solid = thing.solid
    centers = (solid.trajectory[:, :2] + WORLD_WIDTH / 2) * scale - 0.5
    radius = soft_figures.radius_of(solid.shape, solid.size)
    figure = (solid.shape, centers, radius * scale, image_size)
    image -= soft_figures.cover(*figure)[..., None] * (1 - solid.color)
    masks[soft_figures.contains(*figure)] = number
  # Discs that touch share the pixels between them.
  frames = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
  return frames, masks
