"""Convolutional LSTM that predicts frames, told an action a frame.

Shi et al. (https://arxiv.org/abs/1506.04214): squares of pixels become
channels, layers of convolutional LSTM read frame after frame, and behind the
given frames the network reads its own predictions. Ours: one network in place
of encoder and forecaster, and the actions as channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from magvit3d.models.clip_units import FrameConv


def to_cells(
  frames: Float[Array, "*b h w"], patch: int
) -> Float[Array, "*b y x d"]:
  """Returns squares of pixels as channels."""
  *batch, h, w = frames.shape
  x = frames.reshape(*batch, h // patch, patch, w // patch, patch)
  x = jnp.moveaxis(x, -3, -2)
  return x.reshape(*batch, h // patch, w // patch, patch**2)


def from_cells(
  cells: Float[Array, "*b y x d"], patch: int
) -> Float[Array, "*b h w"]:
  """Undoes `to_cells`."""
  *batch, y, x, _ = cells.shape
  frames = cells.reshape(*batch, y, x, patch, patch)
  return jnp.moveaxis(frames, -2, -3).reshape(*batch, y * patch, x * patch)


class _Cell(nn.Module):
  """`nn.ConvLSTMCell`, with its parameters.

  XLA's convolutions are slow in loops on CPUs.
  """

  features: int
  kernel_size: tuple[int, int]

  @nn.compact
  def __call__(
    self, carry: tuple[Array, Array], x: Float[Array, "b y x c"]
  ) -> tuple[tuple[Array, Array], Array]:
    memory, hidden = carry
    gates = jnp.zeros(())
    for name, inputs in (("ih", x), ("hh", hidden)):
      conv = FrameConv(4 * self.features, self.kernel_size, name=name)
      gates += conv(inputs[:, None])[:, 0]
    enter, new, stay, leave = jnp.split(gates, 4, axis=-1)
    memory *= nn.sigmoid(stay + 1)
    memory += nn.sigmoid(enter) * jnp.tanh(new)
    hidden = nn.sigmoid(leave) * jnp.tanh(memory)
    return (memory, hidden), hidden


class _Step(nn.Module):
  """Reads a frame and the next one's action; predicts the next frame."""

  num_layers: int
  features: int
  kernel_size: int
  patch: int

  @nn.compact
  def __call__(
    self, carry: PyTree, given: tuple[Array, Array, Array]
  ) -> tuple[PyTree, Array]:
    states, predicted = carry
    frame, is_given, action = given
    frame = jnp.where(is_given, frame, predicted)
    x = to_cells(frame, self.patch)
    action = jnp.broadcast_to(
      action[:, None, None], (*x.shape[:3], action.shape[-1])
    )
    x = jnp.concatenate([x, action], axis=-1)
    kernel = (self.kernel_size, self.kernel_size)
    new_states = []
    for number, state in enumerate(states):
      cell = _Cell(self.features, kernel, name=f"layer_{number}")
      state, x = cell(state, x)
      new_states.append(state)
    cells = nn.Conv(self.patch**2, (1, 1), name="pixels")(x)
    logits = from_cells(cells, self.patch)
    return (tuple(new_states), nn.sigmoid(logits)), logits


class ConvLstm(nn.Module):
  """Predicts every next frame.

  Attributes:
    num_layers: Of convolutional LSTM.
    features: Of each.
    kernel_size: Of its convolutions.
    patch: Side of the squares that become channels.
  """

  num_layers: int
  features: int
  kernel_size: int
  patch: int

  @nn.compact
  def __call__(
    self,
    frames: Float[Array, "b t h w"],
    actions: Float[Array, "b t a"],
    given_frames: int,
  ) -> Float[Array, "b t-1 h w"]:
    """Returns logits of the pixels of the frames from the second on.

    Args:
      frames: In [0, 1]; behind the given ones they are not read.
      actions: Of each frame.
      given_frames: First frames that are read.
    """
    b, t, h, w = frames.shape
    cells = (b, h // self.patch, w // self.patch, self.features)
    zeros = jnp.zeros(cells)
    states = tuple((zeros, zeros) for _ in range(self.num_layers))
    is_given = jnp.arange(t - 1) < given_frames
    steps = nn.scan(
      _Step,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=0,
      out_axes=0,
    )(
      self.num_layers,
      self.features,
      self.kernel_size,
      self.patch,
      name="step",
    )
    _, logits = steps(
      (states, jnp.zeros((b, h, w))),
      (
        jnp.moveaxis(frames[:, :-1], 1, 0),
        is_given,
        jnp.moveaxis(actions[:, 1:], 1, 0),
      ),
    )
    return jnp.moveaxis(logits, 0, 1)


def num_parameters(params: PyTree) -> int:
  """Returns how many there are."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))
