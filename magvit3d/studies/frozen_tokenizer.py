"""The frozen tokenizer of a study, and the tokens that it makes."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree, UInt8

from magvit3d.config.networks import TokenizerConfig
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.inference.batched import map_batches
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.studies import pretrained_networks


class FrozenTokenizer:
  """What `config.pretrained` names.

  Attributes:
    params: Of the generator, on all devices.
    vqvae: Its section of the config.
    codebook: Float (k, d).

  Args:
    config: Of the study.
    mesh: Devices.

  Raises:
    UserError: There is none, it is damaged, or was trained on frames of
      another size.
  """

  def __init__(self, config: RunConfig, mesh: Mesh):
    trained = pretrained_networks.load(config.pretrained, mesh)
    if config.data and trained.image_size != config.data.image_size:
      raise UserError(
        f"config.pretrained={config.pretrained!r} was trained on frames of "
        f"{trained.image_size} px, but config.data.image_size="
        f"{config.data.image_size}. Use the same."
      )
    self.params: PyTree = trained.tokenizer_params
    self.vqvae: TokenizerConfig = trained.config.vqvae
    self._mesh = mesh
    dtype = jnp.dtype(trained.config.dtype)
    self._tokenizer = Tokenizer.from_config(self.vqvae, dtype)
    codes = jnp.arange(self.vqvae.codebook_size)[None, None, None]
    self.codebook = np.asarray(
      self._tokenizer.apply(
        {"params": self.params},
        codes,
        method=lambda network, tokens: network.quantizer.decode_tokens(tokens),
      )
    )[0, 0, 0]
    self._encode = jax.jit(self.encode_batch)

  def encode_batch(
    self, params: PyTree, batch: Mapping[str, Array]
  ) -> Int[Array, "b s y x"]:
    """Returns the tokens of `frames`, uint8 (b, t, h, w, 3), of a batch."""
    clips = batch["frames"].astype(jnp.float32) / 255
    quantized = self._tokenizer.apply(
      {"params": params}, clips, method="encode"
    )
    return quantized.tokens.astype(jnp.int32)

  def grid(self, num_frames: int, image_size: int) -> tuple[int, int, int]:
    """Returns the grid of tokens (t, h, w) of a clip.

    Raises:
      ValueError: The clip does not divide by the strides.
    """
    return latent_shape(
      self.vqvae, num_frames, image_size, ("given_frames", "data.image_size")
    )

  def encode(
    self, frames: UInt8[np.ndarray, "b t h w 3"], batch_size: int
  ) -> Int[np.ndarray, "b s y x"]:
    """Returns the tokens of clips, so many at a time."""
    return map_batches(
      lambda batch: self._encode(self.params, batch),
      {"frames": frames},
      batch_size,
      self._mesh,
    )
