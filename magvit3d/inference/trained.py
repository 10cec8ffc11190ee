"""The networks of a run with what is needed to use them, and no data."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from data_gen.rendering.cameras import Cameras
from magvit3d.config.networks import TransformerConfig
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError, as_user_errors
from magvit3d.models.tokenizer import latent_shape
from magvit3d.tokens.masked_model import TokenModel


@dataclasses.dataclass(frozen=True)
class TrainedNetworks:
  """A tokenizer and, where it was trained, the transformer on its tokens.

  Attributes:
    config: The run's; at least with `SECTIONS`.
    class_names: By label; a pair of shape and motion is 'cone_helical'.
    num_frames: Frames of a clip.
    image_size: Height and width of a frame, pixels.
    frame_stride: Frames of the data's scenes from one of a clip to the next.
    num_cameras: Of the rig of the data.
    rig: These cameras, where all scenes have the same, but for jitter.
    steps: Steps that each network was trained for, by stage.
    tokenizer_params: Moving average of the generator.
    transformer_params: None where there is only the tokenizer.
    data: Options of `python -m data_gen` that made the data of the tokenizer;
      None where nobody knows, or for footage.
    scores: evaluation/scores.json of their run; None if there is none of them.
  """

  config: RunConfig
  class_names: tuple[str, ...]
  num_frames: int
  image_size: int
  frame_stride: int
  num_cameras: int
  steps: Mapping[str, int]
  tokenizer_params: PyTree
  transformer_params: PyTree | None = None
  rig: Cameras | None = None
  data: Mapping[str, Any] | None = None
  scores: Mapping[str, Any] | None = None

  @property
  def clip_shape(self) -> tuple[int, int, int, int]:
    """(t, h, w, 3)."""
    return (self.num_frames, self.image_size, self.image_size, 3)

  @property
  def sees_views(self) -> bool:
    """Whether the transformer reads scenes with their cameras."""
    return self.model.transformer.camera_embedding is not None

  @functools.cached_property
  def model(self) -> TokenModel:
    """The transformer with its vocabulary and tasks, and the tokenizer."""
    return make_model(
      self.config,
      self.class_names,
      self.num_frames,
      self.image_size,
      self.num_cameras,
    )


# Of the config, that the networks are built from.
SECTIONS = (
  "vqvae",
  "transformer",
  "tasks",
  "maskgvt",
  "dtype",
  "matmul_precision",
  "seed",
)


def make_model(
  config: RunConfig,
  class_names: tuple[str, ...],
  num_frames: int,
  image_size: int,
  num_cameras: int,
) -> TokenModel:
  """Builds the networks that `TrainedNetworks` describes.

  Raises:
    UserError: Fields of the config do not go together.
  """
  with as_user_errors(ValueError):
    grid = latent_shape(config.vqvae, num_frames, image_size)
    return TokenModel(
      config,
      num_frames,
      len(class_names),
      grid,
      num_cameras=num_cameras,
      image_size=image_size,
    )


_MOST_PIXELS = 2**26  # Of a clip.
_MOST_TASKS = 1000
# Each is traced for some milliseconds.
_MOST_LAYERS = 500


def network_shapes(
  config: RunConfig,
  class_names: tuple[str, ...],
  num_frames: int,
  image_size: int,
  num_cameras: int,
  leaves: Mapping[str, tuple[int, ...]],
) -> dict[str, PyTree]:
  """Returns the shapes of parameters: `tokenizer`, and `transformer` if there.

  For files that nobody vouches for: networks that are larger than their
  parameters are told before they are traced, which would take hours.

  Args:
    config: At least with `SECTIONS`; so are the next four of `make_model`.
    class_names: The same.
    num_frames: The same.
    image_size: The same.
    num_cameras: The same.
    leaves: Shapes of the parameters that are there, by path:
      'tokenizer/encoder/Conv_0/kernel'.

  Raises:
    UserError: The config cannot be, or not with these parameters.
  """
  has_transformer = any(path.startswith("transformer/") for path in leaves)
  _check_counts(config, num_frames, image_size, num_cameras, leaves)
  try:
    model = make_model(config, class_names, num_frames, image_size, num_cameras)
    num_values = sum(map(math.prod, leaves.values()))
    if has_transformer and model.num_tokens > num_values:
      raise UserError(
        f"a clip would have {model.num_tokens} tokens, more than there are "
        "parameters"
      )
    shapes = {"tokenizer": tokenizer_shapes(model, num_frames, image_size)}
    if has_transformer:
      shapes["transformer"] = transformer_shapes(model)
  except UserError:
    raise
  except Exception as error:  # Of Flax and JAX, of whatever type.
    text = " ".join(str(error).split())[:300]
    raise UserError(
      f"the networks cannot be built ({type(error).__name__}: {text})"
    ) from error
  return shapes


def _check_counts(
  config: RunConfig,
  num_frames: int,
  image_size: int,
  num_cameras: int,
  leaves: Mapping[str, tuple[int, ...]],
) -> None:
  """Raises UserError for a network that has more than there is of it."""
  vqvae, transformer = config.vqvae, config.transformer
  if not isinstance(transformer, TransformerConfig) or None in (
    vqvae,
    config.maskgvt,
  ):
    raise UserError("it lacks vqvae, maskgvt, or the transformer of these")
  if num_frames * image_size**2 > _MOST_PIXELS:
    raise UserError(
      f"clips of {num_frames} frames of {image_size} x {image_size} pixels are "
      f"larger than the {_MOST_PIXELS} pixels that are read"
    )
  if len(config.tasks or ()) > _MOST_TASKS:
    raise UserError(f"it has more than {_MOST_TASKS} tasks")
  blocks = vqvae.num_enc_res_blocks + vqvae.num_dec_res_blocks
  multipliers = vqvae.channel_multipliers
  layers = {
    "levels": len(multipliers),
    "blocks": len(multipliers) * blocks,
  }
  widths = {
    "filters": vqvae.filters,
    "channels": vqvae.filters * max(map(abs, multipliers), default=1),
    "codebook_size": vqvae.codebook_size,
    "embedding_dim": vqvae.embedding_dim,
  }
  if any(path.startswith("transformer/") for path in leaves):
    layers["layers"] = transformer.num_layers
    widths |= {
      "hidden_size": transformer.hidden_size,
      "mlp_dim": transformer.mlp_dim,
      "num_segments": transformer.num_segments,
      "num_views": transformer.num_views,
      "cameras": num_cameras,
    }
  num_values = sum(map(math.prod, leaves.values()))
  for counts, most, what in (
    (layers, min(len(leaves), _MOST_LAYERS), "arrays"),
    (widths, num_values, "values"),
  ):
    for name, count in counts.items():
      if count > most:
        raise UserError(
          f"its networks have {name}={count}, and there are {most} {what} of "
          "parameters at most"
        )


def tokenizer_shapes(model: TokenModel, num_frames: int, size: int) -> PyTree:
  """Returns the shapes of the tokenizer's parameters."""
  clips = jax.ShapeDtypeStruct((1, num_frames, size, size, 3), jnp.float32)
  key = jax.random.key(0)
  return jax.eval_shape(model.tokenizer.init, key, clips)["params"]


def transformer_shapes(model: TokenModel) -> PyTree:
  """Returns the shapes of the transformer's parameters."""
  key = jax.random.key(0)
  init = model.transformer.init
  return jax.eval_shape(init, key, *model.init_arguments())["params"]
