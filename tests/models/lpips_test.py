"""Tests of LPIPS and of reading its weights.

`parity/cases/lpips_torch.npz` holds what the package lpips 0.1.4 (version 0.1
of the metric; torch 2.13, CPU) computes with the weights of `small_weights`
for pairs of frames from `recipe.array("lpips/pairs", ..., "uniform")`, the
networks written as `nn.Sequential` in torchvision's order.
"""

import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import small_weights
from parity import recipe

from magvit3d.errors import UserError
from magvit3d.models.published import lpips_weights
from magvit3d.models.published.lpips import Lpips
from magvit3d.models.published.lpips_backbones import ARCHITECTURES

_CASE = pathlib.Path(__file__).parents[1] / "parity/cases/lpips_torch.npz"
_ALEXNET = "alexnet"


def _save(path, arrays):
  if path.suffix == ".npz":
    np.savez(path, **arrays)
  else:
    safetensors.numpy.save_file(arrays, path)
  return str(path)


def _all(backbone):
  return small_weights.features(backbone) | small_weights.heads(backbone)


@pytest.mark.variants
@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_distances_equal_the_published_programs(backbone, tmp_path):
  classifier = {"classifier.6.bias": np.zeros(1000, np.float32)}
  path = _save(tmp_path / "w.safetensors", _all(backbone) | classifier)
  name, params, (file,) = lpips_weights.load_lpips([path])
  assert name == backbone and len(file.sha256) == 64
  case = np.load(_CASE)
  pairs = recipe.array("lpips/pairs", case["pairs_shape"], "uniform")
  got = jax.jit(Lpips(name).apply)({"params": params}, pairs)
  # 5 to 13 layers at full float32 precision.
  np.testing.assert_allclose(got, case[f"{backbone}/distances"], rtol=1e-5)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
  path = tmp_path_factory.mktemp("weights") / "alexnet.npz"
  return lpips_weights.load_lpips([_save(path, _all(_ALEXNET))])[1]


def test_equal_frames_are_at_distance_zero_and_order_does_not_matter(alexnet):
  pairs = recipe.array("pairs", (2, 2, 32, 40, 3), "uniform")
  pairs[1, 1] = pairs[1, 0]
  run = jax.jit(Lpips(_ALEXNET).apply)
  got = run({"params": alexnet}, jnp.asarray(pairs))
  # Squares of the rounding of float32: a frame's place in the batch matters.
  assert got[0] > 0.1 and 0 <= got[1] < 1e-12
  swapped = run({"params": alexnet}, jnp.asarray(pairs[:, ::-1]))
  np.testing.assert_allclose(swapped, got, rtol=1e-5)


def test_black_frames_are_finite(alexnet):
  run = jax.jit(Lpips(_ALEXNET).apply)
  got = run({"params": alexnet}, jnp.zeros((1, 2, 31, 31, 3)))
  np.testing.assert_allclose(got, 0, atol=1e-12)


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_the_least_frame_size_leaves_a_pixel_and_less_is_an_error(backbone):
  least = ARCHITECTURES[backbone].min_frame_size

  def shape(size):
    pairs = jax.ShapeDtypeStruct((3, 2, least, size, 3), jnp.float32)
    network = Lpips(backbone)
    return jax.eval_shape(network.init_with_output, jax.random.key(0), pairs)

  assert shape(least)[0].shape == (3,)
  with pytest.raises(ValueError, match=f"needs {least} or more"):
    shape(least - 1)


def test_backbone_and_layers_may_lie_in_two_files(tmp_path):
  paths = [
    _save(tmp_path / "a.npz", small_weights.features(_ALEXNET)),
    _save(tmp_path / "b.safetensors", small_weights.heads(_ALEXNET)),
  ]
  whole = _save(tmp_path / "c.npz", _all(_ALEXNET))
  name, params, files = lpips_weights.load_lpips(paths)
  assert name == _ALEXNET
  assert [file.path for file in files] == paths
  assert files[0].sha256 != files[1].sha256
  expected = lpips_weights.load_lpips([whole])[1]
  chex.assert_trees_all_equal(params, expected)


def _change(arrays, problem):
  if problem == "without layers":
    return {k: v for k, v in arrays.items() if not k.startswith("lin")}
  if problem == "without backbone":
    return {k: v for k, v in arrays.items() if k.startswith("lin")}
  if problem == "layers of the other backbone":
    return arrays | small_weights.heads("vgg16")
  if problem == "other network":
    return arrays | {"features.0.weight": np.zeros((96, 3, 7, 7), np.float32)}
  return arrays | {"features.12.weight": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
  ("problem", "message"),
  [
    ("without layers", r"lacks lin0\.model\.1\.weight, .* and 1 more\."),
    ("without backbone", r"neither vgg16 nor alexnet.*it is not there"),
    ("layers of the other backbone", r"mis-shaped lin1.*\(1, 128, 1, 1\)"),
    ("other network", r"its shape is \(96, 3, 7, 7\)"),
    ("more layers", r"has unexpected features\.12\.weight\."),
  ],
)
def test_other_weights_are_an_error_that_names_them(problem, message, tmp_path):
  path = _save(tmp_path / "w.npz", _change(_all(_ALEXNET), problem))
  with pytest.raises(UserError, match=message) as error:
    lpips_weights.load_lpips([path])
  assert str(error.value).startswith(path)


def test_two_files_with_the_same_arrays_are_an_error(tmp_path):
  paths = [
    _save(tmp_path / "a.npz", _all(_ALEXNET)),
    _save(tmp_path / "b.npz", small_weights.heads(_ALEXNET)),
  ]
  with pytest.raises(UserError, match=r"b\.npz repeats lin0.* of .*a\.npz"):
    lpips_weights.load_lpips(paths)
