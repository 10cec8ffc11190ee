"""Tests of attention, its two ways and its types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import attention, target, tpu_attention

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


@pytest.mark.parametrize("rate", [0.0, 1e-9])
@pytest.mark.parametrize("implementation", [None, "xla"])
def test_causal_is_a_mask(arrays, implementation, rate):
  options = {
    "implementation": implementation,
    "dropout_rate": rate,
    "dropout_rng": jax.random.key(1),
  }
  mask = jnp.tril(jnp.ones((5, 5), bool))[None, None]
  np.testing.assert_array_equal(
    attention.attend(*arrays, is_causal=True, **options),
    attention.attend(*arrays, mask=mask, **options),
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


@pytest.mark.parametrize(
  ("num_queries", "num_keys", "is_causal"),
  [(5, 5, False), (4, 5, False), (4, 4, False), (5, 5, True)],
)
def test_odd_lengths_are_made_even_for_cudnn(
  arrays, num_queries, num_keys, is_causal, monkeypatch
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
    is_causal=is_causal,
    implementation="cudnn",
  )
  assert seen == [("cudnn", 0, 0)]
  sees = np.ones((1, 1, num_queries, num_keys), bool)
  wanted = _by_hand(
    query[:, :num_queries],
    key[:, :num_keys],
    value[:, :num_keys],
    np.tril(sees) if is_causal else sees,
  )
  np.testing.assert_allclose(got, wanted, atol=1e-5)


def _programs(monkeypatch, dtype, **options):
  """What `attend` asks JAX for, on a GPU that `target` speaks of."""
  seen = []

  def attend(query, key, value, *_, implementation=None, **__):
    seen.append(implementation)
    return value

  def attend_by_kernel(query, key, value, is_causal):
    seen.append("flash")
    return value

  monkeypatch.setattr(jax.nn, "dot_product_attention", attend)
  monkeypatch.setattr(tpu_attention, "attend", attend_by_kernel)
  query = jnp.zeros(_SHAPE, dtype)
  attention.attend(query, query, query, **options)
  return seen


@pytest.mark.parametrize(
  ("dtype", "options", "expected"),
  [
    (jnp.bfloat16, {}, ["cudnn"]),
    (jnp.bfloat16, {"is_causal": True}, ["cudnn"]),
    (jnp.bfloat16, {"implementation": "xla"}, ["xla"]),
    (jnp.bfloat16, {"mask": jnp.ones((1, 1, 5, 5), bool)}, ["xla"]),
    (jnp.bfloat16, {"bias": jnp.zeros((1, 3, 5, 5))}, ["xla"]),
    (jnp.float32, {}, ["xla"]),
  ],
)
def test_programs_take_the_platforms_kernel_where_it_can_be_had(
  monkeypatch, dtype, options, expected
):
  with target.made_for("gpu"):
    assert _programs(monkeypatch, dtype, **options) == expected
  with target.made_for("tpu"):
    (on_tpus,) = _programs(monkeypatch, dtype, **options)
  assert on_tpus == expected[0].replace("cudnn", "flash")


def test_without_a_mesh_several_tpus_take_xlas(monkeypatch):
  """XLA cannot split the kernel over them."""
  monkeypatch.setattr(jax, "device_count", lambda: 4)
  with target.made_for("tpu"):
    assert _programs(monkeypatch, jnp.bfloat16) == ["xla"]
  for options in ({}, {"mask": jnp.ones((1, 1, 5, 5), bool)}):
    options["implementation"] = "flash"
    assert _programs(monkeypatch, jnp.bfloat16, **options) == ["xla"]


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize(
  ("platform", "kernel"), [("gpu", "cudnn"), ("tpu", "flash")]
)
def test_a_machine_that_refuses_the_kernel_takes_xlas(
  arrays, monkeypatch, caplog, platform, kernel, is_compiled
):
  """As this one does, which has neither."""
  monkeypatch.setattr(target, "platform", lambda: platform)
  attention._takes.cache_clear()
  narrow = [x.astype(jnp.bfloat16) for x in arrays]
  attend = attention.attend
  if is_compiled:
    attend = jax.jit(lambda *arrays: attention.attend(*arrays))
  for _ in range(2):
    got = attend(*narrow)
  wanted = attention.attend(*narrow, implementation="xla")
  np.testing.assert_array_equal(
    np.asarray(got, np.float32), np.asarray(wanted, np.float32)
  )
  (told,) = caplog.messages
  assert f"{kernel!r} does not compute (1, 5, 3, 4) here: " in told


def test_cudnn_is_tried_once_and_taken(monkeypatch):
  tries, meshes = [], []

  def attend(query, key, value, is_causal):
    tries.append(query.shape)
    meshes.append(jax.sharding.get_abstract_mesh().empty)
    return value

  monkeypatch.setattr(target, "platform", lambda: "gpu")
  monkeypatch.setattr(attention, "_attend_even", attend)
  attention._takes.cache_clear()
  query = jnp.zeros(_SHAPE, jnp.bfloat16)
  mesh = jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
  with jax.set_mesh(mesh):
    for _ in range(2):
      jax.jit(lambda x: attention.attend(x, x, x))(query)
    jax.jit(lambda x: attention.attend(x, x, x) + 1)(query)
  attention._takes.cache_clear()
  # Not on the devices of the mesh, which would share the one clip.
  assert meshes[:2] == [True, False]
  # Once with one clip, then in each program.
  assert tries.count((1, *_SHAPE[1:])) == 1
  assert tries.count(_SHAPE) >= 2
