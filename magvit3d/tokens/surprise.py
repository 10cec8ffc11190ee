"""How unexpected clips are to a masked transformer, in bits.

The tokens of a latent frame are hidden, in all views, and what the network says
of the true ones is their cost: -log2 of their probability. Given the past
alone, the later frames are hidden too, and the costs of all frames add up to
the bits that a clip takes; given the rest, a frame costs what its surroundings
do not tell.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from magvit3d.models.cameras import Cameras
from magvit3d.tokens import masking
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.tokens.tasks import Task

_KINDS = ("full_generation", "frame_prediction")


def asked_task(tasks: Sequence[Task], has_class: bool) -> int | None:
  """Returns the task in whose words a network is asked for bits.

  Args:
    tasks: Of the network.
    has_class: Whether it shall be told the class.

  Returns:
    None where its only task stands before the clip (condition mode 'prefix'),
    so that nothing but what follows has a likelihood.
  """
  found = [
    index
    for kind in _KINDS
    for index, task in enumerate(tasks)
    if task.kind == kind and task.class_conditional == has_class
  ]
  index = found[0] if found else 0
  return None if tasks[index].condition_mode == "prefix" else index


def frame_bits(
  model: TokenModel,
  params: PyTree,
  rng: PRNGKeyArray,
  tokens: Int[Array, "b s h w"],
  labels: Int[Array, " b"],
  task_index: int,
  cameras: Cameras | None = None,
  *,
  past_alone: bool = False,
  num_draws: int | None = None,
) -> Float[Array, "b t"]:
  """Returns the bits of each latent frame, over all views.

  Args:
    model: The transformer.
    params: Its parameters.
    rng: Key of the draws.
    tokens: Of the clips; several views stand behind one another along s.
    labels: Classes; the number of classes stands for none.
    task_index: In whose words the network is asked; no token of a condition is
      shown.
    cameras: Of scenes with several views.
    past_alone: Whether later frames are hidden too.
    num_draws: None: all tokens of a frame are hidden at once and cost what
      each costs alone, as if they were independent. A number: the mean over so
      many draws of the bound of masked diffusion
      (https://arxiv.org/abs/2406.04329), where a share u of the frame's tokens
      is hidden, which cost 1/u times as much; shares are spread evenly over
      (0, 1].
  """
  num_frames = model.latent_shape[0]
  frame = jnp.arange(tokens.shape[1]) % num_frames
  frame = jnp.broadcast_to(frame[:, None, None], tokens.shape)
  per_frame = math.prod(tokens.shape[1:]) // num_frames

  def cost(index, is_hidden):
    shown_less = is_hidden | (frame > index) if past_alone else is_hidden
    masked = masking.apply_mask(
      tokens, None, None, shown_less, None, "mask+refine"
    )
    sequence = model.sequence(masked, labels, tokens, task_index)
    logits = model.logits(params, sequence, cameras)[:, model.prefix_length :]
    log_probabilities = jax.nn.log_softmax(logits.astype(jnp.float32))
    chosen = jnp.take_along_axis(
      log_probabilities, tokens.reshape(len(tokens), -1, 1), axis=-1
    ).reshape(tokens.shape)
    return -jnp.sum(chosen * is_hidden, axis=(1, 2, 3)) / math.log(2)

  def of_frame(index):
    if num_draws is None:
      return cost(index, frame == index)

    def of_draw(draw):
      key = jax.random.fold_in(jax.random.fold_in(rng, index), draw)
      share_rng, order_rng = jax.random.split(key)
      share = (draw + 1 - jax.random.uniform(share_rng)) / num_draws
      count = jnp.ceil(share * per_frame).astype(jnp.int32)
      score = jax.random.uniform(order_rng, tokens.shape)
      is_hidden = masking.lowest_scores(
        score, frame == index, jnp.broadcast_to(count, len(tokens))
      )
      return cost(index, is_hidden) * per_frame / count

    return jnp.mean(jax.lax.map(of_draw, jnp.arange(num_draws)), axis=0)

  return jax.lax.map(of_frame, jnp.arange(num_frames)).T
