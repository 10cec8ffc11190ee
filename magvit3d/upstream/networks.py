"""Parameter trees of the networks that a config describes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from data_gen import schema
from magvit3d.errors import UserError, as_user_errors
from magvit3d.models.discriminator import Discriminator
from magvit3d.models.vqvae import Tokenizer, latent_shape
from magvit3d.tokens.token_model import TokenModel
from magvit3d.upstream import layouts

# Sections of the config that determine a tree.
SECTIONS = {
  layouts.TOKENIZER: ("vqvae", "discriminator"),
  layouts.TRANSFORMER: ("vqvae", "transformer", "tasks"),
}


def fresh_params(
  config: Mapping[str, Any], kind: str, seed: int = 0
) -> dict[str, PyTree]:
  """Draws initial values of all trees that a checkpoint of `kind` may have.

  Under `jax.eval_shape` it costs nothing. A tokenizer has `g_params`,
  `ema_params` (the same values) and, where the config has a `discriminator`,
  `d_params`; a transformer has `params`.

  Raises:
    UserError: The config lacks a section, or a field is wrong.
  """
  make = _tokenizer if kind == layouts.TOKENIZER else _transformer
  with as_user_errors(ValueError):
    try:
      return make(config, jax.random.key(seed))
    except KeyError as error:
      raise UserError(
        f"--config has no field {error}, which a {kind} needs."
      ) from error


def clip_size(config: Mapping[str, Any]) -> tuple[int, int]:
  """Returns frames and pixels a side of the config's clips."""
  data = config.get("data", config)
  return data.get("num_frames", 1), data["image_size"]


def _tokenizer(config: Mapping[str, Any], rng: jax.Array) -> dict[str, PyTree]:
  g_rng, d_rng = jax.random.split(rng)
  num_frames, image_size = clip_size(config)
  vqvae = config["vqvae"]
  latent_shape(vqvae, num_frames, image_size)  # Checks the sizes.
  clips = jnp.zeros((1, num_frames, image_size, image_size, 3))
  generator = Tokenizer.from_config(vqvae).init(g_rng, clips)["params"]
  trees = {"g_params": generator, "ema_params": generator}
  if config.get("discriminator"):
    discriminator = Discriminator.from_config(config["discriminator"])
    trees["d_params"] = discriminator.init(d_rng, clips)["params"]
  return trees


def _transformer(
  config: Mapping[str, Any], rng: jax.Array
) -> dict[str, PyTree]:
  num_frames, image_size = clip_size(config)
  model = TokenModel(
    config,
    num_frames,
    len(schema.CLASSES),
    latent_shape(config["vqvae"], num_frames, image_size),
  )
  length = model.vocabulary.prefix_length + model.num_tokens
  ids = jnp.zeros((1, length), jnp.int32)
  return {"params": model.transformer.init(rng, ids)["params"]}
