"""Parameter trees of the networks that a config describes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from data_gen import schema
from magvit3d.config.single_stage import stage_blocks
from magvit3d.errors import UserError, as_user_errors
from magvit3d.models.discriminator import Discriminator
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
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


@dataclasses.dataclass(frozen=True)
class _Description:
  """What a config says of networks, whichever kind of config it is.

  Attributes:
    blocks: As in `configs/traj3d.py`.
    num_frames: Of a clip.
    image_size: Pixels a side.
    num_classes: Of the data.
  """

  blocks: Mapping[str, Any]
  num_frames: int
  image_size: int
  num_classes: int


def _describe(config: Mapping[str, Any]) -> _Description:
  if "model_class" in config:  # Upstream's.
    data = config["dataset_configs"]
    is_image = config.get("dataset_type") == "image"
    num_frames = 1 if is_image else data["num_frames"]
    return _Description(
      stage_blocks(config),
      num_frames,
      config["image_size"],
      data["num_classes"],
    )
  data = config.get("data", config)
  return _Description(
    config, data["num_frames"], data["image_size"], _num_classes(data)
  )


def _num_classes(data: Mapping[str, Any]) -> int:
  preset = data.get("preset", "traj3d")
  if preset not in schema.PRESETS:
    raise UserError(
      f"config.data.preset={preset!r} is unknown; use one of "
      f"{', '.join(schema.PRESETS)}."
    )
  return len(schema.class_names(preset, data.get("random_motion", False)))


def _tokenizer(config: Mapping[str, Any], rng: jax.Array) -> dict[str, PyTree]:
  g_rng, d_rng = jax.random.split(rng)
  described = _describe(config)
  size, vqvae = described.image_size, described.blocks["vqvae"]
  latent_shape(vqvae, described.num_frames, size)  # Checks the sizes.
  clips = jnp.zeros((1, described.num_frames, size, size, 3))
  generator = Tokenizer.from_config(vqvae).init(g_rng, clips)["params"]
  trees = {"g_params": generator, "ema_params": generator}
  if described.blocks.get("discriminator"):
    discriminator = Discriminator.from_config(
      described.blocks["discriminator"], vqvae
    )
    trees["d_params"] = discriminator.init(d_rng, clips)["params"]
  return trees


def _transformer(
  config: Mapping[str, Any], rng: jax.Array
) -> dict[str, PyTree]:
  described = _describe(config)
  blocks, num_classes = described.blocks, described.num_classes
  grid = latent_shape(
    blocks["vqvae"], described.num_frames, described.image_size
  )
  if "lmgvt" in blocks:
    transformer = LanguageModel(blocks, num_classes, grid).transformer
    length = transformer.max_len
  else:
    model = TokenModel(blocks, described.num_frames, num_classes, grid)
    transformer = model.transformer
    length = transformer.max_position_embeddings
  ids = jnp.zeros((1, length), jnp.int32)
  return {"params": transformer.init(rng, ids)["params"]}
