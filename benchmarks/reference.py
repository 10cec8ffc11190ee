"""The networks in the operations that MAGVIT's description suggests.

Same modules, parameters and numbers, other operations: each 3D convolution is
one of XLA's, of the finer grid where it is doubled or halved, averages are two
reduce-windows (a sum and a count), codes are looked up by products with one-hot
rows, and attention is a softmax in float32 with heads behind positions.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from magvit3d.models import (
  attention,
  layers,
  quantizer,
  resampled_convs,
  resampling,
)


def config(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a run's config with XLA's own convolutions."""
  vqvae = {**config["vqvae"], "conv_implementation": "xla"}
  return {**config, "vqvae": vqvae}


@contextlib.contextmanager
def operations() -> Iterator[None]:
  """What is traced within takes the operations above."""
  with (
    mock.patch.object(layers.Conv, "_resamples_at_once", lambda *_: False),
    mock.patch.object(resampled_convs, "_conv_transpose", _conv_transpose),
    mock.patch.object(resampling, "average_pool", _average_pool),
    mock.patch.object(quantizer, "look_up", _look_up),
    mock.patch.object(attention, "attend", _attend),
  ):
    yield


def _conv_transpose(x, kernel, strides):
  return lax.conv_transpose(x, kernel, strides, "SAME")


def _average_pool(x, window):
  window = tuple(window)
  return nn.avg_pool(
    x, window, strides=window, padding="SAME", count_include_pad=False
  )


def _look_up(codebook, tokens):
  rows = jax.nn.one_hot(tokens, codebook.shape[0], dtype=codebook.dtype)
  return jnp.dot(rows, codebook)


def _attend(
  query, key, value, *, dropout_rate=0.0, implementation=None, **options
):
  del implementation
  return nn.dot_product_attention(
    query,
    key,
    value,
    dropout_rate=dropout_rate,
    deterministic=not dropout_rate,
    force_fp32_for_softmax=True,
    **options,
  )
