"""Optimizers from `optimizer` blocks of the configs."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax


def make_adamw(
  learning_rate: Callable,
  optimizer: Mapping[str, Any],
  *,
  decays_all: bool = False,
) -> optax.GradientTransformation:
  """AdamW, with the global gradient norm clipped first where asked.

  Args:
    learning_rate: Schedule `step -> rate`.
    optimizer: Fields `beta1`, `beta2`, `weight_decay` and `max_grad_norm`
      (None: no clipping).
    decays_all: Whether the weight decay is on all parameters; else it is on
      those named `kernel` alone.
  """
  adamw = optax.adamw(
    learning_rate,
    b1=optimizer["beta1"],
    b2=optimizer["beta2"],
    weight_decay=optimizer["weight_decay"],
    mask=None if decays_all else _is_kernel,
  )
  if optimizer["max_grad_norm"] is None:
    return adamw
  return optax.chain(
    optax.clip_by_global_norm(optimizer["max_grad_norm"]), adamw
  )


def _is_kernel(params):
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key == "kernel", params
  )
