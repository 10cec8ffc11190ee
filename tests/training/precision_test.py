"""What is bfloat16 and what float32 in steps with `config.dtype='bfloat16'`.

The steps are traced, not compiled: each operation tells its types.
"""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shrunk
from jax.extend import core

from magvit3d.config.networks import DiscriminatorConfig, TokenizerConfig
from magvit3d.config.run import RunConfig
from magvit3d.models import layers
from magvit3d.models.discriminator import Discriminator
from magvit3d.models.published.resnet import ResNet50
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.autoregressive_stage import LMStage
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.perceptual import perceptual_loss_fn
from magvit3d.training.tokenizer_stage import TokenizerStage

_CODEBOOK_SIZE = 37  # Found nowhere else among the shapes.
_CLIP = (8, 24, 24, 3)
_GRID = (4, 12, 12)
_LANGUAGE_MODEL = {
  "num_layers": 1,
  "emb_dim": 32,
  "qkv_dim": 32,
  "mlp_dim": 64,
  "num_heads": 2,
  "dropout_rate": 0.1,
}
_BF16, _F32 = np.dtype(jnp.bfloat16), np.dtype(jnp.float32)
_PRODUCTS = ("dot_general", "conv_general_dilated")
# Of softmax, cross entropy, norms, entropy and perplexity.
_EXACT = (
  *("exp", "exp2", "log", "log1p", "expm1", "sqrt", "rsqrt"),
  *("reduce_max", "cumsum", "reduce_window_sum", "scatter-add"),
)


def _config(dtype, **fields):
  return shrunk.make_config(
    dtype=dtype,
    vqvae__codebook_size=_CODEBOOK_SIZE,
    discriminator__channel_multipliers=(2,),
    **fields,
  )


def _tokenizer_step(dtype, **fields):
  stage = TokenizerStage(
    RunConfig.from_dict(_config(dtype, **fields)), 100, _CLIP
  )
  batch = {
    "frames": jax.ShapeDtypeStruct((4, *_CLIP), jnp.uint8),
    "masks": jax.ShapeDtypeStruct((4, *_CLIP[:-1]), jnp.uint8),
  }
  return stage, batch, ()


def _transformer_step(dtype, **fields):
  config = _config(dtype, **fields)
  model = TokenModel(RunConfig.from_dict(config), _CLIP[0], 3, _GRID)
  params = _tokenizer_params(model.tokenizer)
  batch = {
    "frames": jax.ShapeDtypeStruct((4, *_CLIP), jnp.uint8),
    "labels": jax.ShapeDtypeStruct((4,), jnp.int32),
  }
  return (
    TransformerStage(RunConfig.from_dict(config), model, 100, params),
    batch,
    params,
  )


def _language_model_step(dtype, **transformer):
  config = _config(dtype)
  config["transformer"] = _LANGUAGE_MODEL | transformer
  config["lmgvt"] = {"sampling": {}}
  model = LanguageModel(RunConfig.from_dict(config), 3, _GRID)
  params = _tokenizer_params(model.tokenizer)
  batch = {
    "tokens": jax.ShapeDtypeStruct((4, *_GRID), jnp.int32),
    "labels": jax.ShapeDtypeStruct((4,), jnp.int32),
  }
  return LMStage(RunConfig.from_dict(config), model, 100, params), batch, params


def _tokenizer_params(tokenizer):
  clips = jax.ShapeDtypeStruct((1, *_CLIP), jnp.float32)
  return jax.eval_shape(tokenizer.init, jax.random.key(0), clips)["params"]


_STEPS = {
  "tokenizer": (_tokenizer_step, {}),
  "tokenizer, LN, nearest, LeCam, argmax": (
    _tokenizer_step,
    {
      "vqvae__norm_type": "LN",
      "vqvae__upsample": "nearest",
      "vqvae__entropy_loss_type": "argmax",
      "vqvae__latent_normalize": True,
      "vqgan__lecam_weight": 0.1,
      "vqgan__loss_type": "hinge",
      "discriminator__norm_type": "GN",
      "discriminator__num_groups": 4,
    },
  ),
  "2D tokenizer with attention": (
    _tokenizer_step,
    {
      "vqvae__architecture": "2dcnn",
      "vqvae__use_attn": True,
      "vqvae__num_attn_heads": 2,
      "discriminator__blur_resample": True,
    },
  ),
  "(2+1)D tokenizer": (
    _tokenizer_step,
    {
      "vqvae__architecture": "2plus1dcnn",
      "vqvae__conv_implementation": "xla",
      "train_tokenizer__gradient_accumulation_steps": 2,
    },
  ),
  "transformer": (_transformer_step, {}),
  "transformer with dropout": (
    _transformer_step,
    {
      "transformer__dropout_rate": 0.1,
      "transformer__attention_dropout_rate": 0.1,
      "transformer__num_segments": 2,
    },
  ),
  "language model": (_language_model_step, {}),
  "language model, tied, with dropout of attention": (
    _language_model_step,
    {"logits_via_embedding": True, "attention_dropout_rate": 0.1},
  ),
}


@pytest.fixture(scope="module", params=_STEPS)
def traced(request):
  """Operations of a step in bfloat16, and types of what it returns."""
  make, fields = _STEPS[request.param]
  stage, batch, frozen = make("bfloat16", **fields)
  state = jax.eval_shape(stage.init_state)
  jaxpr, shapes = jax.make_jaxpr(stage.train_step, return_shape=True)(
    state, batch, frozen
  )
  return list(_operations(jaxpr.jaxpr)), shapes


