"""Perceptual loss: how differently ResNet-50 sees two clips, frame by frame."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from magvit3d.config.training import TokenizerLossConfig
from magvit3d.models.published.resnet import ResNet50
from magvit3d.models.published.resnet_weights import load_resnet50

# (params, real, fake) -> scalar.
LossFn = Callable[[PyTree, Array, Array], Float[Array, ""]]


def make_perceptual_loss(
  path: str, on_logit: bool = True, dtype: DTypeLike = jnp.float32
) -> tuple[PyTree, LossFn]:
  """Returns the frozen network's parameters and the loss.

  The loss takes the parameters as an argument, so that a jitted step need not
  hold them as constants: `loss_fn(params, real, fake)`. Clips are
  (b, t, h, w, 3) in [0, 1]; `fake` may leave that range. No gradient flows to
  `real`.

  Args:
    path: File of weights, see `resnet_weights`.
    on_logit: Whether class logits are compared; else the 7x7x2048 map.
    dtype: Type of the network's products.

  Raises:
    UserError: The file is not usable.
  """
  return load_resnet50(path), perceptual_loss_fn(on_logit, dtype)


def perceptual_loss_fn(
  on_logit: bool = True, dtype: DTypeLike = jnp.float32
) -> LossFn:
  """Returns the loss alone; see `make_perceptual_loss`."""
  network = ResNet50(dtype)

  def features(params: PyTree, clips: Float[Array, "b t h w 3"]) -> Array:
    frames = clips.reshape(-1, *clips.shape[2:])
    logits, feature_map = network.apply({"params": params}, frames)
    return logits if on_logit else feature_map

  def loss_fn(params, real, fake):
    target = jax.lax.stop_gradient(features(params, real))
    return jnp.mean((features(params, fake) - target) ** 2)

  return loss_fn


def load_perceptual_loss(
  settings: TokenizerLossConfig, dtype: DTypeLike
) -> tuple[PyTree, LossFn]:
  """Returns what `config.vqgan` asks for; see `make_perceptual_loss`.

  Raises:
    ValueError: It names no file of weights.
    UserError: The file is not usable.
  """
  path = settings.perceptual_weights
  if path is None:
    raise ValueError(
      f"vqgan.perceptual_loss_weight={settings.perceptual_loss_weight} "
      "needs vqgan.perceptual_weights, a file of torchvision's ResNet-50 "
      "(.safetensors or .npz); a random network would teach nothing. Give the "
      "file, or set the weight to 0."
    )
  return make_perceptual_loss(path, settings.perceptual_loss_on_logit, dtype)
