"""What discrete diffusion with actions trains on: hidden and wrong tokens.

CoPilot4D (https://arxiv.org/abs/2311.01017, algorithm 1): of a clip's tokens a
share is hidden, and of the shown ones a share becomes other codes. Clips have
one of three objectives: the future given the past, all frames jointly, or each
frame by itself.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from magvit3d.config.world_model import WorldModelConfig
from magvit3d.tokens import masking, schedules
from magvit3d.tokens.vocabulary import MASK

FUTURE, JOINT, SINGLE = range(3)
OBJECTIVES = ("future", "joint", "single")


@flax.struct.dataclass
class NoisyTokens:
  """Clips as the network sees them in training.

  Attributes:
    inputs: (b, t, h, w): true, other, or hidden (`MASK`) tokens.
    is_wrong: (b, t, h, w): where they are other codes.
    num_given: (b,): first frames that are given: all of their tokens are true.
    sees_past: (b,): whether frames see earlier ones.
    objective: (b,): numbers of `OBJECTIVES`.
  """

  inputs: Int[Array, "b t h w"]
  is_wrong: Bool[Array, "b t h w"]
  num_given: Int[Array, " b"]
  sees_past: Bool[Array, " b"]
  objective: Int[Array, " b"]

  @property
  def is_hidden(self) -> Bool[Array, "b t h w"]:
    """Which tokens the network does not see."""
    return self.inputs == MASK

  @property
  def is_given(self) -> Bool[Array, "b t 1 1"]:
    """Which frames are told exactly."""
    frame = jnp.arange(self.inputs.shape[1])
    return (frame[None] < self.num_given[:, None])[..., None, None]


def draw_objectives(
  rng: PRNGKeyArray, num_clips: int, config: WorldModelConfig
) -> Int[Array, " b"]:
  """Returns the objective of each clip, at the config's rates."""
  place = jax.random.uniform(rng, (num_clips,))
  joint_end = config.future_share + config.joint_share
  return jnp.where(
    place < config.future_share,
    FUTURE,
    jnp.where(place < joint_end, JOINT, SINGLE),
  )


def draw_told(
  rng: PRNGKeyArray, num_clips: int, num_frames: int, drop_rate: float
) -> Bool[Array, "b t"]:
  """Returns which frames' actions a network is told in training.

  None of a share `drop_rate` of the clips; of as many others those from a
  random frame on; of the rest all.
  """
  kind_rng, start_rng = jax.random.split(rng)
  place = jax.random.uniform(kind_rng, (num_clips,))
  start = jax.random.randint(start_rng, (num_clips,), 1, num_frames)
  start = jnp.where(place < 2 * drop_rate, start, 0)
  start = jnp.where(place < drop_rate, num_frames, start)
  return jnp.arange(num_frames)[None] >= start[:, None]


def make_noisy(
  rng: PRNGKeyArray,
  tokens: Int[Array, "b t h w"],
  config: WorldModelConfig,
) -> NoisyTokens:
  """Hides tokens, and makes some of the others wrong.

  The future begins after 1 to t - 1 given frames, all equally likely.

  Args:
    rng: Key of all draws.
    tokens: True ones, in [0, num_levels).
    config: Section of the config.
  """
  keys = jax.random.split(rng, 7)
  b, t = tokens.shape[:2]
  objective = draw_objectives(keys[0], b, config)
  start = jax.random.randint(keys[1], (b,), 1, t)
  num_given = jnp.where(objective == FUTURE, start, 0)
  is_open = jnp.arange(t)[None] >= num_given[:, None]
  is_open = jnp.broadcast_to(is_open[..., None, None], tokens.shape)
  is_hidden = _hide(keys[2:4], is_open, config)
  rate = config.max_noise * jax.random.uniform(keys[4], (b, 1, 1, 1))
  is_shown = is_open & ~is_hidden
  is_wrong = is_shown & (jax.random.uniform(keys[5], tokens.shape) < rate)
  # Any code but the true one.
  k = config.num_levels
  step = jax.random.randint(keys[6], tokens.shape, 1, k)
  inputs = jnp.where(is_wrong, (tokens + step) % k, tokens)
  return NoisyTokens(
    inputs=jnp.where(is_hidden, MASK, inputs),
    is_wrong=is_wrong,
    num_given=num_given,
    sees_past=objective != SINGLE,
    objective=objective,
  )


def _hide(
  keys: Key[Array, "2"],
  is_open: Bool[Array, "b t h w"],
  config: WorldModelConfig,
) -> Bool[Array, "b t h w"]:
  """Which of the open tokens are hidden: so many of a clip, or of a frame."""
  scores = jax.random.uniform(keys[0], is_open.shape)
  shape = is_open.shape
  if config.draw == "frame":
    scores, is_open = (
      array.reshape(-1, 1, *shape[2:]) for array in (scores, is_open)
    )
  num_open = is_open.sum((1, 2, 3))
  progress = jax.random.uniform(keys[1], num_open.shape)
  num_tokens = scores[0].size
  ratio = schedules.mask_ratio(config.mask_schedule, progress, num_tokens)
  count = jnp.ceil(ratio * num_open).astype(jnp.int32)
  return masking.lowest_scores(scores, is_open, count).reshape(shape)


def noise_share(noisy: NoisyTokens) -> Float[Array, ""]:
  """Returns the share of wrong tokens among those that are shown, not given."""
  is_shown = ~noisy.is_hidden & ~noisy.is_given
  return noisy.is_wrong.sum() / jnp.maximum(is_shown.sum(), 1)
