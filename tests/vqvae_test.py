"""Tests of the tokenizer as a whole, in all its architectures."""

import jax
import jax.numpy as jnp
import numpy as np

from magvit3d.models.vqvae import Tokenizer

_BASE = dict(
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


def _make(**options):
  return Tokenizer.from_config(_BASE | options)


def _clips(*shape):
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.uniform(size=shape).astype(np.float32))


def _init(tokenizer, clips):
  return jax.jit(tokenizer.init)(jax.random.key(0), clips)


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
