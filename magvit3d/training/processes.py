"""What the processes of a run agree on; collective calls all."""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from magvit3d.errors import UserError


def is_true_anywhere(value: bool) -> bool:
  """Returns whether `value` is true in any process; the same in all."""
  if jax.process_count() == 1:
    return value
  return bool(np.any(multihost_utils.process_allgather(np.asarray(value))))


def on_process_0(act: Callable[[], None]) -> None:
  """Calls `act` in process 0 alone; the others wait until it is done.

  Raises:
    UserError: `act` raised it; then all processes do.
  """
  problem = None
  if jax.process_index() == 0:
    try:
      act()
    except UserError as error:
      problem = error
  if is_true_anywhere(problem is not None):
    raise problem or UserError("Process 0 failed; its message says why.")