def _operations(jaxpr):
  for operation in jaxpr.eqns:
    yield operation
    for inner in core.jaxprs_in_params(operation.params):
      yield from _operations(inner)


def _shapes(operation):
  return [variable.aval.shape for variable in operation.invars]


def _types(operation):
  return [variable.aval.dtype for variable in operation.invars]


def _products(operations):
  return [x for x in operations if x.primitive.name in _PRODUCTS]


def test_products_are_of_bfloat16(traced):
  """But for distances to codes, and gradients that leave a softmax."""
  operations, _ = traced
  products = _products(operations)
  assert len(products) > 15
  for operation in products:
    types = _types(operation)
    if types == [_F32, _F32]:
      shapes = _shapes(operation)
      assert _CODEBOOK_SIZE in (*shapes[0], *shapes[1]), operation
      assert operation.primitive.name == "dot_general"
    elif types != [_BF16, _BF16]:
      weights = _shapes(operation)[types.index(_F32)]
      assert set(types) == {_F32, _BF16}
      assert weights.count(weights[-1]) == 2, operation
      assert weights[-1] >= math.prod(_GRID[1:]), operation


def test_distances_to_codes_are_float32_of_the_highest_precision(traced):
  operations, _ = traced
  distances = [x for x in _products(operations) if set(_types(x)) == {_F32}]
  for operation in distances:
    highest = jax.lax.Precision.HIGHEST
    assert operation.params["precision"] == (highest, highest)
    assert operation.outvars[0].aval.dtype == _F32


def test_softmax_losses_and_statistics_are_float32(traced):
  operations, _ = traced
  for operation in operations:
    if operation.primitive.name in _EXACT:
      assert _BF16 not in _types(operation), operation


def test_long_sums_are_float32(traced):
  """A sum of bfloat16 values stands still at 256 times one of them."""
  operations, _ = traced
  num_sums = 0
  for operation in operations:
    if operation.primitive.name != "reduce_sum":
      continue
    num_sums += 1
    shape = _shapes(operation)[0]
    length = math.prod(shape[axis] for axis in operation.params["axes"])
    assert _types(operation) == [_F32] or length <= 2 or _is_integer(operation)
  assert num_sums


def _is_integer(operation):
  return not jnp.issubdtype(_types(operation)[0], jnp.floating)


def test_state_and_metrics_stay_float32(traced):
  _, (state, metrics) = traced
  leaves = jax.tree_util.tree_leaves_with_path((state, metrics))
  assert len(leaves) > 20
  for path, leaf in leaves:
    if jnp.issubdtype(leaf.dtype, jnp.inexact):
      assert leaf.dtype == _F32, jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", ["tokenizer", "transformer", "language model"])
def test_float32_steps_have_no_bfloat16(name):
  make, fields = _STEPS[name]
  stage, batch, frozen = make("float32", **fields)
  state = jax.eval_shape(stage.init_state)
  jaxpr = jax.make_jaxpr(stage.train_step)(state, batch, frozen)
  assert not re.search(r"\bbf16\b", str(jaxpr))


def test_perceptual_loss_convolves_in_bfloat16_and_compares_in_float32():
  params = jax.eval_shape(
    ResNet50().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3))
  )["params"]
  clips = jax.ShapeDtypeStruct((1, 2, 8, 8, 3), jnp.float32)
  loss = jax.grad(perceptual_loss_fn(dtype=jnp.bfloat16), argnums=2)
  jaxpr = jax.make_jaxpr(loss)(params, clips, clips)
  convolutions = [
    x
    for x in _operations(jaxpr.jaxpr)
    if x.primitive.name == "conv_general_dilated"
  ]
  assert len(convolutions) == 3 * 53  # Both clips, and back through one.
  assert all(_types(x) == [_BF16, _BF16] for x in convolutions)
  assert jaxpr.out_avals[0].dtype == _F32


def test_pixels_and_scores_of_clips_are_float32():
  config = _config("bfloat16")
  tokenizer = Tokenizer.from_config(
    TokenizerConfig(**config["vqvae"]), jnp.bfloat16
  )
  params = _tokenizer_params(tokenizer)
  tokens = jax.ShapeDtypeStruct((1, *_GRID), jnp.int32)
  pixels = jax.eval_shape(
    lambda *x: tokenizer.apply(*x, method="decode_tokens"),
    {"params": params},
    tokens,
  )
  assert pixels.dtype == _F32
  discriminator = Discriminator.from_config(
    DiscriminatorConfig(**config["discriminator"]),
    TokenizerConfig(**config["vqvae"]),
    jnp.bfloat16,
  )
  logits, _ = jax.eval_shape(
    discriminator.init_with_output, jax.random.key(0), pixels
  )
  assert logits.dtype == _F32


@pytest.mark.parametrize(
  "layer",
  [
    layers.Conv(1, (1, 1), dtype=jnp.bfloat16),
    layers.ConvTranspose(1, (2, 2), dtype=jnp.bfloat16),
  ],
)
def test_the_gradient_of_a_bias_counts_all_pixels(layer):
  frames = jnp.zeros((1, 256, 256, 1))
  params = layer.init(jax.random.key(0), frames)

  def total(params):
    return jnp.sum(layer.apply(params, frames).astype(jnp.float32))

  num_pixels = jax.eval_shape(layer.apply, params, frames).size
  gradient = jax.grad(total)(params)["params"]["bias"]
  np.testing.assert_array_equal(gradient, [num_pixels])
