"""Tests of autoregressive generation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from magvit3d.models.autoregressive_transformer import TransformerLM, make_step
from magvit3d.tokens import autoregressive_decoding, vocabulary

_CODES, _CLASSES = 5, 2
_VOCABULARY = vocabulary.Vocabulary(_CODES, _CLASSES, multi_task=False)


def _table_step(table):
  """A model that knows only the last token and the number of those read."""

  def step(cache, ids):
    num_read = jnp.zeros((), jnp.int32) if cache is None else cache
    num_read += ids.shape[1]
    rows = jnp.asarray(table)[num_read, ids]
    return rows, num_read

  return step


def test_greedy_sampling_follows_the_table():
  rng = np.random.default_rng(0)
  table = rng.standard_normal((8, _VOCABULARY.size, _VOCABULARY.size))
  table[..., _CODES:] += 100  # What must not be drawn is likeliest.
  class_ids = np.array([5, 6, 7])
  got = autoregressive_decoding.sample(
    jax.random.key(0),
    _table_step(table.astype(np.float32)),
    autoregressive_decoding.make_prefix(jnp.asarray(class_ids)),
    6,
    codebook_size=_CODES,
    sampling_temperature=0.0,
  )
  for row, token in zip(np.asarray(got), class_ids, strict=True):
    expected = []
    for num_read in range(2, 8):
      token = int(np.argmax(table[num_read, token, :_CODES]))
      expected.append(token)
    np.testing.assert_array_equal(row, expected)


@pytest.fixture(scope="module")
def language_model():
  model = TransformerLM(
    vocab_size=_VOCABULARY.size,
    emb_dim=8,
    num_heads=2,
    num_layers=1,
    qkv_dim=8,
    mlp_dim=16,
    max_len=8,
  )
  ids = jnp.zeros((1, 8), jnp.int32)
  params = jax.jit(model.init)(jax.random.key(0), ids)["params"]

  def draw(rng, class_ids, num_tokens, **options):
    return autoregressive_decoding.sample(
      rng,
      make_step(model, params),
      autoregressive_decoding.make_prefix(class_ids),
      num_tokens,
      codebook_size=_CODES,
      **options,
    )

  static = ("num_tokens", "sampling_temperature", "top_k", "top_p")
  return model, params, jax.jit(draw, static_argnames=static)


def test_greedy_sampling_takes_the_likeliest_code_of_the_full_pass(
  language_model,
):
  model, params, draw = language_model
  class_ids = jnp.array([5, 6, 7])
  got = draw(jax.random.key(0), class_ids, 7, sampling_temperature=0.0)
  assert got.shape == (3, 7)
  sequence = autoregressive_decoding.make_sequence(
    class_ids, got.reshape(3, 1, 1, 7)
  )
  logits = model.apply({"params": params}, sequence[:, :-1])
  codes = np.argmax(logits[:, 1:, :_CODES], axis=-1)
  np.testing.assert_array_equal(got, codes)


def test_samples_follow_the_softmax_over_the_codes(language_model):
  model, params, draw = language_model
  num_draws = 20_000
  class_ids = jnp.full((num_draws,), 6)
  got = np.asarray(draw(jax.random.key(1), class_ids, 2))
  prefix = autoregressive_decoding.make_prefix(class_ids[:1])
  first = model.apply({"params": params}, prefix)[0, -1, :_CODES]
  expected = num_draws * np.asarray(jax.nn.softmax(first))
  # 4 degrees of freedom; by chance beyond the bound once in 10 000 seeds.
  bound = stats.chi2.ppf(1 - 1e-4, _CODES - 1)
  counts = np.bincount(got[:, 0], minlength=_CODES)
  assert np.sum((counts - expected) ** 2 / expected) < bound
  # The second token, given the commonest first one.
  common = int(np.argmax(counts))
  sequence = jnp.concatenate([prefix, jnp.array([[common]])], axis=1)
  second = model.apply({"params": params}, sequence)[0, -1, :_CODES]
  after = got[got[:, 0] == common, 1]
  expected = len(after) * np.asarray(jax.nn.softmax(second))
  counts = np.bincount(after, minlength=_CODES)
  assert np.sum((counts - expected) ** 2 / expected) < bound


@pytest.mark.parametrize(
  "options",
  [{}, {"sampling_temperature": 50.0}, {"top_k": 3}, {"top_p": 0.9}],
  ids=str,
)
def test_only_codes_are_drawn(language_model, options):
  _, _, draw = language_model
  class_ids = jnp.full((2_000,), 5)
  got = np.asarray(draw(jax.random.key(2), class_ids, 7, **options))
  assert got.min() >= 0
  assert got.max() < _CODES
  assert len(np.unique(got)) == _CODES


def test_top_k_of_one_is_greedy(language_model):
  _, _, draw = language_model
  class_ids = jnp.array([5, 6, 7])
  greedy = draw(jax.random.key(0), class_ids, 7, sampling_temperature=0.0)
  np.testing.assert_array_equal(
    draw(jax.random.key(3), class_ids, 7, top_k=1), greedy
  )


def test_one_token_is_drawn_without_reading_on(language_model):
  _, _, draw = language_model
  class_ids = jnp.array([5, 6, 7])
  got = draw(jax.random.key(4), class_ids, 3)
  alone = draw(jax.random.key(4), class_ids, 1)
  np.testing.assert_array_equal(alone, got[:, :1])


def test_sequences_start_with_mask_and_class():
  codes = jnp.arange(8).reshape(1, 2, 2, 2) % _CODES
  got = autoregressive_decoding.make_sequence(jnp.array([6]), codes)
  np.testing.assert_array_equal(got, [[-1, 6, 0, 1, 2, 3, 4, 0, 1, 2]])
