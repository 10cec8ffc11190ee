"""Pairs of clips of a scene: in one of them the impossible happens.

Both are equal until a frame. From there on one goes on, and in the other the
object vanishes, jumps, changes its shape or its colour, stops, or turns back.
Of the kind `views` one camera sees the same object on another path from the
first frame on, which only those can tell who see several views.

Everything else is equal: cameras, background, noise of the position. The idea
of such pairs is that of IntPhys (https://arxiv.org/abs/1803.07616).
"""

import dataclasses
from typing import Any

import numpy as np

from data_gen import schema
from data_gen.rendering import colors, visibility
from data_gen.rendering.rays import Solid
from data_gen.scenes import objects, scenes
from data_gen.scenes.flag_checks import check_settled
from data_gen.scenes.options import DatasetOptions

KINDS = ("vanish", "jump", "shape", "color", "stop", "reverse", "views")
ALL_VIEWS = -1
_STREAM = 6  # Last word of the seeds; see `scenes`.
_MAX_TRIES = 20  # To draw a violation of a scene.
_MAX_SCENES = 50
_JUMPS_M = (0.2, 0.45)  # Lengths.
_SETTLED = {
  "preset": "traj3d",
  "ground_plane": False,
  "depths": False,
  "flows": False,
  "num_objects": 1,
  "num_clutter": 0,
  "num_transients": 0,
}
_LEAST_COLOR_DISTANCE = 0.5  # Of RGB in [0, 1].


@dataclasses.dataclass(frozen=True)
class ViolationOptions(DatasetOptions):
  """Options of pairs: those of scenes with one object before plain colour.

  Raises:
    ValueError: A value is out of range; the message names the flag.
  """

  has_violations = True

  def __post_init__(self):
    super().__post_init__()
    check_settled("violations", self, _SETTLED)
    if self.num_views < 2:
      raise ValueError(
        "--violations needs two cameras or more, for views that disagree: "
        f"change --camera_rig={self.camera_rig}."
      )

  def arguments(self) -> dict[str, int | float | bool | str]:
    """Returns the options that determine the records, as for JSON."""
    return super().arguments() | {"violations": True}


def kind_of_scene(index: int) -> int:
  """Returns the kind of a pair, by its place in a split: all equally often."""
  return index % len(KINDS)


def make_scene(
  options: ViolationOptions, split: str, index: int
) -> dict[str, Any]:
  """Draws pair `index` of a split and renders it.

  Returns:
    A value for each of `features.make_features(options)`.

  Raises:
    ValueError: No violation that can be seen was found.
  """
  for attempt in range(_MAX_SCENES):
    maker = scenes.SceneMaker(options, split, index, attempt)
    values = maker.make()
    violation = _find(maker, KINDS[kind_of_scene(index)], values)
    if violation is not None:
      return values | violation
  raise ValueError(
    f"{split} scene {index}: in none of {_MAX_SCENES} scenes a violation of "
    f"the kind {KINDS[kind_of_scene(index)]} can be seen. Raise --size_min="
    f"{options.size_min}, --image_size={options.image_size} or "
    f"--path_scale_min={options.path_scale_min}."
  )


def _find(
  maker: scenes.SceneMaker, kind: str, values: dict[str, Any]
) -> dict[str, Any] | None:
  """Returns the features of a violation; None if none is seen."""
  options, rng = maker.options, maker.rng(_STREAM)
  # So that there is as much past as what turns back needs.
  half, most = options.num_frames // 2 + 1, 3 * options.num_frames // 4
  for _ in range(_MAX_TRIES):
    frame, view = int(rng.integers(half, most + 1)), ALL_VIEWS
    if kind == "views":
      frame, view = 0, int(rng.integers(options.num_views))
    other = _draw(rng, kind, frame, maker)
    made = _render(maker, other, frame, view)
    if made is not None and _is_seen(made, values, frame, view):
      return made | {
        schema.VIOLATION_KIND: KINDS.index(kind),
        schema.VIOLATION_FRAME: frame,
        schema.VIOLATION_VIEW: view,
        schema.IMPOSSIBLE_TRAJECTORY: other.trajectory,
      }
  return None


def _draw(
  rng: np.random.Generator, kind: str, frame: int, maker: scenes.SceneMaker
) -> Solid:
  """Returns the object of the impossible clip, in all frames."""
  main, options = maker.main, maker.options
  solid = main.solid
  times = np.arange(options.num_frames)
  if kind == "vanish":
    return dataclasses.replace(solid, last_frame=frame - 1)
  if kind == "shape":
    others = [name for name in options.shapes if name != solid.shape]
    return dataclasses.replace(solid, shape=str(rng.choice(others)))
  if kind == "color":
    color = solid.color
    while np.linalg.norm(color - solid.color) < _LEAST_COLOR_DISTANCE:
      color = objects.as_stored(
        colors.draw_color(rng, maker.backgrounds, options.num_colors)
      )
    return dataclasses.replace(solid, color=color)
  if kind == "views":
    clean, path, _ = objects.draw_pose(
      rng, options, options.motions[main.motion]
    )
    return dataclasses.replace(solid, trajectory=path)
  noise = solid.trajectory - main.clean
  if kind == "jump":
    shift = rng.normal(size=3)
    shift *= rng.uniform(*_JUMPS_M) / np.linalg.norm(shift)
    clean = main.clean + shift * (times >= frame)[:, None]
  elif kind == "stop":
    clean = main.clean[np.minimum(times, frame - 1)]
  else:
    back = 2 * (frame - 1) - times
    clean = main.clean[np.where(times < frame, times, back)]
  return dataclasses.replace(solid, trajectory=objects.as_stored(clean + noise))


def _render(
  maker: scenes.SceneMaker, solid: Solid, frame: int, view: int
) -> dict[str, Any] | None:
  """Returns the impossible clips; None if their object gets out of sight."""
  other = dataclasses.replace(maker.main, solid=solid)
  is_gone = solid.last_frame is not None
  if not is_gone and not (
    objects.is_placed_well(solid, maker.options)
    and maker.are_seen([other], maker.rig)
    and maker.are_large([other], maker.rig)
  ):
    return None
  true = maker.render([maker.main], maker.rig)
  rendering = maker.render([other], maker.rig)
  is_other = np.zeros(true.masks.shape[:2], bool)
  is_other[slice(None) if view == ALL_VIEWS else view, frame:] = True
  chosen = is_other[..., None, None]
  return {
    schema.IMPOSSIBLE_FRAMES: np.where(
      chosen[..., None], rendering.frames, true.frames
    ),
    schema.IMPOSSIBLE_MASKS: np.where(chosen, rendering.masks, true.masks),
  }


def _is_seen(
  made: dict[str, Any], values: dict[str, Any], frame: int, view: int
) -> bool:
  """Whether a view shows it in enough pixels of a frame, and all show it."""
  differs = made[schema.IMPOSSIBLE_FRAMES] != values[schema.FRAMES]
  counts = differs.any(-1)[:, frame:].sum((2, 3)).max(1)
  if view != ALL_VIEWS:
    counts = counts[[view]]
  return bool(counts.min() > 0 and counts.max() >= visibility.MIN_PIXELS)
