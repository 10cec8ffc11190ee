"""What it takes to watch a clip: FLOPs and seconds, frame by frame."""

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from magvit3d.monitoring.flops import step_flops

_NUM_CALLS = 7


@dataclasses.dataclass(frozen=True)
class Cost:
  """Of one call; NaN: not known.

  Attributes:
    flops: As XLA counts them.
    seconds: Median of some calls, on the machine at hand.
  """

  flops: float
  seconds: float


@dataclasses.dataclass(frozen=True)
class WatchingCosts:
  """Of one clip of one camera.

  Attributes:
    frame: To tokenize a frame.
    answers: To answer about the first k frames at once, k = 1..t.
  """

  frame: Cost
  answers: tuple[Cost, ...]

  def whole(self, field: str) -> float:
    """Returns the 'flops' or 'seconds' of one answer about the whole clip."""
    num_frames = len(self.answers)
    answer = getattr(self.answers[-1], field)
    return num_frames * getattr(self.frame, field) + answer

  def until(
    self, frame: Int[np.ndarray, "..."], field: str
  ) -> Float[np.ndarray, "..."]:
    """Returns those of an answer after each frame, up to one where it ends.

    Args:
      frame: The last that is watched, 1..t.
      field: 'flops' or 'seconds'.
    """
    answers = np.cumsum([getattr(cost, field) for cost in self.answers])
    return frame * getattr(self.frame, field) + answers[frame - 1]


def measure(function: Callable, *arguments: PyTree) -> Cost:
  """Compiles a function, counts its FLOPs, and times some calls."""
  compiled = jax.jit(function).lower(*arguments).compile()
  flops = step_flops(compiled)
  seconds = []
  for _ in range(_NUM_CALLS):
    start = time.monotonic()
    jax.block_until_ready(compiled(*arguments))
    seconds.append(time.monotonic() - start)
  return Cost(
    float("nan") if flops is None else flops, float(np.median(seconds))
  )
