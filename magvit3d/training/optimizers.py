"""Optimizers from `optimizer` blocks of the configs."""

from collections.abc import Callable

import jax
import optax

from magvit3d.config.training import OptimizerConfig
from magvit3d.training import muon

_ATTENTION_INPUTS = ("query", "key", "value")


def make_optimizer(
  learning_rate: Callable,
  optimizer: OptimizerConfig,
  *,
  decays_all: bool = False,
) -> optax.GradientTransformation:
  """AdamW or Muon, as `optimizer.name` says.

  Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) moves
  the kernels of layers by orthogonalised momentum, at the schedule times
  `muon_rate`; AdamW moves the rest.

  Args:
    learning_rate: Schedule `step -> rate` of AdamW.
    optimizer: The block of the config.
    decays_all: See `make_adamw`.
  """
  if optimizer.name == "adamw":
    return make_adamw(learning_rate, optimizer, decays_all=decays_all)
  moved = muon.muon(
    lambda step: learning_rate(step) * optimizer.muon_rate,
    optax.nadamw(
      learning_rate, b1=optimizer.beta1, b2=optimizer.beta2, weight_decay=0.0
    ),
    beta=optimizer.muon_beta,
    weight_decay=optimizer.weight_decay,
    num_input_axes=_num_input_axes,
  )
  return _clipped(moved, optimizer)


def _num_input_axes(params):
  """How many first axes of the layers' kernels are inputs; None elsewhere."""

  def count(path, kernel):
    if not _is_kernel_path(path) or kernel.ndim < 2:
      return None
    names = [entry.key for entry in path]
    # Of attention (d, heads, d / heads); else outputs are the last axis alone.
    return 1 if names[-2] in _ATTENTION_INPUTS else kernel.ndim - 1

  return jax.tree_util.tree_map_with_path(count, params)


def make_adamw(
  learning_rate: Callable,
  optimizer: OptimizerConfig,
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
    b1=optimizer.beta1,
    b2=optimizer.beta2,
    weight_decay=optimizer.weight_decay,
    mask=None if decays_all else _is_kernel,
  )
  return _clipped(adamw, optimizer)


def _clipped(transformation, optimizer):
  if optimizer.max_grad_norm is None:
    return transformation
  return optax.chain(
    optax.clip_by_global_norm(optimizer.max_grad_norm), transformation
  )


def _is_kernel_path(path) -> bool:
  return path[-1].key == "kernel"


def _is_kernel(params):
  return jax.tree_util.tree_map_with_path(
    lambda path, _: _is_kernel_path(path), params
  )
