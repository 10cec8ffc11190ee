"""Tests of attention, its two ways and its types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import attention

_SHAPE = (2, 5, 3, 4)  # Clips, positions, heads, width of a head.


@pytest.fixture
def arrays():
  keys = jax.random.split(jax.random.key(0), 3)
  return [4 * jax.random.normal(key, _SHAPE) for key in keys]


def _by_hand(query, key, value, mask):
  query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
  scores = np.einsum("bnhd,bmhd->bhnm", query, key) / np.sqrt(_SHAPE[-1])
  scores = np.where(mask, scores, -np.inf)
  weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
  weights /= weights.sum(axis=-1, keepdims=True)
  return np.einsum("bhnm,bmhd->bnhd", weights, value)


# A rate so small that nothing is left out, which takes the slow path.
@pytest.mark.parametrize("rate", [0.0, 1e-9])
@pytest.mark.parametrize(
  ("dtype", "tolerance"),
  # Weights, results and 1 - rate are rounded to 8 bits; values reach 12.
  [(jnp.float32, 1e-5), (jnp.bfloat16, 0.1)],
)
def test_both_ways_are_attention(arrays, rate, dtype, tolerance):
  rounded = [x.astype(dtype) for x in arrays]
  mask = np.tril(np.ones((5, 5), bool))[None, None]
  got = attention.attend(
    *rounded,
    mask=jnp.asarray(mask),
    dropout_rate=rate,
    dropout_rng=jax.random.key(1),
  )
  assert got.dtype == dtype
  np.testing.assert_allclose(
    np.asarray(got, np.float64), _by_hand(*rounded, mask), atol=tolerance
  )


def test_dropout_leaves_out_weights(arrays):
  query, key, _ = arrays
  ones = jnp.ones(_SHAPE)
  whole = attention.attend(query, key, ones)
  np.testing.assert_allclose(whole, 1, rtol=1e-6)
  rngs = jax.random.split(jax.random.key(2), 2)
  a, b = (
    attention.attend(query, key, ones, dropout_rate=0.5, dropout_rng=rng)
    for rng in rngs
  )
  assert np.any(np.abs(a - 1) > 0.1)
  assert np.any(np.abs(a - b) > 0.1)


@pytest.mark.parametrize(("num_queries", "num_keys"), [(5, 5), (4, 5), (4, 4)])
def test_odd_lengths_are_made_even_for_cudnn(
  arrays, num_queries, num_keys, monkeypatch
):
  """cuDNN itself needs a GPU: XLA's attention takes its place, and looks."""
  plain, seen = jax.nn.dot_product_attention, []

  def on_cudnn(query, key, value, *, implementation, **options):
    seen.append((implementation, query.shape[1] % 2, key.shape[1] % 2))
    return plain(query, key, value, implementation="xla", **options)

  monkeypatch.setattr(jax.nn, "dot_product_attention", on_cudnn)
  query, key, value = arrays
  got = attention.attend(
    query[:, :num_queries],
    key[:, :num_keys],
    value[:, :num_keys],
    implementation="cudnn",
  )
  assert seen == [("cudnn", 0, 0)]
  everywhere = np.ones((1, 1, num_queries, num_keys), bool)
  wanted = _by_hand(
    query[:, :num_queries], key[:, :num_keys], value[:, :num_keys], everywhere
  )
  np.testing.assert_allclose(got, wanted, atol=1e-5)
