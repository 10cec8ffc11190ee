"""Which frames of a record a clip has."""

import dataclasses

import numpy as np

from magvit3d.config.data import InputConfig, SceneDataConfig
from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True)
class FrameWindow:
  """Frames of a record, evenly apart; see `fit_window`.

  Attributes:
    num_frames: Frames of a clip.
    stride: 2 takes every second frame.
    num_starts: Frames that a clip can start with: the first ones.
  """

  num_frames: int
  stride: int
  num_starts: int

  def frames(self, start: int) -> slice:
    """Returns the frames from `start`, in [0, num_starts)."""
    return slice(
      start, start + (self.num_frames - 1) * self.stride + 1, self.stride
    )

  @property
  def middle(self) -> slice:
    """The frames for evaluation: those of the middle start, or the next."""
    return self.frames(self.num_starts // 2)

  def draw(self, rng: np.random.Generator) -> slice:
    """Returns frames for training: any start is as likely as any other."""
    return self.frames(int(rng.integers(self.num_starts)))


def fit_window(
  num_record_frames: int,
  num_frames: int | None = None,
  stride: int = 1,
  fields: tuple[str, str] = ("input.num_frames", "input.frame_stride"),
) -> FrameWindow:
  """Returns the windows that fit into a record.

  Args:
    num_record_frames: Frames of the record.
    num_frames: Frames of a clip; None for as many as fit.
    stride: 2 takes every second frame.
    fields: Names of both in the config.

  Raises:
    UserError: They do not fit.
  """
  if stride < 1:
    raise UserError(
      f"config.{fields[1]}={stride} must be at least 1: 2 takes every second "
      "frame."
    )
  if num_frames is None:
    num_frames = (num_record_frames - 1) // stride + 1
  if num_frames < 1:
    raise UserError(f"config.{fields[0]}={num_frames} must be at least 1.")
  span = (num_frames - 1) * stride + 1
  if span > num_record_frames:
    raise UserError(
      f"config.{fields[0]}={num_frames} with config.{fields[1]}={stride} spans "
      f"{span} frames, but the scenes have {num_record_frames}. Lower one of "
      "them, or make longer scenes."
    )
  return FrameWindow(num_frames, stride, num_record_frames - span + 1)


def scene_window(data: SceneDataConfig, samples: InputConfig) -> FrameWindow:
  """Returns which frames of the scenes the clips of a run have.

  Raises:
    UserError: `config.data` and `config.input` do not go together.
  """
  return fit_window(data.num_frames, samples.num_frames, samples.frame_stride)
