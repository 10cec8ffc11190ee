"""Clips that a run's tasks make, from a condition or from nothing."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from magvit3d.errors import UserError, as_user_errors
from magvit3d.inference.clip_networks import ClipNetworks
from magvit3d.inference.trained_networks import TrainedNetworks
from magvit3d.tokens.conditions import Condition

MAX_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Sample:
  """What a task made.

  Attributes:
    tokens: Int32 grids.
    shown: The condition, in [0, 1]; None without one.
    is_given: Pixels of the condition that are the clip's own, which broadcast
      to (b, t, h, w); None without one.
  """

  tokens: Int[np.ndarray, "b s y x"]
  shown: Float[np.ndarray, "b t h w 3"] | None = None
  is_given: Bool[np.ndarray, "_ t h w"] | None = None


class TaskSampler:
  """Makes token grids by the tasks that a transformer has learnt.

  Args:
    trained: Networks.
    networks: The same as functions.

  Raises:
    UserError: There is only a tokenizer, or the transformer is not one of
      single clips.
  """

  def __init__(self, trained: TrainedNetworks, networks: ClipNetworks):
    if trained.transformer_params is None:
      raise UserError(
        "There is only a tokenizer, which tokenizes and reconstructs. Train "
        "the transformer first: python -m magvit3d.main "
        "--config.stages=transformer."
      )
    if trained.model.transformer.camera_embedding is not None:
      raise UserError(
        "This transformer has learnt scenes of several views with their "
        f"cameras (config.transformer.num_views={trained.model.num_views}); "
        "this call is for transformers of single clips."
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

  def sample(
    self,
    task_index: int,
    clips: Float[np.ndarray, "b t h w 3"] | None,
    labels: Int[np.ndarray, "b"],
    seed: int,
    given_frames: int | None = None,
  ) -> Sample:
    """Does a task.

    Args:
      task_index: Which.
      clips: Clips that it is shown a part of; None for a task without
        condition. The first `given_frames` will do, if these are given.
      labels: Classes, or `no_class`; ignored unless `needs_class`.
      seed: From 0 to `MAX_SEED`.
      given_frames: Of frame prediction, in place of the trained number.

    Raises:
      UserError: The task cannot do this.
    """
    check_seed(seed)
    grid = (len(labels), *self._model.latent_shape)
    condition = self._condition(task_index, given_frames)
    if condition is None:
      tokens = np.zeros(grid, np.int32)
      mask = np.zeros(grid, bool)
      made = self._networks.complete(task_index, labels, tokens, mask, seed)
      return Sample(made)
    missing = self._num_frames - clips.shape[1]
    padding = ((0, 0), (0, missing), *[(0, 0)] * 3)
    clips = np.pad(clips, padding, mode="edge")
    shown = np.asarray(condition.video(jnp.asarray(clips)))
    mask = np.broadcast_to(condition.latent_mask(grid[1:]), grid)
    made = self._networks.complete(
      task_index, labels, self._networks.encode(shown), mask, seed
    )
    visible = dataclasses.replace(condition, prefix_condition=False)
    is_given = visible.video_mask(clips.shape[1:4])[..., 0]
    is_given = np.broadcast_to(is_given, (1, *clips.shape[1:4]))
    return Sample(made, shown, is_given)

  def _condition(
    self, task_index: int, given_frames: int | None
  ) -> Condition | None:
    task = self._model.tasks[task_index]
    condition = task.condition
    if given_frames is None or given_frames == condition.cond_frames:
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
    labels: Int[np.ndarray, "b"],
    seed: int,
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
    made = self._networks.complete(
      task_index, labels, self._networks.encode(shown), cells, seed, mode
    )
    return Sample(made, shown, ~is_hole)


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
  is_integer = isinstance(seed, int | np.integer) and seed is not True
  if not is_integer or not 0 <= seed <= MAX_SEED:
    raise UserError(
      f"seed={seed!r} must be a whole number from 0 to {MAX_SEED}."
    )
