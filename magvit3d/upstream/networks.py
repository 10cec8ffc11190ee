"""Parameter trees of the networks that a config describes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from data_gen import schema
from magvit3d.config.run import RunConfig
from magvit3d.config.upstream import is_upstream
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
    config: The sections of the networks.
    num_frames: Of a clip.
    image_size: Pixels a side.
    num_classes: Of the data.
  """

  config: RunConfig
  num_frames: int
  image_size: int
  num_classes: int


def _describe(document: Mapping[str, Any]) -> _Description:
  if is_upstream(document):
    config = RunConfig.from_dict(document)
    videos = config.videos
    return _Description(
      config, videos.num_frames, videos.image_size, videos.num_classes
    )
  data = document.get("data", document)
  known = {"seed", "dtype", *sum(SECTIONS.values(), ()), "maskgvt"}
  sections = {key: document[key] for key in known & document.keys()}
  return _Description(
    RunConfig.from_dict(sections),
    data["num_frames"],
    data["image_size"],
    _num_classes(data),
  )


def _num_classes(data: Mapping[str, Any]) -> int:
  preset = data.get("preset", "traj3d")
  if preset not in schema.PRESETS:
    raise UserError(
      f"config.data.preset={preset!r} is unknown; use one of "
      f"{', '.join(schema.PRESETS)}."
    )
  return len(schema.class_names(preset, data.get("random_motion", False)))


def _needed(config: RunConfig, section: str, kind: str) -> Any:
  found = getattr(config, section)
  if found is None:
    raise UserError(f"--config has no field {section!r}, which a {kind} needs.")
  return found


def _tokenizer(
  document: Mapping[str, Any], rng: jax.Array
) -> dict[str, PyTree]:
  g_rng, d_rng = jax.random.split(rng)
  described = _describe(document)
  size, config = described.image_size, described.config
  vqvae = _needed(config, "vqvae", layouts.TOKENIZER)
  latent_shape(vqvae, described.num_frames, size)  # Checks the sizes.
  clips = jnp.zeros((1, described.num_frames, size, size, 3))
  generator = Tokenizer.from_config(vqvae).init(g_rng, clips)["params"]
  trees = {"g_params": generator, "ema_params": generator}
  if config.discriminator:
    discriminator = Discriminator.from_config(config.discriminator, vqvae)
    trees["d_params"] = discriminator.init(d_rng, clips)["params"]
  return trees


def _transformer(
  document: Mapping[str, Any], rng: jax.Array
) -> dict[str, PyTree]:
  described = _describe(document)
  config, num_classes = described.config, described.num_classes
  for section in ("vqvae", "transformer"):
    _needed(config, section, layouts.TRANSFORMER)
  grid = latent_shape(config.vqvae, described.num_frames, described.image_size)
  if config.lmgvt:
    transformer = LanguageModel(config, num_classes, grid).transformer
    length = transformer.max_len
  else:
    for section in ("tasks", "maskgvt"):
      _needed(config, section, layouts.TRANSFORMER)
    model = TokenModel(config, described.num_frames, num_classes, grid)
    transformer = model.transformer
    length = transformer.max_position_embeddings
  ids = jnp.zeros((1, length), jnp.int32)
  return {"params": transformer.init(rng, ids)["params"]}
