"""The frozen tokenizer of a study, and the tokens that it makes."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree, UInt8

from magvit3d.config.networks import TokenizerConfig
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.inference.batched import map_batches
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.studies import pretrained_networks


class FrozenTokenizer:
  """What `config.pretrained` names, or a study's own.

  Attributes:
    vqvae: Its section of the config.
    network: The tokenizer.

  Args:
    config: Of the study.
    mesh: Devices.
    load_own: Returns the generator's parameters of the study's own tokenizer,
      on all devices, once it is trained; None: it has none.
    is_planned: Its tokens are zeros.

  Raises:
    UserError: There is none, it is damaged, or was trained on frames of
      another size.
  """

  def __init__(
    self,
    config: RunConfig,
    mesh: Mesh,
    load_own: Callable[[], PyTree] | None = None,
    *,
    is_planned: bool = False,
  ):
    self._mesh, self._is_planned = mesh, is_planned
    if load_own is not None:
      self._load, self.vqvae, dtype = load_own, config.vqvae, config.dtype
    else:
      trained = pretrained_networks.load(config.pretrained, mesh)
      if config.data and trained.image_size != config.data.image_size:
        raise UserError(
          f"config.pretrained={config.pretrained!r} was trained on frames of "
          f"{trained.image_size} px, but config.data.image_size="
          f"{config.data.image_size}. Use the same."
        )
      self._load = lambda: trained.tokenizer_params
      self.vqvae: TokenizerConfig = trained.config.vqvae
      dtype = trained.config.dtype
    self.network = Tokenizer.from_config(self.vqvae, jnp.dtype(dtype))
    self._encode = jax.jit(self.encode_batch)

  @functools.cached_property
  def params(self) -> PyTree:
    """Of the generator, on all devices."""
    return self._load()

  @functools.cached_property
  def codebook(self) -> Float[np.ndarray, "k d"]:
    """The codes, by token."""
    return np.asarray(self.params["quantizer"]["codebook"])

  def encode_batch(
    self, params: PyTree, batch: Mapping[str, Array]
  ) -> Int[Array, "b s y x"]:
    """Returns the tokens of `frames`, uint8 (b, t, h, w, 3), of a batch."""
    clips = batch["frames"].astype(jnp.float32) / 255
    quantized = self.network.apply({"params": params}, clips, method="encode")
    return quantized.tokens.astype(jnp.int32)

  def grid(
    self, num_frames: int, image_size: int, field: str = "data.num_frames"
  ) -> tuple[int, int, int]:
    """Returns the grid of tokens (t, h, w) of a clip.

    Args:
      num_frames: Of the clip.
      image_size: Height and width of its frames, pixels.
      field: That says how many frames it has.

    Raises:
      ValueError: The clip does not divide by the strides.
    """
    return latent_shape(
      self.vqvae, num_frames, image_size, (field, "data.image_size")
    )

  def encode(
    self, frames: UInt8[np.ndarray, "b t h w 3"], batch_size: int
  ) -> Int[np.ndarray, "b s y x"]:
    """Returns the tokens of clips, so many at a time."""
    if self._is_planned:
      grid = self.grid(*frames.shape[1:3])
      return np.zeros((len(frames), *grid), np.int32)
    return map_batches(
      lambda batch: self._encode(self.params, batch),
      {"frames": frames},
      batch_size,
      self._mesh,
    )
