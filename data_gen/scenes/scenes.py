"""Draws and renders one scene from its number alone.

A scene depends on the options, the split and its index, and on nothing else,
so that any process can make it, in any order. Further objects, cameras and
backgrounds are drawn from streams of their own: with them, the main object
stays what it is, unless it would not be seen or stand out.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from data_gen import schema
from data_gen.rendering import (
  colors,
  flow,
  ground,
  renderer,
  rotations,
  visibility,
)
from data_gen.rendering.cameras import Cameras
from data_gen.rendering.rays import Solid, make_rays
from data_gen.scenes import captions, objects, rigs
from data_gen.scenes.class_labels import allowed_classes, class_of_scene
from data_gen.scenes.objects import Looks, SceneObject
from data_gen.scenes.options import DatasetOptions

_CAMERA_FLAGS = (
  "camera_rig",
  "field_of_view",
  "camera_jitter",
  "target_jitter",
  "focal_jitter",
)
MAX_TRIES = 400  # To draw an object.
_MAX_ARRANGEMENTS = 20  # To draw all further objects.
_ARRANGEMENTS_A_DRAW = 5  # Of what they are, where it is drawn before.
# Last words of the seeds; 2 is that of the classes.
_SCENE_STREAM, _RIG_STREAM, _BACKGROUND_STREAM, _OBJECTS_STREAM = 1, 3, 4, 5


def make_scene(
  options: DatasetOptions, split: str, index: int
) -> dict[str, Any]:
  """Draws scene `index` of a split and renders it.

  Returns:
    A value for each of `features.make_features(options)`.

  Raises:
    ValueError: No arrangement that keeps the objects in view was found.
  """
  return SceneMaker(options, split, index).make()


class SceneMaker:
  """Draws one scene; see `make_scene`.

  Attributes:
    options: Of the data set.
    backgrounds: All colours that may be seen behind an object, (B, 3).
    main: The main object, once it is made.
    rig: The cameras, likewise.
  """

  main: SceneObject
  rig: Cameras

  def __init__(
    self, options: DatasetOptions, split: str, index: int, attempt: int = 0
  ):
    """Draws the background.

    Args:
      options: Of the data set.
      split: One of its splits.
      index: Of the scene in it.
      attempt: Others than 0 give other scenes of the same class.
    """
    self.options, self._split, self._index = options, split, index
    self._attempts = [attempt] if attempt else []
    self._label = class_of_scene(options, split, index)
    self._background = self._draw_background()
    self._needs_depths = options.depths or options.flows
    # The last object of the arrangement that was rendered last.
    self._rendered: tuple[SceneObject, renderer.Rendering] | None = None
    self.backgrounds = self._background[None]
    if options.ground_plane:
      self.backgrounds = np.concatenate(
        [self.backgrounds, ground.ground_colors()]
      )

  def make(self) -> dict[str, Any]:
    """Returns the scene, rendered."""
    self.main, self.rig = main, rig = self._draw_main()
    found = [main]
    if self.options.num_scene_objects > 1:
      found += self._draw_others(main, rig)
    background = self._background
    scene = [thing.solid for thing in found]
    if self.options.ground_plane:
      empty = ground.render_ground(rig, background)
      background = ground.add_shadows(empty, scene, rig)
      rendering = renderer.render(
        scene, rig, background, with_depths=self._needs_depths
      )
    else:
      rendering = self.render(found, rig)
    values = self.labels(main, rig)
    values |= {
      schema.FRAMES: rendering.frames,
      schema.MASKS: rendering.masks,
      schema.CAPTION: captions.make_caption(self.options, found),
    }
    if self.options.ground_plane:
      levels = np.rint(empty * 255).astype(np.uint8)
      values[schema.BACKGROUND_FRAMES] = levels
    else:
      values[schema.BACKGROUND] = self._background
    if self.options.depths:
      values[schema.DEPTHS] = self._encode_depths(rendering, rig)
    if self.options.flows:
      flows = flow.make_flows(rendering.masks, rendering.depths, scene, rig)
      stored = np.clip(np.rint(flows / schema.FLOW_UNIT_PX), -32768, 32767)
      values[schema.FLOWS] = stored.astype(np.int16)
    if len(found) > 1:
      values |= objects.stack_labels(found)
    return values

  def labels(self, main: SceneObject, rig: Cameras) -> dict[str, Any]:
    """Returns what is known of the scene besides what is rendered."""
    return {
      schema.SHAPE: main.shape,
      schema.MOTION: main.motion,
      schema.CLASS: self._label,
      schema.SCENE_ID: schema.scene_id(self._split, self._index),
      schema.SEED: self.options.seed,
      schema.TRAJECTORY: main.solid.trajectory,
      schema.TRAJECTORY_CLEAN: main.clean,
      schema.ORIENTATION: main.orientation,
      schema.SIZE: main.solid.size,
      schema.COLOR: main.solid.color,
      schema.INTRINSICS: rig.intrinsics,
      schema.CAMERA_FROM_WORLD: rig.camera_from_world,
    }

  def rng(self, stream: int) -> np.random.Generator:
    """Returns a source of randomness that the scene has alone."""
    place = schema.SPLITS.index(self._split)
    return np.random.default_rng(
      [self.options.seed, place, self._index, stream, *self._attempts]
    )

  def _draw_background(self) -> np.ndarray:
    if self.options.background != colors.RANDOM_BACKGROUND:
      return objects.as_stored(colors.parse_background(self.options.background))
    rng = self.rng(_BACKGROUND_STREAM)
    fixed = self.options.fixed_colors
    while True:
      background = objects.as_stored(rng.uniform(size=3))
      if all(colors.is_visible(color, background[None]) for color in fixed):
        return background

  def _draw_main(self) -> tuple[SceneObject, Cameras]:
    """Draws the main object, and cameras that see it."""
    shape, motion = divmod(self._label, len(self.options.motions))
    rng, rig_rng = self.rng(_SCENE_STREAM), self.rng(_RIG_STREAM)
    color = objects.draw_color(rng, self.options, shape, self.backgrounds)
    size = objects.draw_size(rng, self.options)
    for _ in range(MAX_TRIES):
      rig = rigs.make_rig(self.options, self._split, rig_rng)
      pose = objects.draw_pose(
        rng,
        self.options,
        self.options.motions[motion],
        is_ood_speed=self._split == "ood_speed",
      )
      main = self.make_object(shape, motion, size, color, pose)
      if not objects.is_placed_well(main.solid, self.options):
        continue
      if self.are_seen([main], rig) and self.are_large([main], rig):
        return main, rig
    raise ValueError(self._infeasible_message(size))

  def _draw_others(self, main: SceneObject, rig: Cameras) -> list[SceneObject]:
    """Draws the further objects: moving, still and transient ones."""
    options, rng = self.options, self.rng(_OBJECTS_STREAM)
    for attempt in range(_MAX_ARRANGEMENTS):
      if not attempt % _ARRANGEMENTS_A_DRAW:
        kinds = self.further_kinds(rng)
      found: list[SceneObject] | None = [main]
      for kind in kinds:
        new = objects.draw_until(
          functools.partial(kind, rng),
          functools.partial(self._fits, others=found, rig=rig),
          MAX_TRIES,
        )
        if new is None:
          break
        found = [*found, new]
      else:
        if self.are_large(found, rig):
          return found[1:]
    raise ValueError(
      f"{self._split} scene {self._index}: none of {_MAX_ARRANGEMENTS} "
      f"arrangements of {options.num_scene_objects} objects keeps all that "
      "move half in sight. Lower --num_objects, --num_clutter, "
      f"--num_transients, or --size_max={options.size_max}."
    )

  def further_kinds(
    self, rng: np.random.Generator
  ) -> list[Callable[[np.random.Generator], SceneObject]]:
    """Returns what draws each further object, from first to last."""
    del rng
    options = self.options
    return [
      *[self._draw_mover] * (options.num_objects - 1),
      *[self._draw_clutter] * options.num_clutter,
      *[self._draw_transient] * options.num_transients,
    ]

  def _draw_mover(self, rng) -> SceneObject:
    return self.place(rng, self.mover_looks(rng))

  def _draw_transient(self, rng) -> SceneObject:
    lifetime = objects.draw_lifetime(rng, self.options.num_frames)
    return self.place(rng, self.mover_looks(rng), lifetime)

  def _draw_clutter(self, rng) -> SceneObject:
    return self.place(rng, self.clutter_looks(rng))

  def mover_looks(self, rng: np.random.Generator) -> Looks:
    """Draws those of an object that moves."""
    allowed = allowed_classes(self.options, self._split)
    label = int(allowed[rng.integers(len(allowed))])
    return self._looks(rng, *divmod(label, len(self.options.motions)))

  def clutter_looks(self, rng: np.random.Generator) -> Looks:
    """Draws those of an object that stands still."""
    shape = int(rng.integers(len(self.options.shapes)))
    return self._looks(rng, shape, schema.STILL)

  def _looks(self, rng, shape, motion) -> Looks:
    color = objects.draw_color(rng, self.options, shape, self.backgrounds)
    return Looks(shape, motion, objects.draw_size(rng, self.options), color)

  def place(
    self,
    rng: np.random.Generator,
    looks: Looks,
    lifetime: tuple[int, int] | None = None,
  ) -> SceneObject:
    """Draws place or path of a further object.

    Args:
      rng: Source of randomness.
      looks: Of the object.
      lifetime: First and last frame of one that passes; None: it stays.
    """
    if looks.motion == schema.STILL:
      pose = objects.draw_still_pose(rng, self.options)
    else:
      pose = objects.draw_pose(
        rng,
        self.options,
        self.options.motions[looks.motion],
        is_ood_speed=self._split == "ood_speed",
        is_beside=True,
      )
    frames = {}
    if lifetime:
      frames = {"first_frame": lifetime[0], "last_frame": lifetime[1]}
    return self.make_object(*dataclasses.astuple(looks), pose, **frames)

  def make_object(
    self, shape, motion, size, color, pose, **lifetime
  ) -> SceneObject:
    """Returns an object on the path of a pose; see `objects.draw_pose`."""
    clean, trajectory, orientation = pose
    return SceneObject(
      shape=shape,
      motion=motion,
      is_transient="last_frame" in lifetime,
      clean=clean,
      orientation=orientation,
      solid=Solid(
        shape=self.options.shapes[shape],
        size=size,
        trajectory=trajectory,
        rotations=rotations.matrix_from_quaternion(orientation),
        color=color,
        **lifetime,
      ),
    )

  def _fits(
    self, new: SceneObject, others: Sequence[SceneObject], rig: Cameras
  ) -> bool:
    """Whether an object may join others."""
    if not objects.is_placed_well(new.solid, self.options):
      return False
    if any(objects.do_touch(new.solid, other.solid) for other in others):
      return False
    target = (new.solid, make_rays(new.solid, rig))
    if new.is_moving:
      is_inside = visibility.is_seen(target, [], rig.image_size)
    else:
      is_inside = visibility.is_seen_by_some(
        target, self.options.num_views, rig.image_size
      )
    if not is_inside:
      return False
    return self.are_seen([*others, new], rig)

  def are_seen(self, found: Sequence[SceneObject], rig: Cameras) -> bool:
    """Whether half of each moving object is in sight in every frame."""
    cast = [(thing.solid, make_rays(thing.solid, rig)) for thing in found]
    return all(
      visibility.is_seen(
        target, cast[:i] + cast[i + 1 :], rig.image_size, num_before=i
      )
      for i, target in enumerate(cast)
      if found[i].is_moving
    )

  def are_large(self, found: Sequence[SceneObject], rig: Cameras) -> bool:
    """Whether each moving object has enough pixels in every frame."""
    masks = self.render(found, rig).masks
    return all(
      (masks == number).sum((2, 3), dtype=int).min() >= visibility.MIN_PIXELS
      for number, thing in enumerate(found, 1)
      if thing.is_moving
    )

  def render(
    self, found: Sequence[SceneObject], rig: Cameras
  ) -> renderer.Rendering:
    """Renders objects before the plain background; once, if asked again."""
    if self._rendered is None or self._rendered[0] is not found[-1]:
      scene = [thing.solid for thing in found]
      rendering = renderer.render(
        scene, rig, self._background, with_depths=self._needs_depths
      )
      self._rendered = (found[-1], rendering)
    return self._rendered[1]

  def _encode_depths(self, rendering, rig) -> np.ndarray:
    depths = rendering.depths.astype(float)
    if self.options.ground_plane:
      behind = ground.ground_depths(rig)[:, None]
      depths = np.where(rendering.masks > 0, depths, behind)
    stored = np.rint(depths / schema.DEPTH_UNIT_M)
    return np.minimum(stored, 65535).astype(np.uint16)

  def _infeasible_message(self, size: float) -> str:
    options = self.options
    return (
      f"{self._split} scene {self._index} "
      f"({options.class_names[self._label]}, scale {size:.2f}): none of "
      f"{MAX_TRIES} paths keeps the object within bounds, half of its "
      "silhouette inside every image, and at least "
      f"{visibility.MIN_PIXELS} pixels of it in sight"
      f"{' and all of it above the ground' * options.ground_plane}. Too large: "
      f"lower --size_max={options.size_max} or --path_scale_max="
      f"{options.path_scale_max}. Too small: raise --size_min="
      f"{options.size_min} or --image_size={options.image_size}."
      f"{self._camera_advice()}"
    )

  def _camera_advice(self) -> str:
    """Names the flags of cameras that are not at their defaults."""
    defaults = {f.name: f.default for f in dataclasses.fields(self.options)}
    changed = [
      f"--{name}={getattr(self.options, name)}"
      for name in _CAMERA_FLAGS
      if getattr(self.options, name) != defaults[name]
    ]
    if not changed:
      return ""
    return f" Or the cameras see too little: change {', '.join(changed)}."
