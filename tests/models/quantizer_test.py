"""Tests of the vector quantizer and of the tokenizer around it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.config.networks import TokenizerConfig
from magvit3d.models import quantizer
from magvit3d.models import tokenizer as vqvae

_VQVAE = dict(
  architecture="3dcnn",
  filters=4,
  channel_multipliers=(1, 2),
  temporal_downsample=(True,),
  num_enc_res_blocks=1,
  num_dec_res_blocks=1,
  num_groups=2,
  codebook_size=8,
  embedding_dim=4,
  commitment_cost=0.25,
  entropy_loss_ratio=0.1,
  entropy_temperature=0.01,
  entropy_loss_type="softmax",
)


@pytest.fixture(scope="module")
def setup():
  model = quantizer.VectorQuantizer(codebook_size=16, entropy_loss_ratio=0.1)
  features = jax.random.normal(jax.random.key(1), (2, 2, 3, 3, 8))
  variables = model.init(jax.random.key(0), features)
  return model, variables, features


def test_codebook_rows_map_to_themselves(setup):
  model, variables, _ = setup
  rows = variables["params"]["codebook"].reshape(1, 1, 4, 4, 8)
  out = model.apply(variables, rows, train=True)
  np.testing.assert_array_equal(out.tokens.ravel(), np.arange(16))
  np.testing.assert_array_equal(out.codes, rows)
  np.testing.assert_array_equal(out.losses["e_latent_loss"], 0)
  np.testing.assert_array_equal(out.losses["q_latent_loss"], 0)


def test_each_cell_takes_the_nearest_row(setup):
  model, variables, features = setup
  rows = np.asarray(variables["params"]["codebook"], np.float64)
  cells = np.asarray(features, np.float64)[..., None, :]
  distances = np.sum((cells - rows) ** 2, axis=-1)
  out = model.apply(variables, features)
  np.testing.assert_array_equal(out.tokens, np.argmin(distances, axis=-1))
  np.testing.assert_array_equal(
    out.codes, variables["params"]["codebook"][out.tokens]
  )


def test_gradient_passes_straight_through(setup):
  model, variables, features = setup

  def total(features):
    return jnp.sum(model.apply(variables, features, train=True).codes)

  np.testing.assert_array_equal(jax.grad(total)(features), 1.0)


def test_each_latent_loss_pulls_on_its_own_side(setup):
  model, variables, features = setup

  def part(name):
    def loss(variables, features):
      return model.apply(variables, features, train=True).losses[name]

    grads = jax.grad(loss, argnums=(0, 1))(variables, features)
    return grads[0]["params"]["codebook"], grads[1]

  out = model.apply(variables, features)
  distance = features - out.codes
  on_codebook, on_features = part("e_latent_loss")
  np.testing.assert_array_equal(on_codebook, 0)
  np.testing.assert_allclose(
    on_features, 0.25 * 2 * distance / distance.size, atol=1e-7
  )
  on_codebook, on_features = part("q_latent_loss")
  np.testing.assert_array_equal(on_features, 0)
  expected = np.zeros((16, 8))
  np.add.at(
    expected,
    np.asarray(out.tokens).ravel(),
    -2 * np.asarray(distance).reshape(-1, 8) / distance.size,
  )
  np.testing.assert_allclose(on_codebook, expected, atol=1e-6)


def test_losses_are_zero_outside_of_training(setup):
  model, variables, features = setup
  assert not any(model.apply(variables, features).losses.values())


@pytest.mark.parametrize("loss_type", quantizer.ENTROPY_LOSS_TYPES)
def test_entropy_loss_spans_from_confident_and_even_to_all_on_one(loss_type):
  k = 8
  confident = 100 * jnp.eye(k)
  one_code = 100 * jnp.eye(k)[jnp.zeros(k, int)]
  lowest = quantizer.entropy_loss(confident, 1.0, loss_type)
  highest = quantizer.entropy_loss(one_code, 1.0, loss_type)
  # 1e-5 is added inside a logarithm: k * 1e-5 of each share; then rounding.
  np.testing.assert_allclose(lowest, -np.log(k), atol=k * 1e-5 + 1e-6)
  np.testing.assert_allclose(highest, 0, atol=2e-5)
  affinity = jax.random.normal(jax.random.key(0), (50, k))
  between = quantizer.entropy_loss(affinity, 0.1, loss_type)
  assert lowest < between


def test_an_unknown_entropy_loss_names_the_known_ones():
  with pytest.raises(ValueError, match=r"entropy_loss_type='x'.*softmax"):
    quantizer.entropy_loss(jnp.zeros((2, 2)), 1.0, "x")


def test_normalised_latents_ignore_the_length_of_features():
  model = quantizer.VectorQuantizer(16, latent_normalize=True)
  features = jax.random.normal(jax.random.key(1), (1, 2, 2, 8))
  variables = model.init(jax.random.key(0), features)
  out, longer = (model.apply(variables, s * features) for s in (1.0, 7.0))
  np.testing.assert_array_equal(out.tokens, longer.tokens)
  np.testing.assert_allclose(
    jnp.linalg.norm(longer.latents, axis=-1), 1, atol=1e-6
  )
  np.testing.assert_array_equal(
    longer.codes, variables["params"]["codebook"][longer.tokens]
  )


def test_without_quantizing_the_decoder_reads_the_features():
  tokenizer = vqvae.Tokenizer.from_config(TokenizerConfig(**_VQVAE))
  clips = jax.random.uniform(jax.random.key(0), (1, 2, 4, 4, 3))
  variables = jax.jit(tokenizer.init)(jax.random.key(1), clips)
  run = jax.jit(tokenizer.apply, static_argnames=("train", "method"))
  free = run(variables, clips, train=True, is_quantizing=jnp.array(False))
  features = run(variables, clips, method="features")
  decoded, _ = run(variables, features, method="_decode")
  np.testing.assert_allclose(free.reconstruction, decoded, atol=1e-5)
  bound = run(variables, clips, train=True, is_quantizing=jnp.array(True))
  decoded = run(variables, bound.quantized.tokens, method="decode_tokens")
  np.testing.assert_allclose(bound.reconstruction, decoded, atol=1e-5)
  assert np.abs(bound.reconstruction - free.reconstruction).max() > 1e-3


def test_latent_shape_names_the_field_that_does_not_divide():
  assert vqvae.latent_shape(TokenizerConfig(**_VQVAE), 4, 8) == (2, 4, 4)
  with pytest.raises(ValueError, match=r"data.image_size=7.*multiple of 2"):
    vqvae.latent_shape(TokenizerConfig(**_VQVAE), 4, 7)
  with pytest.raises(ValueError, match=r"data.num_frames=3.*multiple of 2"):
    vqvae.latent_shape(TokenizerConfig(**_VQVAE), 3, 8)
