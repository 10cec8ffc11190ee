"""The masked transformer as a world model: frames of tokens, and actions."""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from magvit3d.config.world_model import WorldModelConfig
from magvit3d.models.action_transformer import ActionTransformer
from magvit3d.models.bert import Bert
from magvit3d.models.embeddings import grid_position_init
from magvit3d.tokens import frame_decoding
from magvit3d.tokens.vocabulary import MASK

# (cache, frame's tokens (b, h, w), its number, its actions (b, 1, a)) to logits
# (b, h, w, k) and the cache with the frame in it.
FrameLogits = Callable[..., tuple[Array, PyTree]]


@flax.struct.dataclass
class Rollout:
  """What was decoded; types are loose, for scans.

  Attributes:
    tokens: (b, t, h, w): given frames, then decoded ones.
    steps: (f, s, b, h * w): of f decoded frames what was known after each step.
  """

  tokens: PyTree
  steps: PyTree


class ActionModel:
  """A transformer over the tokens of clips, told an action a frame.

  Attributes:
    transformer: Attention in space, and in time to earlier frames alone.
    grid: Tokens (t, h, w) of a clip.
    num_inputs: Numbers that the network reads of the action of a frame.

  Args:
    config: Section of the config.
    grid: Tokens (t, h, w) of a clip.
    num_actions: Numbers of an action.
    action_scale: What is 1 to the network.
    dtype: Of the products.
  """

  def __init__(
    self,
    config: WorldModelConfig,
    grid: tuple[int, ...],
    num_actions: int,
    action_scale: float,
    dtype: DTypeLike = jnp.float32,
  ):
    self.config = config
    t, h, w = self.grid = tuple(grid)
    self.num_inputs, self._action_scale = num_actions + 1, action_scale
    cells = (t, h // config.patch, w // config.patch)
    self.frame_size = cells[1] * cells[2]
    per_position = config.patch**2
    bert = Bert(
      # Codes and MASK, once for each pixel of a patch.
      vocab_size=per_position * self.num_ids,
      hidden_size=config.hidden_size,
      num_layers=config.num_layers,
      num_heads=config.num_heads,
      mlp_dim=config.mlp_dim,
      max_position_embeddings=cells[0] * self.frame_size,
      kernel_init_stddev=config.kernel_init_stddev,
      position_init=grid_position_init(0, cells),
      dtype=dtype,
      attention_implementation=config.attention_implementation,
      remat=config.remat,
      frame_size=self.frame_size,
      relative_grid=cells if config.relative_bias else None,
      tokens_per_position=per_position,
      has_head=not config.motion.features,
    )
    self.transformer = ActionTransformer(
      bert, self.grid, config.patch, config.motion
    )

  @property
  def num_ids(self) -> int:
    """Ids of a token: the codes, and behind them the last, `MASK`."""
    return self.config.num_levels + 1

  def init(self, rng: PRNGKeyArray) -> PyTree:
    """Returns first parameters."""
    tokens = jnp.full((1, *self.grid), MASK)
    actions = jnp.zeros((1, self.grid[0], self.num_inputs))
    return self.transformer.init(rng, tokens, actions)["params"]

  def action_inputs(
    self, actions: Float[Array, "b t n"], is_told: Bool[Array, "b t"]
  ) -> Float[Array, "b t a"]:
    """Returns what the network reads: actions, scaled, and if they are told.

    Args:
      actions: In the unit of the data.
      is_told: Whether a frame's is; else it is 0 to the network.
    """
    told = is_told[..., None].astype(actions.dtype)
    return jnp.concatenate([actions / self._action_scale * told, told], axis=-1)

  def logits(
    self,
    params: PyTree,
    tokens: Int[Array, "b t h w"],
    actions: Float[Array, "b t a"],
    sees_past: Bool[Array, " b"] | None = None,
  ) -> Float[Array, "b t h w k"]:
    """Returns logits over the codes of all tokens of clips.

    Args:
      params: Of the transformer.
      tokens: Codes and `MASK`.
      actions: See `action_inputs`.
      sees_past: Whether frames of a clip see earlier ones; None: all do.
    """
    logits = self.transformer.apply(
      {"params": params}, tokens, actions, sees_past
    )
    return logits[..., : self.config.num_levels]

  def frame_logits(self, params: PyTree) -> FrameLogits:
    """Returns what reads on in a clip, frame by frame; see `FrameLogits`."""

    def read(cache, tokens, start, actions):
      variables = {"params": params}
      if cache is not None:
        variables["cache"] = cache
      logits, updated = self.transformer.apply(
        variables, tokens, actions, start=start, mutable=["cache"]
      )
      return logits[..., : self.config.num_levels], updated["cache"]

    return read

  def generate(
    self,
    params: PyTree,
    rngs: Key[Array, " b"],
    tokens: Int[Array, "b t h w"],
    actions: Float[Array, "b t a"],
    given_frames: int,
  ) -> Rollout:
    """Decodes the frames behind the given ones; see `roll_out`.

    Each clip has a key of its own, `rngs` (b,): what becomes of it does not
    depend on the others.
    """

    def of_clip(rng, tokens, actions):
      clip = tokens[None], actions[None]
      return roll_out(
        self.frame_logits(params), rng, *clip, given_frames, self.config
      )

    found = jax.vmap(of_clip)(rngs, tokens, actions)
    steps = jnp.moveaxis(found.steps[:, :, :, 0], 0, 2)
    return Rollout(found.tokens[:, 0], steps)


def roll_out(
  frame_logits: FrameLogits,
  rng: PRNGKeyArray,
  tokens: Int[Array, "b t h w"],
  actions: Float[Array, "b t a"],
  given_frames: int,
  config: WorldModelConfig,
) -> Rollout:
  """Decodes the frames behind the given ones, one after the other.

  Args:
    frame_logits: See `FrameLogits`.
    rng: Key of all draws.
    tokens: Of the first `given_frames` frames, which are locked; of the others
      what is locked there, else `MASK`.
    actions: Of all frames.
    given_frames: 1 or more.
    config: Of the sampler.
  """
  b, t, h, w = tokens.shape
  counts = frame_decoding.known_counts(
    config.mask_schedule, config.steps_per_frame, h * w
  )
  _, cache = frame_logits(
    None, tokens[:, :given_frames], 0, actions[:, :given_frames]
  )

  def decode(cache, number):
    at = functools.partial(
      jax.lax.dynamic_slice_in_dim, start_index=number, slice_size=1, axis=1
    )

    def logits_fn(shown):
      frame = shown.reshape(b, 1, h, w)
      logits, _ = frame_logits(cache, frame, number, at(actions))
      return logits.reshape(b, h * w, -1)

    frame = frame_decoding.decode_frame(
      jax.random.fold_in(rng, number),
      logits_fn,
      at(tokens).reshape(b, h * w),
      counts,
      temperature=config.temperature,
      choice_temperature=config.choice_temperature,
      resample=config.resample,
    )
    whole = frame.tokens.reshape(b, 1, h, w)
    _, cache = frame_logits(cache, whole, number, at(actions))
    return cache, (whole[:, 0], frame.steps)

  _, (frames, steps) = jax.lax.scan(decode, cache, jnp.arange(given_frames, t))
  found = jnp.concatenate(
    [tokens[:, :given_frames], jnp.moveaxis(frames, 0, 1)], axis=1
  )
  return Rollout(found, steps)
