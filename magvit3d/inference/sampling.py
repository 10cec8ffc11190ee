"""Clips that a run's tasks make, from a condition or from nothing.

Clips of a scene with several views stand in a row: n scenes of v views are
n*v clips. For a transformer of single clips each clip is a scene.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from magvit3d.config.run import MAX_SEED
from magvit3d.errors import UserError, as_user_errors
from magvit3d.inference.clip_networks import ClipNetworks
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.models.cameras import Cameras
from magvit3d.tokens import surprise
from magvit3d.tokens.conditions import Condition
from magvit3d.tokens.tasks import VIEW_KINDS
from magvit3d.tokens.views import as_clips, join_views

_GREY = np.float32(0.5)


@dataclasses.dataclass(frozen=True)
class Sample:
  """What a task made.

  Attributes:
    tokens: Int32 grids.
    shown: The condition, in [0, 1]; None without one. Views of which nothing
      is given are grey.
  """

  tokens: Int[np.ndarray, "b s y x"]
  shown: Float[np.ndarray, "b t h w 3"] | None = None


class TaskSampler:
  """Makes token grids by the tasks that a transformer has learnt.

  Args:
    trained: Networks.
    networks: The same as functions.

  Raises:
    UserError: There is only a tokenizer.
  """

  def __init__(self, trained: TrainedNetworks, networks: ClipNetworks):
    if trained.transformer_params is None:
      raise UserError(
        "There is only a tokenizer, which tokenizes and reconstructs. Train "
        "the transformer first: python -m magvit3d.main "
        "--config.stages=transformer."
      )
    self._networks = networks
    self._model = trained.model
    self._num_frames = trained.num_frames
    self.no_class = len(trained.class_names)

  @property
  def task_names(self) -> tuple[str, ...]:
    """Those that were trained."""
    return tuple(task.name for task in self._model.tasks)

  def index_of(self, name: str) -> int:
    """Returns the number of a task.

    Raises:
      UserError: There is none of that name.
    """
    if name not in self.task_names:
      raise UserError(
        f"{name!r} is no task of this run; it has learnt "
        f"{', '.join(self.task_names)}."
      )
    return self.task_names.index(name)

  def find(self, kind: str, *, with_class: bool | None = None) -> int | None:
    """Returns the first task of a kind; `with_class` must be right, if given.

    Kinds are `tasks.TASK_KINDS`.
    """
    for index, task in enumerate(self._model.tasks):
      is_right = with_class in (None, task.class_conditional)
      if task.kind == kind and is_right:
        return index
    return None

  def needs_class(self, task_index: int) -> bool:
    """Whether a task is told the class."""
    return self._model.tasks[task_index].class_conditional

  def gives_views(self, task_index: int) -> bool:
    """Whether a task is given whole views of a scene."""
    return self._model.tasks[task_index].kind in VIEW_KINDS

  def sample(
    self,
    task_index: int,
    clips: Float[np.ndarray, "b t h w 3"] | None,
    labels: Int[np.ndarray, " n"],
    seed: int,
    given_frames: int | None = None,
    cameras: Cameras | None = None,
    given_views: Sequence[int] = (),
  ) -> Sample:
    """Does a task.

    Args:
      task_index: Which.
      clips: Clips that it is shown a part of; None for a task without
        condition. The first `given_frames` will do, if these are given and no
        views are. Views of which nothing is given are not looked at.
      labels: Classes of the scenes, or `no_class`; ignored unless
        `needs_class`.
      seed: From 0 to `MAX_SEED`.
      given_frames: Of frame prediction, in place of the trained number.
      cameras: Of the scenes; None for a transformer of single clips.
      given_views: Numbers of the views that are given whole, for a task that
        `gives_views`.

    Raises:
      UserError: The task cannot do this.
    """
    check_seed(seed)
    num_views = 1 if cameras is None else cameras.views.shape[1]
    grid = self._model.latent_shape
    condition = self._condition(task_index, given_frames)
    is_given = np.zeros((len(labels), num_views), bool)
    is_given[:, list(given_views)] = True
    is_clip_given = is_given.reshape(-1, 1, 1, 1)
    shown, tokens = None, np.zeros((is_given.size, *grid), np.int32)
    mask = np.broadcast_to(is_clip_given, tokens.shape)
    if condition is not None or given_views:
      clips = self._filled_up(clips)
      shown = _shown(condition, clips, is_clip_given[..., None])
      tokens = self._networks.encode(shown)
    if condition is not None:
      mask = mask | condition.latent_mask(grid)
    made = self._complete(
      task_index,
      labels,
      tokens,
      mask,
      seed,
      cameras,
      is_given=is_given if self.gives_views(task_index) else None,
    )
    return Sample(made, shown)

  def frame_bits(
    self,
    clips: Float[np.ndarray, "b t h w 3"],
    labels: Int[np.ndarray, " n"],
    seed: int,
    cameras: Cameras | None = None,
    *,
    past_alone: bool = False,
    num_draws: int | None = None,
  ) -> Float[np.ndarray, "n s"]:
    """Returns how unexpected each latent frame of scenes is, in bits.

    Asked in the words of a task that is told the class, where one is given,
    or none, where none is: full generation, if it can be.

    Args:
      clips: Clips.
      labels: Classes of the scenes, or `no_class` for all.
      seed: Of the draws.
      cameras: See `sample`.
      past_alone: See `surprise.frame_bits`.
      num_draws: The same.
    """
    check_seed(seed)
    if num_draws is not None:
      check_count("num_draws", num_draws)
    has_class = bool(np.any(labels != self.no_class))
    task_index = surprise.asked_task(self._model.tasks, has_class)
    if task_index is None:
      raise UserError(
        "This run's only task stands before the clip (condition mode "
        "'prefix'), so nothing but what follows it has a likelihood. Train "
        "full_generation for that."
      )
    num_views = 1 if cameras is None else cameras.views.shape[1]
    tokens = self._networks.encode(clips)
    tokens = tokens.reshape(len(labels), num_views, *tokens.shape[1:])
    return self._networks.frame_bits(
      task_index,
      labels,
      join_views(tokens),
      seed,
      cameras,
      past_alone=past_alone,
      num_draws=num_draws,
    )

  def _filled_up(self, clips: np.ndarray) -> np.ndarray:
    """Clips of all frames; of those that are missing it is not said what."""
    missing = self._num_frames - clips.shape[1]
    return np.pad(clips, ((0, 0), (0, missing), *[(0, 0)] * 3), mode="edge")

  def _complete(
    self, task_index, labels, tokens, mask, seed, cameras, **options
  ) -> np.ndarray:
    """Completes the grids of clips, (b, s, y, x)."""
    num_views = 1 if cameras is None else cameras.views.shape[1]
    scenes = (len(labels), num_views, *self._model.latent_shape)
    made = self._networks.complete(
      task_index,
      labels,
      join_views(tokens.reshape(scenes)),
      join_views(mask.reshape(scenes)),
      seed,
      cameras=cameras,
      **options,
    )
    return as_clips(made, num_views)

  def _condition(
    self, task_index: int, given_frames: int | None
  ) -> Condition | None:
    task = self._model.tasks[task_index]
    condition = task.condition
    if condition is None or given_frames in (None, condition.cond_frames):
      return condition
    if task.condition_mode == "prefix":
      raise UserError(
        f"given_frames={given_frames}, but this run's condition stands before "
        f"the clip and always has {condition.cond_frames} frames. Use these."
      )
    stride = self._num_frames // self._model.latent_shape[0]
    changed = dataclasses.replace(
      condition,
      cond_frames=given_frames,
      cond_latent_frames=-(-given_frames // stride),
    )
    with as_user_errors(ValueError):
      changed.check_frames(self._num_frames)
    return changed

  def trained_frames(self, task_index: int) -> int:
    """Returns the frames that frame prediction was trained to be given."""
    return self._model.tasks[task_index].condition.cond_frames

  def fill(
    self,
    clips: Float[np.ndarray, "b t h w 3"],
    is_hole: Bool[np.ndarray, "b t h w"],
    labels: Int[np.ndarray, " n"],
    seed: int,
    cameras: Cameras | None = None,
  ) -> Sample:
    """Fills holes in clips.

    A task of the kind 'inpainting' does it as it was trained to: it is shown
    clips whose holes are black, and may change all tokens. Without one the
    tokens of cells without a hole are kept, and full generation, or the first
    task, makes the others; holes then have the median colour of what is given.

    Args:
      clips: Clips; what is in their holes is not looked at.
      is_hole: Pixels to fill in.
      labels: See `sample`.
      seed: See `sample`.
      cameras: See `sample`.
    """
    check_seed(seed)
    task_index, mode = self.find("inpainting"), None
    color = np.zeros((len(clips), 3), np.float32)
    if task_index is None:
      mode = "input->input"
      task_index = self.find("full_generation") or 0
      color = np.stack(
        [
          np.median(clip[~hole], axis=0)
          for clip, hole in zip(clips, is_hole, strict=True)
        ]
      )
    if self._model.tasks[task_index].condition_mode == "prefix":
      raise UserError(
        "This run's only task stands before the clip (condition mode "
        "'prefix'), so it cannot fill in holes."
      )
    shown = np.where(is_hole[..., None], color[:, None, None, None], clips)
    cells = cells_without_hole(is_hole, self._model.latent_shape)
    made = self._complete(
      task_index,
      labels,
      self._networks.encode(shown),
      cells,
      seed,
      cameras,
      condition_mode=mode,
    )
    return Sample(made, shown)


def _shown(
  condition: Condition | None,
  clips: Float[np.ndarray, "b t h w 3"],
  is_given: Bool[np.ndarray, "b 1 1 1 1"],
) -> Float[np.ndarray, "b t h w 3"]:
  """Given views whole, of the others what the condition shows, or grey."""
  others = _GREY
  if condition is not None:
    others = np.asarray(condition.video(jnp.asarray(clips)))
  return np.where(is_given, clips, others)


def cells_without_hole(
  is_hole: Bool[np.ndarray, "b t h w"], latent_shape: tuple[int, int, int]
) -> Bool[np.ndarray, "b s y x"]:
  """Returns the cells of the token grid all of whose pixels are given."""
  b, *sizes = is_hole.shape
  s, y, x = latent_shape
  blocks = (size // n for size, n in zip(sizes, (s, y, x), strict=True))
  t, h, w = blocks
  return ~is_hole.reshape(b, s, t, y, h, x, w).any(axis=(2, 4, 6))


def check_seed(seed: int) -> None:
  """Raises UserError unless a seed can be one."""
  if not _is_whole(seed) or not 0 <= seed <= MAX_SEED:
    raise UserError(
      f"seed={seed!r} must be a whole number from 0 to {MAX_SEED}."
    )


def check_count(name: str, count: int) -> None:
  """Raises UserError unless an argument can be a number of things."""
  if not _is_whole(count):
    raise UserError(f"{name}={count!r} must be a whole number.")
  if count < 1:
    raise UserError(f"{name}={count} must be 1 or more.")


def _is_whole(number: object) -> bool:
  return isinstance(number, int | np.integer) and not isinstance(number, bool)
