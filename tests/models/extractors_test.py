"""Networks that tell motion and path from what cameras saw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.config.studies import EXTRACTORS, ExtractorsConfig
from magvit3d.models import clip_units, extractors, layers, onednn

_CONFIG = ExtractorsConfig(
  features=dict.fromkeys(EXTRACTORS, 8),
  channel_share=0.03,
  slowfast_blocks=(1, 1, 1, 1),
  width=4,
  num_layers=1,
  num_heads=2,
  hidden_size=8,
)


def _seen(name, seed=0):
  shape = (2, 3, 2, 4, 4, 5) if name == "magvit" else (2, 3, 8, 16, 16, 3)
  return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(
  scope="module",
  params=["frames", pytest.param("slowfast", marks=pytest.mark.slow), "magvit"],
)
def network(request):
  """A network, its parameters, and what it may see."""
  made = extractors.make(request.param, _CONFIG, 4, 6)
  seen = _seen(request.param)
  variables = jax.jit(made.init)(jax.random.key(1), seen)
  return jax.jit(made.apply), variables, seen, request.param


def test_answers_are_classes_and_positions(network):
  apply, variables, seen, _ = network
  logits, positions = apply(variables, seen)
  assert logits.shape == (2, 4)
  assert positions.shape == (2, 6, 3)


def test_cameras_that_do_not_count_change_nothing(network):
  apply, variables, seen, name = network
  alone = jnp.array([1, 1])
  others = seen.at[:, (0, 2)].set(_seen(name, seed=7)[:, (0, 2)])
  answers = apply(variables, seen, alone), apply(variables, others, alone)
  for found, wanted in zip(*answers, strict=True):
    np.testing.assert_array_equal(found, wanted)
  changed = apply(variables, others)[0]
  assert np.abs(changed - answers[0][0]).max() > 0


def test_some_samples_have_one_camera_and_the_others_all(network):
  """In one pass; each answers as it does among its like."""
  apply, variables, seen, name = network
  seen = jnp.concatenate([seen, _seen(name, seed=3)])
  together = apply(variables, seen, jnp.array([2, 0]))
  of_all = apply(variables, seen)
  of_one = apply(variables, seen, jnp.array([2, 2, 0, 0]))
  for found, whole, single in zip(together, of_all, of_one, strict=True):
    # Sums in another order, of values of about 1.
    np.testing.assert_allclose(found[::2], whole[::2], atol=1e-5)
    np.testing.assert_allclose(found[1::2], single[1::2], atol=1e-5)
    assert np.abs(whole - single).max() > 1e-3


def test_every_frame_that_is_given_counts(network):
  apply, variables, seen, _ = network
  before = apply(variables, seen)[0]
  for frame in range(seen.shape[2]):
    changed = seen.at[:, :, frame].multiply(-1)
    assert np.abs(apply(variables, changed)[0] - before).max() > 0


@pytest.mark.parametrize("implementation", ["frames", "onednn"])
@pytest.mark.parametrize("size, stride", [((3, 3, 3), 1), ((5, 4, 3), 2)])
def test_a_unit_is_a_3d_convolution(implementation, size, stride, monkeypatch):
  if implementation == "onednn" and (reason := onednn.why_not()):
    pytest.skip(reason)
  monkeypatch.setattr(
    layers, "default_conv_implementation", lambda: implementation
  )
  unit = clip_units.TrainedUnit(4, size, stride, is_linear=True)
  clips = jax.random.normal(jax.random.key(0), (2, 5, 6, 6, 3))
  variables = unit.init(jax.random.key(1), clips)

  def reference(kernel, clips):
    taps = kernel.reshape(*size[1:], size[0], 3, 4).transpose(2, 0, 1, 3, 4)
    wanted = jax.lax.conv_general_dilated(
      clips,
      taps,
      (stride,) * 3,
      # As many frames before as after; height and width as 'SAME' has them.
      [
        (size[0] // 2,) * 2,
        *jax.lax.padtype_to_pads((6, 6), size[1:], (stride,) * 2, "SAME"),
      ],
      dimension_numbers=("NTHWC", "THWIO", "NTHWC"),
    )
    axes = (1, 2, 3, 4)
    mean = wanted.mean(axes, keepdims=True)
    return (wanted - mean) / jnp.sqrt(wanted.var(axes, keepdims=True) + 1e-6)

  def unit_of(kernel, clips):
    params = variables["params"] | {"Conv_0": {"kernel": kernel}}
    return unit.apply({"params": params}, clips)

  kernel = variables["params"]["Conv_0"]["kernel"]
  found, pull_back = jax.vjp(unit_of, kernel, clips)
  wanted, pull_back_wanted = jax.vjp(reference, kernel, clips)
  # Sums of 180 float32 products at most; those of gradients have 600, and
  # values of about 30.
  np.testing.assert_allclose(found, wanted, atol=1e-4)
  way = jax.random.normal(jax.random.key(2), wanted.shape)
  for one, other in zip(pull_back(way), pull_back_wanted(way), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_i3d_has_the_published_layers():
  made = extractors.make("i3d", _CONFIG, 4, 6)
  seen = jax.ShapeDtypeStruct((1, 1, 8, 32, 32, 3), jnp.float32)
  shapes = jax.eval_shape(made.init, jax.random.key(0), seen)
  names = shapes["params"]["extractor"].keys()
  assert {"Conv3d_1a_7x7", "Conv3d_2c_3x3", "Mixed_3b", "Mixed_5c"} < names
  assert sum(name.startswith("Mixed") for name in names) == 9


def test_half_of_the_samples_have_one_camera_any_of_them():
  alone = extractors.draw_cameras(jax.random.key(0), 4000, 3)
  counts = np.bincount(alone)
  assert counts.sum() == 2000
  # Four standard deviations of a share of 2000.
  np.testing.assert_allclose(counts / 2000, 1 / 3, atol=0.043)


def test_black_is_nothing_and_tokens_are_looked_up():
  frames = jnp.array([0, 255, 0], jnp.uint8).reshape(1, 1, 1, 1, 1, 3)
  np.testing.assert_allclose(
    extractors.as_seen(frames, None).ravel(), [0, 1, 0], atol=1e-6
  )
  codebook = jnp.arange(6.0).reshape(3, 2)
  tokens = jnp.array([2, 0]).reshape(1, 1, 1, 1, 2)
  seen = extractors.as_seen(tokens, codebook)
  np.testing.assert_array_equal(seen[0, 0, 0, 0], [[4, 5], [0, 1]])


def test_a_place_is_finer_than_a_cell():
  """A spot half in one column and half in the next is between them."""
  cells = np.zeros((1, 1, 3, 5, 1), np.float32)
  cells[0, 0, 1, (1, 2)] = 50.0
  module = extractors.Gathered(1, 1, 1.0)
  dense = {"kernel": np.ones((1, 1)), "bias": np.zeros(1)}
  variables = {"params": {"queries": dense, "values": dense}}
  row, column, seen = module.apply(variables, jnp.asarray(cells)).ravel()
  # 50 above the other 13 cells, whose weight is below 1e-20.
  np.testing.assert_allclose([row, column, seen], [0.0, -0.25, 50], rtol=1e-6)
