"""Types of numbers in JAX, whatever the program around us has set.

Networks, states and checkpoints are of float32 and int32 (or bfloat16, where a
config says so). With jax_enable_x64, which those who simulate physics set,
constants and NumPy arrays would become float64 among them.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax

Function = TypeVar("Function", bound=Callable[..., Any])


def in_own_types(function: Function) -> Function:
  """Returns a function that computes in 32 bits, with JAX's own promotion.

  The setting is that of a thread: functions for other threads need it too.
  """

  @functools.wraps(function)
  def call(*arguments, **named):
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
      return function(*arguments, **named)

  return cast(Function, call)
