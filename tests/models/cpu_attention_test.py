"""Tests of attention head after head against all heads at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import attention, cpu_attention

_NUM_QUERIES, _NUM_KEYS = 140, 130


def _derivatives(attend, arrays):
  def weighed(query, key, value, weights):
    attended = attend(query, key, value)
    return jnp.sum(attended.astype(jnp.float32) * weights), attended

  derive = jax.grad(weighed, argnums=(0, 1, 2), has_aux=True)
  return jax.tree.leaves(jax.jit(derive)(*arrays))


@pytest.mark.parametrize(
  ("dtype", "tolerance"),
  # Sums of 140 products of weights and values, and of differences of two such.
  # In bfloat16 weights, results and gradients are rounded by 2**-9 each.
  [(jnp.float32, 2 * 140 * 6e-8), (jnp.bfloat16, 4 * 2**-9)],
)
@pytest.mark.parametrize("is_causal", [False, True])
def test_values_and_gradients_are_those_of_all_at_once(
  is_causal, dtype, tolerance
):
  num_keys = _NUM_QUERIES if is_causal else _NUM_KEYS
  sizes = (_NUM_QUERIES, num_keys, num_keys, _NUM_QUERIES)
  arrays = [
    3 * jax.random.normal(key, (2, size, 3, 8))
    for key, size in zip(
      jax.random.split(jax.random.key(0), 4), sizes, strict=True
    )
  ]
  arrays[:3] = [array.astype(dtype) for array in arrays[:3]]
  mask = jnp.tri(_NUM_QUERIES, dtype=bool)[None, None] if is_causal else None

  def one_by_one(query, key, value):
    return cpu_attention.attend(query, key, value, is_causal)

  def at_once(query, key, value):
    query, key, value = (x.astype(jnp.float32) for x in (query, key, value))
    return jax.nn.dot_product_attention(
      query, key, value, mask=mask, implementation="xla"
    )

  got = _derivatives(one_by_one, arrays)
  for ours, expected in zip(got, _derivatives(at_once, arrays), strict=True):
    assert ours.dtype == dtype
    expected = np.asarray(expected, np.float64)
    np.testing.assert_allclose(
      np.asarray(ours, np.float64),
      expected,
      rtol=0,
      atol=tolerance * np.abs(expected).max(),
    )


def _has_loop(num_tokens, **options) -> bool:
  query = jnp.zeros((2, num_tokens, 1, 4))
  program = jax.jit(lambda x: attention.attend(x, x, x, **options))
  return "stablehlo.while" in program.lower(query).as_text()


def test_long_sequences_are_attended_to_head_after_head(monkeypatch):
  assert _has_loop(128)
  assert _has_loop(128, is_causal=True)
  assert not _has_loop(127)
  assert not _has_loop(128, implementation="xla")
  assert not _has_loop(128, mask=jnp.ones((1, 1, 128, 128), bool))
  # Loops are not shared by devices.
  monkeypatch.setattr(jax, "device_count", lambda: 8)
  assert not _has_loop(128)
