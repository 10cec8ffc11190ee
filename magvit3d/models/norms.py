"""Norms, and the activations behind them.

Where a group norm and an activation are differentiated one after the other, the
gradient between the two is written, and read again twice: for the norm's sums
and for its result. Together they read values and gradients twice and write the
result: 5 passes over memory in place of 8.
"""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

_EPSILON = 1e-6


def make_norm(
  norm_type: str | None,
  num_groups: int,
  dtype: DTypeLike,
  name: str | None = None,
) -> Callable[..., Array]:
  """Returns a new normalisation layer: 'GN', 'LN', or None for none.

  Call it with values (n, *grid, c), and with the activation behind it, if there
  is one. Once for each place, inside a compact method, so that linen numbers
  the layers in order. Statistics are float32 whatever `dtype` is.
  """
  if norm_type == "GN":
    return GroupNorm(num_groups, dtype, name=name)
  if norm_type == "LN":
    norm = nn.LayerNorm(epsilon=_EPSILON, dtype=dtype, name=name)
    return lambda x, activation=_identity: activation(norm(x))
  if norm_type is None:
    return no_norm
  raise ValueError(f"norm_type={norm_type!r} is unknown; use 'GN', 'LN', None.")


def _identity(x: Array) -> Array:
  return x


def no_norm(
  x: Array, activation: Callable[[Array], Array] = _identity
) -> Array:
  """Returns the activation of the values as they are."""
  return activation(x)


class GroupNorm(nn.Module):
  """Flax's, of the same parameters, together with an activation.

  Wu and He, https://arxiv.org/abs/1803.08494.

  Attributes:
    num_groups: Of channels that share mean and variance; divides them.
    dtype: Type of the result; parameters are float32.
  """

  num_groups: int
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Float[Array, "n *grid c"],
    activation: Callable[[Array], Array] = _identity,
  ) -> Float[Array, "n *grid c"]:
    """Returns `activation` of the normalised values."""
    channels = x.shape[-1]
    if channels % self.num_groups:
      raise ValueError(
        f"num_groups={self.num_groups} does not divide {channels} channels."
      )
    scale = self.param("scale", nn.initializers.ones_init(), (channels,))
    bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
    return activated_group_norm(
      x.astype(self.dtype), scale, bias, self.num_groups, activation
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def activated_group_norm(
  x: Float[Array, "n *grid c"],
  scale: Float[Array, " c"],
  bias: Float[Array, " c"],
  num_groups: int,
  activation: Callable[[Array], Array],
) -> Float[Array, "n *grid c"]:
  """Returns the activation of the normalised values, in their type.

  Args:
    x: Values.
    scale: Of each channel.
    bias: Of each channel.
    num_groups: Of channels that share mean and variance.
    activation: Pointwise.
  """
  return _forward(x, scale, bias, num_groups, activation)[0]


def _grouped(x, num_groups):
  """(n, *grid, c) to (n, *grid, groups, c / groups), in float32."""
  shape = (*x.shape[:-1], num_groups, x.shape[-1] // num_groups)
  return x.astype(jnp.float32).reshape(shape)


def _statistics(x, num_groups):
  """Mean and 1 / deviation, (n, 1..., groups, 1)."""
  grouped = _grouped(x, num_groups)
  axes = (*range(1, x.ndim - 1), x.ndim)
  mean = grouped.mean(axes, keepdims=True)
  square = jnp.square(grouped).mean(axes, keepdims=True)
  variance = jnp.maximum(square - jnp.square(mean), 0)
  return mean, lax.rsqrt(variance + _EPSILON)


def _normed(x, mean, deviation, num_groups):
  return ((_grouped(x, num_groups) - mean) * deviation).reshape(x.shape)


def _scaled(normed, scale, bias, dtype):
  scale, bias = (
    jnp.expand_dims(values, range(normed.ndim - 1)) for values in (scale, bias)
  )
  return (normed * scale + bias).astype(dtype)


def _forward(x, scale, bias, num_groups, activation):
  statistics = _statistics(x, num_groups)
  normed = _normed(x, *statistics, num_groups)
  out = activation(_scaled(normed, scale, bias, x.dtype))
  return out, (x, scale, bias, statistics)


def _backward(num_groups, activation, saved, gradient):
  x, scale, bias, statistics = saved

  def to_normed(x, gradient):
    """Normed values, and the gradient of what the activation reads."""
    normed = _normed(x, *statistics, num_groups)
    _, pull_back = jax.vjp(activation, _scaled(normed, scale, bias, x.dtype))
    (back,) = pull_back(gradient)
    return normed, back.astype(jnp.float32)

  grid = tuple(range(1, x.ndim - 1))
  normed, back = to_normed(x, gradient)
  to_bias = back.sum(grid, keepdims=True)
  to_scale = (back * normed).sum(grid, keepdims=True)
  size = math.prod(x.shape[1:]) // num_groups
  scales = jnp.expand_dims(scale, range(x.ndim - 1))
  mean, mean_along = (
    _grouped(total * scales, num_groups).sum(-1, keepdims=True) / size
    for total in (to_bias, to_scale)
  )
  # Computed anew, not kept: else XLA writes it.
  normed, back = to_normed(*lax.optimization_barrier((x, gradient)))
  back, normed = (_grouped(a, num_groups) for a in (back * scales, normed))
  to_x = (back - mean - normed * mean_along) * statistics[1]
  return (
    to_x.reshape(x.shape).astype(x.dtype),
    to_scale.sum(0).reshape(scale.shape),
    to_bias.sum(0).reshape(bias.shape),
  )


activated_group_norm.defvjp(_forward, _backward)
