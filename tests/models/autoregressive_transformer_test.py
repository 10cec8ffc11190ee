"""Tests of the autoregressive transformer's network.

Its numbers are compared with upstream's in tests/parity.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from parity import recipe

from magvit3d.config.networks import AutoregressiveTransformerConfig
from magvit3d.models.autoregressive_transformer import TransformerLM, make_step

_FIELDS = dict(
  vocab_size=20,
  emb_dim=12,
  num_heads=2,
  num_layers=2,
  qkv_dim=8,
  mlp_dim=24,
  max_len=9,
)
_IDS = np.asarray(recipe.integers("ids", (3, 9), 20))


def _params(model):
  tree = jax.eval_shape(model.init, jax.random.key(0), _IDS)["params"]
  flat = flatten_dict(tree, sep="/")
  return recipe.params({name: leaf.shape for name, leaf in flat.items()})


def _run(model, params, ids, **options):
  with jax.default_matmul_precision("highest"):
    return jax.jit(lambda p, x: model.apply({"params": p}, x, **options))(
      params, jnp.asarray(ids)
    )


def _by_hand(params, ids, fields):
  """The forward pass in float64, position after position, head after head."""
  flat = {
    name: np.float64(value)
    for name, value in flatten_dict(params, sep="/").items()
  }

  def norm(name, x):
    centred = x - x.mean(-1, keepdims=True)
    x = centred / np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-6)
    return x * flat[f"{name}/scale"] + flat[f"{name}/bias"]

  def dense(name, x):
    return x @ flat[f"{name}/kernel"] + flat[f"{name}/bias"]

  length, width = ids.shape[1], fields["emb_dim"]
  if fields.get("learnable_position", True):
    positions = flat["PositionEmbeddings_0/embed_pos"][0, :length]
  else:
    positions = np.zeros((length, width))
    half = width // 2
    for i in range(length):
      for j in range(half):
        rate = 10_000.0 ** (-j / (half - 1))
        positions[i, j] = np.sin(i * rate)
        positions[i, half + j] = np.cos(i * rate)
  table = flat["Embed_0/embedding"]
  x = table[ids] + positions  # Python's indexing wraps negative ids.
  for layer in range(fields["num_layers"]):
    name = f"VTNLayer_{layer}"
    y = norm(f"{name}/LayerNorm_0", x)
    attention = f"{name}/SelfAttention_0"
    out = np.zeros_like(x)
    for head in range(fields["num_heads"]):
      query, key, value = (
        y @ flat[f"{attention}/{part}/kernel"][:, head]
        for part in ("query", "key", "value")
      )
      for i in range(length):
        scores = np.einsum("bd,bnd->bn", query[:, i], key[:, : i + 1])
        scores = np.exp(scores / np.sqrt(query.shape[-1]))
        weights = scores / scores.sum(-1, keepdims=True)
        seen = np.einsum("bn,bnd->bd", weights, value[:, : i + 1])
        out[:, i] += seen @ flat[f"{attention}/out/kernel"][head]
    x = x + out
    y = dense(f"{name}/MlpBlock_0/Dense_0", norm(f"{name}/LayerNorm_1", x))
    cubic = np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)
    y = 0.5 * y * (1 + np.tanh(cubic))
    x = x + dense(f"{name}/MlpBlock_0/Dense_1", y)
  x = norm("decoder_out_ln", x)
  if fields.get("logits_via_embedding", False):
    return x @ table.T / np.sqrt(width)
  return dense("logits_dense", x)


@pytest.mark.parametrize(
  "options",
  [
    {},
    {"logits_via_embedding": True},
    {"learnable_position": False},
    {"output_vocab_size": 7},
    {"logits_via_embedding": True, "learnable_position": False},
  ],
  ids=str,
)
def test_logits_equal_an_independent_forward_pass(options):
  model = TransformerLM(**_FIELDS, **options)
  params = _params(model)
  ids = _IDS.copy()
  ids[:, 0] = -1  # The start token, the table's last row.
  got = _run(model, params, ids)
  expected = _by_hand(params, ids, _FIELDS | options)
  error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
  assert got.shape == expected.shape
  assert error < 1e-5  # Two layers in float32: some 1e-6.
  names = flatten_dict(params, sep="/")
  is_tied = options.get("logits_via_embedding", False)
  assert ("logits_dense/kernel" in names) != is_tied
  is_learned = options.get("learnable_position", True)
  assert ("PositionEmbeddings_0/embed_pos" in names) == is_learned


def test_a_position_reads_no_later_one():
  model = TransformerLM(**_FIELDS)
  params = _params(model)
  changed = _IDS.copy()
  changed[:, 5] = (changed[:, 5] + 1) % 20
  difference = np.abs(_run(model, params, changed) - _run(model, params, _IDS))
  np.testing.assert_array_equal(difference[:, :5], 0)
  assert np.all(difference.max(-1)[:, 5:] > 1e-4)


@pytest.mark.variants
@pytest.mark.parametrize("learnable_position", [True, False])
@pytest.mark.parametrize("lengths", [(1,) * 9, (9,), (2, 3, 1, 1, 2)], ids=str)
def test_reading_on_gives_the_logits_of_the_whole(lengths, learnable_position):
  model = TransformerLM(**_FIELDS, learnable_position=learnable_position)
  params = _params(model)
  with jax.default_matmul_precision("highest"):
    step, cache, pieces = jax.jit(make_step(model, params)), None, []
    for ids in np.split(_IDS, np.cumsum(lengths)[:-1], axis=1):
      logits, cache = step(cache, jnp.asarray(ids))
      pieces.append(logits)
  got = np.concatenate(pieces, axis=1)
  # The same float32 sums in another order.
  np.testing.assert_allclose(got, _run(model, params, _IDS), atol=2e-5)


def test_reading_on_works_inside_scan():
  model = TransformerLM(**_FIELDS)
  params = _params(model)

  @jax.jit
  def run(params, ids):
    step = make_step(model, params)
    first, cache = step(None, ids[:, :1])

    def read(cache, column):
      logits, cache = step(cache, column[:, None])
      return cache, logits[:, 0]

    _, rest = jax.lax.scan(read, cache, ids[:, 1:].T)
    return jnp.concatenate([first, rest.swapaxes(0, 1)], axis=1)

  with jax.default_matmul_precision("highest"):
    got = run(params, jnp.asarray(_IDS))
  np.testing.assert_allclose(got, _run(model, params, _IDS), atol=2e-5)


def test_dropout_is_on_in_training_only():
  model = TransformerLM(**_FIELDS, dropout_rate=0.3, attention_dropout_rate=0.3)
  params = _params(model)
  a, b, again = (
    _run(model, params, _IDS, train=True, rngs={"dropout": jax.random.key(s)})
    for s in (0, 1, 0)
  )
  np.testing.assert_array_equal(a, again)
  assert np.abs(a - b).max() > 1e-2
  # Without a key: dropout would fail.
  plain = _run(TransformerLM(**_FIELDS), params, _IDS)
  np.testing.assert_array_equal(_run(model, params, _IDS), plain)


def test_attention_dropout_keeps_the_causal_order():
  model = TransformerLM(**_FIELDS, attention_dropout_rate=0.3)
  params = _params(model)
  rngs = {"dropout": jax.random.key(0)}
  changed = _IDS.copy()
  changed[:, 5] = (changed[:, 5] + 1) % 20
  a, b = (
    _run(model, params, ids, train=True, rngs=rngs) for ids in (_IDS, changed)
  )
  np.testing.assert_array_equal(a[:, :5], b[:, :5])
  assert np.abs(a - b).max() > 1e-3


def test_bfloat16_stays_near_float32():
  params = _params(TransformerLM(**_FIELDS))
  expected = _run(TransformerLM(**_FIELDS), params, _IDS)
  got = _run(TransformerLM(**_FIELDS, dtype=jnp.bfloat16), params, _IDS)
  assert got.dtype == jnp.float32
  # 8 bits: 2**-9 a rounding; some 8 products in a row a layer and the head,
  # 18 independent roundings, are sqrt(18) 2**-9 = 0.8 %; twice at the most.
  error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
  assert 1e-5 < error < 2 * np.sqrt(18) * 2**-9


def test_impossible_sizes_are_errors():
  with pytest.raises(ValueError, match=r"9 tokens.*max_len=8"):
    _params(TransformerLM(**_FIELDS | {"max_len": 8}))
  with pytest.raises(ValueError, match=r"qkv_dim=8 is not a multiple.*=3"):
    _params(TransformerLM(**_FIELDS | {"num_heads": 3}))


def test_the_config_sets_every_field():
  block = dict(
    emb_dim=12,
    num_heads=2,
    num_layers=1,
    qkv_dim=8,
    mlp_dim=24,
  )
  plain = TransformerLM.from_config(
    AutoregressiveTransformerConfig(**block), vocab_size=20, max_len=9
  )
  assert plain == TransformerLM(**_FIELDS | {"num_layers": 1})
  optional = dict(
    logits_via_embedding=True,
    learnable_position=False,
    dropout_rate=0.1,
    attention_dropout_rate=0.2,
    output_vocab_size=20,
  )
  full = TransformerLM.from_config(
    AutoregressiveTransformerConfig(**(block | optional)), 20, 9, jnp.bfloat16
  )
  fields = _FIELDS | optional | {"num_layers": 1, "dtype": jnp.bfloat16}
  assert full == TransformerLM(**fields)
