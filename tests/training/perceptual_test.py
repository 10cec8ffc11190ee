"""Tests of the perceptual loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict
from parity import recipe

from magvit3d.models.published import resnet_weights
from magvit3d.models.published.resnet import ResNet50
from magvit3d.training.perceptual import (
  make_perceptual_loss,
  perceptual_loss_fn,
)


@pytest.fixture(scope="module")
def setup():
  clips = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  tree = jax.eval_shape(ResNet50().init, jax.random.key(0), clips)["params"]
  flat = flatten_dict(tree, sep="/")
  params = recipe.params({name: leaf.shape for name, leaf in flat.items()})
  real, fake = (
    jnp.asarray(recipe.array(name, (2, 1, 16, 24, 3), "uniform"))
    for name in ("real", "fake")
  )
  network = jax.jit(lambda p, x: ResNet50().apply({"params": p}, x))
  outputs = [network(params, clips[:, 0]) for clips in (real, fake)]
  return params, real, fake, outputs


@pytest.mark.variants
@pytest.mark.parametrize("on_logit", [True, False])
def test_loss_is_the_mean_squared_difference(setup, on_logit):
  params, real, fake, outputs = setup
  a, b = (np.float64(output[0 if on_logit else 1]) for output in outputs)
  loss = jax.jit(perceptual_loss_fn(on_logit))(params, real, fake)
  # Differences are smaller than the values, whose error is some 1e-6.
  np.testing.assert_allclose(loss, np.mean((a - b) ** 2), rtol=1e-3)


def test_gradient_flows_to_the_fake_clips_alone(setup):
  params, real, fake, _ = setup
  slope = jax.jit(jax.value_and_grad(perceptual_loss_fn(), argnums=(1, 2)))
  loss, (to_real, to_fake) = slope(params, real, fake)
  np.testing.assert_array_equal(to_real, 0)
  # A step of 1 % down the slope lowers the loss by about 1 %.
  length = 0.01 * loss / jnp.sum(to_fake**2)
  lower, _ = slope(params, real, fake - length * to_fake)
  np.testing.assert_allclose(lower, 0.99 * loss, rtol=2e-3)


def test_parameters_are_not_constants_of_the_program(setup):
  params, real, fake, _ = setup
  program = jax.make_jaxpr(perceptual_loss_fn())(params, real, fake)
  assert sum(np.size(value) for value in program.consts) < 1e5


@pytest.mark.slow
def test_the_order_of_clips_and_frames_does_not_matter(setup):
  params, real, fake, _ = setup
  loss_fn = jax.jit(perceptual_loss_fn())
  loss = loss_fn(params, real, fake)
  as_frames = loss_fn(
    params, real[::-1].swapaxes(0, 1), fake[::-1].swapaxes(0, 1)
  )
  np.testing.assert_allclose(as_frames, loss, rtol=1e-4)


@pytest.mark.slow
def test_bfloat16_stays_near_float32(setup):
  params, real, fake, _ = setup
  loss = jax.jit(perceptual_loss_fn())(params, real, fake)
  half = jax.jit(perceptual_loss_fn(dtype=jnp.bfloat16))(params, real, fake)
  assert half.dtype == jnp.float32
  # 53 roundings of 2**-9 in a row: some 1.5 % of a logit; a loss has it twice,
  # and differences of logits are here about a third of the logits.
  np.testing.assert_allclose(half, loss, rtol=0.2)
  assert half != loss


def test_the_file_becomes_the_parameters(setup, tmp_path, monkeypatch):
  params, real, _, _ = setup
  monkeypatch.setattr(
    resnet_weights, "from_torchvision", lambda arrays, path: params
  )
  path = tmp_path / "weights.safetensors"
  safetensors.numpy.save_file({"a": np.zeros(1)}, path)
  loaded, loss_fn = make_perceptual_loss(str(path))
  assert loaded is params
  assert jax.jit(loss_fn)(params, real, real) == 0
