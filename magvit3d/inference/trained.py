"""The networks of a run with what is needed to use them, and no data."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from data_gen.cameras import Cameras
from magvit3d.config.run import RunConfig
from magvit3d.errors import as_user_errors
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
