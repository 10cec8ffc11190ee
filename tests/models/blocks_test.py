"""Tests of (2+1)D convolutions, residual blocks and attention."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import blocks, layers, norms, resampling, target


@pytest.fixture(autouse=True)
def exact_products():
  with jax.default_matmul_precision("highest"):
    yield


def _normal(seed, *shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


def _shapes(variables):
  return jax.tree.map(jnp.shape, variables["params"])


@pytest.mark.parametrize(
  ("channels", "features", "expected"),
  # 27 i o // (9 i + 3 o), up to a multiple of 32, and at least o.
  [(3, 64, 64), (64, 64, 160), (64, 128, 256), (2, 3, 32)],
)
def test_wide_middles_have_the_parameters_of_a_3d_convolution(
  channels, features, expected
):
  block = blocks.Conv2Plus1D(
    features, 3, None, nn.relu, layers.Conv, expand_mid_features=True
  )
  x = jnp.zeros((1, 2, 3, 3, channels))
  shapes = _shapes(jax.eval_shape(block.init, jax.random.key(0), x))
  assert shapes["Conv_0"]["kernel"] == (1, 3, 3, channels, expected)
  assert shapes["Conv_1"]["kernel"] == (3, 1, 1, expected, features)


def test_a_linear_2plus1d_convolution_is_the_3d_one_of_its_product():
  x = _normal(0, 1, 4, 5, 6, 2)
  block = blocks.Conv2Plus1D(
    3, 3, None, lambda x: x, layers.Conv, strides=(2, 2, 2), use_bias=False
  )
  variables = block.init(jax.random.key(0), x)
  kernels = variables["params"]
  product = jnp.einsum(
    "hwcm,tmf->thwcf",
    kernels["Conv_0"]["kernel"][0],
    kernels["Conv_1"]["kernel"][:, 0, 0],
  )
  whole = layers.Conv(3, (3, 3, 3), strides=(2, 2, 2), use_bias=False)
  expected = whole.apply({"params": {"kernel": product}}, x)
  assert expected.shape == (1, 2, 3, 3, 3)
  np.testing.assert_allclose(block.apply(variables, x), expected, atol=1e-5)


def test_norm_and_activation_stand_between_the_two():
  x = _normal(0, 1, 2, 3, 3, 4)
  norm = functools.partial(norms.make_norm, "LN", 1, jnp.float32)
  block = blocks.Conv2Plus1D(4, 1, norm, nn.relu, layers.Conv)
  variables = block.init(jax.random.key(0), x)
  assert set(variables["params"]) == {"Conv_0", "Conv_1", "LayerNorm_0"}
  first, second = (
    variables["params"][name]["kernel"][0, 0, 0]
    for name in ("Conv_0", "Conv_1")
  )
  middle = np.asarray(x @ first, np.float64)
  middle -= middle.mean(axis=-1, keepdims=True)
  middle /= np.sqrt((middle**2).mean(axis=-1, keepdims=True) + 1e-6)
  expected = np.maximum(middle, 0) @ np.asarray(second)
  np.testing.assert_allclose(block.apply(variables, x), expected, atol=1e-5)


def _res_block(**options):
  def conv(features, width, **more):
    return layers.Conv(features, (width,) * 2, **more)

  return blocks.ResBlock(3, conv, lambda: norms.no_norm, jnp.tanh, **options)


@pytest.mark.parametrize("shortcut_reads_output", [False, True])
@pytest.mark.parametrize("size", [4, 5])
def test_a_pooled_block_is_the_average_of_its_results(
  size, shortcut_reads_output
):
  x = _normal(0, 2, 4, size, 2)
  options = {"shortcut_reads_output": shortcut_reads_output}
  block = _res_block(**options)
  variables = block.init(jax.random.key(0), x)
  expected = resampling.average_pool(block.apply(variables, x), (2, 2))
  with target.made_for("gpu"):
    got = _res_block(**options, pooling=(2, 2)).apply(variables, x)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_maskgits_shortcut_reads_the_blocks_output():
  x = _normal(0, 1, 4, 4, 2)
  block = _res_block()
  variables = block.init(jax.random.key(0), x)
  kernel = variables["params"]["Conv_2"]["kernel"][0, 0]
  upstreams = block.apply(variables, x)
  branch = upstreams - x @ kernel
  square = _normal(1, 1, 1, 3, 3)
  params = variables["params"] | {"Conv_2": {"kernel": square}}
  maskgits = _res_block(shortcut_reads_output=True).apply({"params": params}, x)
  np.testing.assert_allclose(
    maskgits, branch + branch @ square[0, 0], atol=1e-5
  )


def test_attention_starts_as_the_identity():
  x = _normal(0, 2, 3, 4, 8)
  block = blocks.AttnBlock(2, "GN", 4)
  variables = block.init(jax.random.key(0), x)
  assert set(variables["params"]) == {"norm", "q", "k", "v", "proj_out"}
  np.testing.assert_array_equal(block.apply(variables, x), x)


def test_attention_is_softmax_over_all_pixels_of_a_frame():
  x = _normal(0, 2, 2, 3, 4)
  block = blocks.AttnBlock(2, None, 1)
  variables = block.init(jax.random.key(0), x)
  params = jax.tree.map(lambda leaf: _normal(leaf.size, *leaf.shape), variables)
  params = params["params"]

  def project(name, values):
    kernel = np.asarray(params[name]["kernel"], np.float64)[0, 0]
    return values @ kernel + np.asarray(params[name]["bias"])

  pixels = np.asarray(x, np.float64).reshape(2, 6, 4)
  q, k, v = (project(name, pixels).reshape(2, 6, 2, 2) for name in "qkv")
  scores = np.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(2)
  shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
  shares /= shares.sum(axis=-1, keepdims=True)
  attended = np.einsum("nhqk,nkhd->nqhd", shares, v).reshape(2, 6, 4)
  expected = pixels + project("proj_out", attended)
  got = block.apply({"params": params}, x)
  np.testing.assert_allclose(
    got, expected.reshape(x.shape), rtol=1e-4, atol=1e-5
  )


def test_heads_that_do_not_divide_the_channels_are_refused():
  block = blocks.AttnBlock(3, None, 1)
  with pytest.raises(ValueError, match=r"num_attn_heads=3 does not divide"):
    block.init(jax.random.key(0), jnp.zeros((1, 2, 2, 4)))
