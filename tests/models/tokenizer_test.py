"""Tests of the tokenizer as a whole, in all its architectures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import VQVAE

from magvit3d.config.networks import TokenizerConfig
from magvit3d.models.tokenizer import Tokenizer


def _make(**options):
  return Tokenizer.from_config(TokenizerConfig(**(VQVAE | options)))


def _clips(*shape):
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.uniform(size=shape).astype(np.float32))


def _shapes(tokenizer, clips):
  """Shapes of tokens and reconstruction."""

  def run(rng, clips):
    out, _ = tokenizer.init_with_output(rng, clips)
    return out.quantized.tokens, out.reconstruction

  outputs = jax.eval_shape(run, jax.random.key(0), clips)
  return tuple(output.shape for output in outputs)


def _init(tokenizer, clips):
  return jax.jit(tokenizer.init)(jax.random.key(0), clips)


@pytest.mark.slow
def test_a_2d_tokenizer_sees_each_frame_on_its_own():
  tokenizer = _make(architecture="2dcnn", use_attn=True, num_attn_heads=2)
  clips = _clips(2, 3, 4, 4, 3)
  variables = _init(tokenizer, clips)
  # Attention starts as the identity; this makes it act.
  variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)
  run = jax.jit(tokenizer.apply)
  whole = run(variables, clips)
  frames = run(variables, clips.reshape(6, 1, 4, 4, 3))
  np.testing.assert_array_equal(
    whole.quantized.tokens, frames.quantized.tokens.reshape(2, 3, 2, 2)
  )
  np.testing.assert_allclose(
    whole.reconstruction,
    frames.reconstruction.reshape(clips.shape),
    atol=1e-5,
  )


@pytest.mark.parametrize("conv_downsample", [False, True])
@pytest.mark.parametrize(
  ("architecture", "expected"),
  [("3dcnn", (2, 3, 4)), ("2plus1dcnn", (2, 3, 4)), ("2dcnn", (3, 3, 4))],
)
def test_odd_sizes_are_rounded_up_and_doubled(
  architecture, expected, conv_downsample
):
  tokenizer = _make(architecture=architecture, conv_downsample=conv_downsample)
  clips = jax.ShapeDtypeStruct((2, 3, 5, 7, 3), jnp.float32)
  tokens, pixels = _shapes(tokenizer, clips)
  assert tokens == (2, *expected)
  t, h, w = expected
  frames = t if architecture == "2dcnn" else 2 * t
  assert pixels == (2, frames, 2 * h, 2 * w, 3)


@pytest.mark.parametrize(
  "options",
  [
    dict(temporal_downsample=1, channel_multipliers=(1, 2, 2)),
    dict(temporal_downsample=(False,), upsample="deconv"),
    dict(architecture="2dcnn", upsample="depth_to_space"),
    dict(architecture="2dcnn", upsample="deconv", conv_downsample=True),
    dict(architecture="2dcnn", encoder_conv_padding="reflect"),
    dict(architecture="2plus1dcnn", expand_mid_features=True),
    dict(architecture="2plus1dcnn", deconv_upsample=True),
    dict(custom_conv_padding="symmetric_odd", norm_type=None),
    dict(shortcut_reads_output=True, latent_normalize=True),
    dict(architecture="2dcnn", use_attn=True, num_attn_heads=4),
  ],
  ids=str,
)
def test_every_option_makes_clips_of_the_shape_they_had(options):
  tokenizer = _make(**options)
  clips = jax.ShapeDtypeStruct((2, 4, 8, 8, 3), jnp.float32)
  _, pixels = _shapes(tokenizer, clips)
  assert pixels == clips.shape


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (dict(use_attn=True), "use_attn is for vqvae.architecture='2dcnn'"),
    (dict(upsample="depth_to_space"), "upsample='depth_to_space' is unknown"),
    (dict(activation_fn="gelu"), "activation_fn='gelu' is unknown"),
    (dict(temporal_downsample=()), "has 0 entries"),
  ],
)
def test_wrong_options_are_named(options, message):
  clips = jax.ShapeDtypeStruct((2, 4, 8, 8, 3), jnp.float32)
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(_make(**options).init, jax.random.key(0), clips)


def _objective(tokenizer, clips):
  def objective(params):
    out = tokenizer.apply({"params": params}, clips, train=True)
    error = jnp.mean((out.reconstruction - clips) ** 2)
    return error + out.quantized.losses["quantizer_loss"]

  return jax.value_and_grad(objective)


@pytest.mark.slow
def test_rematerialised_blocks_change_neither_loss_nor_gradients():
  clips = _clips(1, 2, 4, 4, 3)
  plain = _make()
  saved = _make(num_enc_remat_blocks=2, num_dec_remat_blocks=2)
  params = _init(plain, clips)["params"]
  assert jax.tree.structure(params) == jax.tree.structure(
    _init(saved, clips)["params"]
  )
  value, grads = jax.jit(_objective(plain, clips))(params)
  again, saved_grads = jax.jit(_objective(saved, clips))(params)
  np.testing.assert_allclose(again, value, rtol=1e-6)
  for a, b in zip(
    jax.tree.leaves(grads), jax.tree.leaves(saved_grads), strict=True
  ):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_compiling_changes_no_token():
  clips = _clips(1, 2, 4, 4, 3)
  tokenizer = _make()
  variables = _init(tokenizer, clips)
  direct = tokenizer.apply(variables, clips)
  compiled = jax.jit(tokenizer.apply)(variables, clips)
  np.testing.assert_array_equal(
    compiled.quantized.tokens, direct.quantized.tokens
  )
  np.testing.assert_allclose(
    compiled.reconstruction, direct.reconstruction, atol=1e-5
  )


def test_the_gradient_reaches_the_encoder_through_the_quantizer():
  clips = _clips(1, 2, 4, 4, 3)
  tokenizer = _make()
  params = _init(tokenizer, clips)["params"]

  @jax.jit
  @jax.grad
  def grad(params):
    out = tokenizer.apply({"params": params}, clips, train=True)
    return jnp.mean((out.reconstruction - clips) ** 2)

  norms = jax.tree.map(jnp.linalg.norm, grad(params)["encoder"])
  assert all(float(norm) > 1e-6 for norm in jax.tree.leaves(norms))


def test_bfloat16_features_stay_near_float32_ones():
  clips = _clips(2, 4, 8, 8, 3)
  exact = _make()
  variables = _init(exact, clips)
  rough = Tokenizer.from_config(TokenizerConfig(**VQVAE), jnp.bfloat16)
  a, b = (
    np.asarray(
      jax.jit(lambda v, x, t=t: t.apply(v, x, method="features"))(
        variables, clips
      ),
      np.float64,
    )
    for t in (exact, rough)
  )
  error = np.linalg.norm(a - b) / np.linalg.norm(a)
  # Eight convolutions one after the other (1 + 2 + 2 + 2 + 1), with norms that
  # keep the scale: each rounds input, kernel and output by up to 2**-8, and
  # the norm and activation before it round twice more.
  assert 1e-4 < error < 8 * 5 * 2**-8
