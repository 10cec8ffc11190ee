"""Tests of oneDNN's convolutions against XLA's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_networks
from jax import lax

from magvit3d.config.networks import TokenizerConfig
from magvit3d.errors import UserError
from magvit3d.models import layers, onednn
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.monitoring import flops

_needs_onednn = pytest.mark.skipif(
  not onednn.is_available(), reason=str(onednn.why_not())
)


def _normal(seed, *shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape).astype(np.float32))


def _xla(clips, kernel, strides, padding):
  dimensions = ("NTHWC", "THWIO", "NTHWC")
  return lax.conv_general_dilated(
    clips, kernel, strides, padding, dimension_numbers=dimensions
  )


def _xla_transpose(clips, kernel, strides):
  return lax.conv_transpose(clips, kernel, strides, "SAME")


def _derivatives(function, clips, kernel):
  """Output, gradients, and those of the gradients' squares."""

  def weighed(clips, kernel):
    out = function(clips, kernel)
    return jnp.sum(out * _normal(9, *out.shape)), out

  first = jax.grad(weighed, argnums=(0, 1), has_aux=True)

  def squares(clips, kernel):
    gradients, out = first(clips, kernel)
    return sum(jnp.sum(g**2) for g in gradients), (gradients, out)

  second = jax.jit(jax.grad(squares, argnums=(0, 1), has_aux=True))
  return second(clips, kernel)


def _assert_same(ours, theirs, clips, kernel):
  got = jax.tree.leaves(_derivatives(ours, clips, kernel))
  expected = jax.tree.leaves(_derivatives(theirs, clips, kernel))
  for a, b in zip(got, expected, strict=True):
    # Sums of at most 640 products of order 1, and in the second derivatives of
    # sums of as many such: 2 * 640 * 6e-8.
    np.testing.assert_allclose(a, b, rtol=0, atol=8e-5 * np.abs(b).max())


@_needs_onednn
@pytest.mark.parametrize(
  ("size", "strides", "padding"),
  [
    ((3, 3, 3), (1, 1, 1), "SAME"),
    ((3, 3, 3), (1, 2, 2), "SAME"),
    ((4, 4, 4), (2, 2, 2), "SAME"),
    ((2, 3, 3), (1, 1, 1), "VALID"),
  ],
)
def test_convolutions_equal_xlas(size, strides, padding):
  clips, kernel = _normal(0, 2, 4, 5, 6, 3), _normal(1, *size, 3, 10)
  ours, theirs = (
    functools.partial(function, strides=strides, padding=padding)
    for function in (onednn.conv3d, _xla)
  )
  _assert_same(ours, theirs, clips, kernel)


@_needs_onednn
@pytest.mark.parametrize("strides", [(1, 2, 2), (2, 2, 2)])
def test_transposed_convolutions_equal_xlas(strides):
  clips, kernel = _normal(0, 2, 3, 4, 5, 4), _normal(1, 4, 4, 4, 4, 2)
  ours, theirs = (
    functools.partial(function, strides=strides)
    for function in (onednn.conv3d_transpose, _xla_transpose)
  )
  _assert_same(ours, theirs, clips, kernel)


@_needs_onednn
def test_a_convolution_of_many_channels_equals_xlas():
  """oneDNN takes other paths, which need more of the thread's stack."""
  clips, kernel = _normal(0, 16, 2, 4, 4, 64), _normal(1, 3, 3, 3, 64, 64)
  _, (gradients, out) = _derivatives(
    functools.partial(onednn.conv3d, strides=(1, 1, 1), padding="SAME"),
    clips,
    kernel,
  )
  _, (expected, reference) = _derivatives(
    functools.partial(_xla, strides=(1, 1, 1), padding="SAME"), clips, kernel
  )
  for a, b in zip((*gradients, out), (*expected, reference), strict=True):
    # 1,728 products of order 1 each.
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())


@_needs_onednn
def test_layers_take_it_for_float32_alone():
  clips = _normal(0, 1, 4, 4, 4, 3)

  def program(layer, dtype):
    variables = layer.init(jax.random.key(0), clips)
    return jax.jit(layer.apply).lower(variables, clips.astype(dtype)).as_text()

  for layer in (
    functools.partial(layers.Conv, 4, (3, 3, 3)),
    functools.partial(layers.Conv, 4, (3, 3, 3), (2, 2, 2)),
    functools.partial(layers.ConvTranspose, 4, (2, 2, 2)),
  ):
    for dtype, is_called in ((jnp.float32, True), (jnp.bfloat16, False)):
      made = layer(implementation="onednn", dtype=dtype)
      assert ("Magvit3d" in program(made, dtype)) == is_called


@_needs_onednn
def test_its_work_is_counted_as_xlas_is():
  clips, kernel = _normal(0, 2, 4, 5, 6, 3), _normal(1, 3, 3, 3, 3, 10)

  def count(function):
    gradient = jax.grad(
      lambda *pair: jnp.sum(
        jnp.sin(function(*pair, strides=(1, 1, 1), padding="VALID"))
      ),
      argnums=(0, 1),
    )
    return flops.step_flops(jax.jit(gradient).lower(clips, kernel).compile())

  # Without padding all products are counted. 24 outputs of 10 channels.
  products = 2 * (2 * 2 * 3 * 4) * (27 * 3 * 10)
  assert count(onednn.conv3d) > 2.99 * products
  np.testing.assert_allclose(count(onednn.conv3d), count(_xla), rtol=0.05)


@pytest.fixture
def tried_again():
  """Whether oneDNN can be had is asked anew, before and after."""
  onednn._load.cache_clear()
  yield
  onednn._load.cache_clear()


def _tokenizer(implementation):
  fields = small_networks.VQVAE | {"conv_implementation": implementation}
  config = TokenizerConfig(**fields)
  return Tokenizer.from_config(config).backbone.conv_implementation


def test_without_it_convolutions_are_over_frames(monkeypatch, tried_again):
  monkeypatch.setitem(onednn._PACKAGES, "dnnl.hpp", "no-such-package")
  assert _tokenizer(None) == "frames"
  with pytest.raises(UserError, match=r"dnnl.hpp .*magvit3d\[onednn\]"):
    _tokenizer("onednn")


@_needs_onednn
@pytest.mark.parametrize(
  ("compiler", "told"),
  [("no-such-compiler", "No C++ compiler"), ("false", "false cannot compile")],
)
def test_without_a_compiler_a_warning_says_so(
  monkeypatch, tried_again, tmp_path, caplog, compiler, told
):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  monkeypatch.setenv("CXX", compiler)
  assert _tokenizer(None) == "frames"
  assert told in caplog.text
  assert not list(tmp_path.glob("*/*.so"))


def test_programs_of_several_devices_do_without_it(monkeypatch):
  monkeypatch.setattr(jax, "device_count", lambda: 2)
  assert _tokenizer(None) == "frames"
  with pytest.raises(UserError, match="one CPU device alone"):
    _tokenizer("onednn")
