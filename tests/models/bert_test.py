"""Tests of the masked transformer's network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models.bert import Bert
from magvit3d.models.embeddings import grid_position_init


@pytest.fixture(scope="module")
def setup():
  fields = dict(
    vocab_size=12,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
    mlp_dim=32,
    max_position_embeddings=6,
    dropout_rate=0.3,
    attention_dropout_rate=0.3,
  )
  model = Bert(**fields)
  ids = jax.random.randint(jax.random.key(2), (2, 6), 0, 11)
  variables = jax.jit(model.init)(jax.random.key(0), ids)
  # Larger than at the start, so that no part is negligible.
  variables = jax.tree.map(lambda x: 5 * x if x.ndim > 1 else x, variables)
  run = jax.jit(model.apply, static_argnames="train")
  return fields, variables, ids, run


def test_negative_ids_count_from_the_end_of_the_table(setup):
  _, variables, ids, run = setup
  negative, wrapped = ids.at[:, 1].set(-1), ids.at[:, 1].set(11)
  np.testing.assert_array_equal(
    run(variables, negative), run(variables, wrapped)
  )
  assert np.abs(run(variables, negative) - run(variables, ids)).max() > 1e-2


def test_without_positions_the_order_of_tokens_does_not_matter(setup):
  _, variables, ids, run = setup
  table = variables["params"]["BertEmbed_0"]["position_embeddings"]["embedding"]
  alike = jax.tree.map(
    lambda x: jnp.zeros_like(x) if x is table else x, variables
  )
  order = np.array([3, 0, 5, 1, 4, 2])
  got = run(alike, ids[:, order])
  np.testing.assert_allclose(got, run(alike, ids)[:, order], atol=1e-5)
  moved = run(variables, ids[:, order]) - run(variables, ids)[:, order]
  assert np.abs(moved).max() > 1e-2


def test_every_position_reads_every_other(setup):
  _, variables, ids, run = setup
  changed = ids.at[0, 5].set((ids[0, 5] + 1) % 11)
  difference = np.abs(run(variables, changed) - run(variables, ids)).max(-1)
  assert np.all(difference[0] > 1e-4)
  np.testing.assert_array_equal(difference[1], 0)


def test_dropout_is_on_in_training_only(setup):
  _, variables, ids, run = setup
  a, b, again = (
    run(variables, ids, train=True, rngs={"dropout": jax.random.key(seed)})
    for seed in (0, 1, 0)
  )
  np.testing.assert_array_equal(a, again)
  assert np.abs(a - b).max() > 1e-2
  # Without a key: dropout would fail.
  np.testing.assert_array_equal(run(variables, ids), run(variables, ids))


def test_bfloat16_stays_near_float32(setup):
  fields, variables, ids, run = setup
  half = Bert(**fields, dtype=jnp.bfloat16)
  got = jax.jit(half.apply)(variables, ids)
  expected = run(variables, ids)
  assert got.dtype == jnp.float32
  # 8 bits: 2**-9 a rounding. A layer rounds about 8 products in a row, and
  # layer norms keep what comes before it at order 1: 2 layers and head, 18
  # independent roundings, are sqrt(18) 2**-9 = 0.8 %; twice that at the most.
  error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
  assert 1e-5 < error < 2 * np.sqrt(18) * 2**-9


def test_a_segment_changes_its_position(setup):
  fields, _, ids, _ = setup
  model = Bert(**fields, num_segments=2)
  segments = jnp.zeros_like(ids)
  variables = jax.jit(model.init)(jax.random.key(0), ids, segments)
  run = jax.jit(model.apply)
  np.testing.assert_array_equal(
    run(variables, ids), run(variables, ids, segments)
  )
  other = run(variables, ids, segments.at[0, 2].set(1))
  assert np.abs(other[0] - run(variables, ids)[0]).max() > 1e-3


def test_default_position_init_is_upstreams_and_grid_init_keeps_the_prefix():
  shape, rng = (2 + 8, 12), jax.random.key(0)
  normal = Bert(9, 12, 1, 2, 12, 10).position_init(rng, shape)
  assert np.abs(normal).max() <= 0.04 + 1e-6  # Cut at two deviations of .02.
  grid = grid_position_init(2, (2, 2, 2))(rng, shape)
  np.testing.assert_array_equal(grid[:2], normal[:2])
  # Row 2 is the origin: sines 0, cosines at full height.
  expected = np.tile([0.0, 0.0, 1.0, 1.0], 3) * np.sqrt(2) * 0.02
  np.testing.assert_allclose(grid[2], expected, atol=1e-6)


def test_kernels_start_with_the_asked_deviation():
  model = Bert(
    vocab_size=10,
    hidden_size=64,
    num_layers=1,
    num_heads=2,
    mlp_dim=256,
    max_position_embeddings=4,
    kernel_init_stddev=0.08,
  )
  ids = jnp.zeros((1, 4), jnp.int32)
  params = jax.jit(model.init)(jax.random.key(0), ids)["params"]
  kernel = params["BertLayer_0"]["BertMlp_0"]["intermediate_output"]["kernel"]
  assert np.abs(kernel).max() <= 2 * 0.08
  # A normal cut at two deviations has .8796 of its deviation; the estimate
  # from 64 x 256 values is off by 1 / sqrt(2 n) of it, five times at most.
  expected = 0.8796 * 0.08
  assert abs(np.std(kernel) / expected - 1) < 5 / np.sqrt(2 * 64 * 256)
