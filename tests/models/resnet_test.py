"""Tests of ResNet-50 and of reading its weights.

`parity/cases/resnet50_torchvision.npz` holds what torchvision 0.28 (torch
2.13, CPU) computes: `torchvision.models.resnet50` in evaluation mode, with the
weights that `recipe.params` draws for our parameter names, transposed to
PyTorch's layout; frames from `recipe.array("resnet/frames", ...)`, resized by
`torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` and
normalised with ImageNet's mean and deviation.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict
from parity import recipe

from magvit3d.errors import UserError
from magvit3d.models.published import resnet, resnet_weights

_CASE = (
  pathlib.Path(__file__).parents[1] / "parity/cases/resnet50_torchvision.npz"
)


def _shapes():
  frames = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  tree = jax.eval_shape(resnet.ResNet50().init, jax.random.key(0), frames)
  flat = flatten_dict(tree["params"], sep="/")
  return {name: leaf.shape for name, leaf in flat.items()}


def _torchvision_key(name):
  for ours, theirs in (
    ("kernel", "weight"),
    ("scale", "weight"),
    ("moving_mean", "running_mean"),
    ("moving_variance", "running_var"),
  ):
    name = name.replace(f"/{ours}", f".{theirs}")
  return name.replace("/", ".")


def _torchvision_shape(shape):
  if len(shape) == 4:
    height, width, inputs, outputs = shape
    return (outputs, inputs, height, width)
  return tuple(reversed(shape))


def _state_dict():
  """Zeros in torchvision's layout that take no memory."""
  arrays = {
    _torchvision_key(name): np.broadcast_to(
      np.float32(0), _torchvision_shape(shape)
    )
    for name, shape in _shapes().items()
  }
  return arrays | {"bn1.num_batches_tracked": np.zeros((), np.int64)}


def test_logits_and_map_equal_torchvisions():
  case = np.load(_CASE)
  seed = int(case["seed"])
  params = recipe.params(_shapes(), seed)
  frames = recipe.array("resnet/frames", case["frames_shape"], "uniform", seed)
  run = jax.jit(lambda p, x: resnet.ResNet50().apply({"params": p}, x))
  with jax.default_matmul_precision("highest"):
    logits, feature_map = run(params, frames)
  # 53 layers, each some 1e-7; rounding does not add up beyond 1e-5.
  for got, name in (
    (logits, "logits"),
    (feature_map.mean(-1), "map_over_channels"),
    (feature_map.mean((1, 2)), "map_over_space"),
  ):
    error = np.linalg.norm(got - case[name]) / np.linalg.norm(case[name])
    assert error < 1e-5, name


def test_it_has_the_published_number_of_parameters():
  learned = [
    np.prod(shape) for name, shape in _shapes().items() if "moving" not in name
  ]
  assert sum(learned) == 25_557_032


def _by_hand(params, x, stride):
  """A bottleneck as sums over shifted pictures, in float64."""

  def conv(name, x, stride=1):
    kernel = np.float64(params[name]["kernel"])
    size = kernel.shape[0]
    pad = (size - 1) // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    out = sum(
      x[:, i : i + height, j : j + width] @ kernel[i, j]
      for i in range(size)
      for j in range(size)
    )
    return out[:, ::stride, ::stride]

  def norm(name, x):
    p = {key: np.float64(value) for key, value in params[name].items()}
    centred = (x - p["moving_mean"]) / np.sqrt(p["moving_variance"] + 1e-5)
    return centred * p["scale"] + p["bias"]

  y = np.maximum(norm("bn1", conv("conv1", x)), 0)
  y = np.maximum(norm("bn2", conv("conv2", y, stride)), 0)
  y = norm("bn3", conv("conv3", y))
  if "downsample.0" in params:
    x = norm("downsample.1", conv("downsample.0", x, stride))
  return np.maximum(x + y, 0)


@pytest.mark.parametrize(
  ("channels", "stride"), [(8, 1), (6, 1), (8, 2)], ids=str
)
def test_a_block_equals_its_definition(channels, stride):
  block = resnet.Bottleneck(2, stride)
  x = recipe.array("x", (2, 6, 8, channels))
  tree = jax.eval_shape(block.init, jax.random.key(0), x)["params"]
  flat = flatten_dict(tree, sep="/")
  params = recipe.params({name: leaf.shape for name, leaf in flat.items()})
  got = block.apply({"params": params}, jnp.asarray(x))
  # Some tens of float32 roundings of values of order 1.
  expected = _by_hand(params, np.float64(x), stride)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_arrays_are_turned_to_our_layout():
  arrays = _state_dict()
  rng = np.random.default_rng(0)
  kernel = rng.random((64, 3, 7, 7), np.float32)
  dense = rng.random((1000, 2048), np.float32)
  arrays |= {"conv1.weight": kernel, "fc.weight": dense}
  params = resnet_weights.from_torchvision(arrays, "file")
  got = params["conv1"]["kernel"]
  assert got.shape == (7, 7, 3, 64)
  assert got[1, 2, 0, 5] == kernel[5, 0, 1, 2]
  assert params["fc"]["kernel"][7, 9] == dense[9, 7]
  flat = flatten_dict(params, sep="/")
  assert {name: value.shape for name, value in flat.items()} == _shapes()


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_of_both_types_are_read(suffix, tmp_path, caplog):
  path = tmp_path / f"weights{suffix}"
  arrays = {key: np.array(value) for key, value in _state_dict().items()}
  arrays["fc.bias"] = np.arange(1000, dtype=np.float16)
  if suffix == ".npz":
    np.savez_compressed(path, **arrays)
  else:
    safetensors.numpy.save_file(arrays, path)
  with caplog.at_level("INFO"):
    params = resnet_weights.load_resnet50(str(path))
  np.testing.assert_array_equal(params["fc"]["bias"], np.arange(1000))
  assert params["fc"]["bias"].dtype == np.float32
  assert "SHA-256" in caplog.text


def _change(arrays, problem):
  if problem == "missing":
    del arrays["layer4.2.bn3.running_var"]
  elif problem == "unexpected":
    arrays["layer3.6.conv1.weight"] = np.zeros(3)
  elif problem == "mis-shaped":
    arrays["fc.weight"] = np.zeros((10, 2048), np.float32)
  elif problem == "broken":
    arrays["fc.bias"] = np.full(1000, np.nan, np.float32)
  return arrays


@pytest.mark.parametrize(
  ("problem", "message"),
  [
    ("missing", r"it lacks layer4\.2\.bn3\.running_var\."),
    ("unexpected", r"it has unexpected layer3\.6\.conv1\.weight\."),
    ("mis-shaped", r"has mis-shaped fc\.weight \(shape \(10, 2048\)\)"),
    ("broken", r"has NaN or infinite values in fc\.bias\."),
  ],
)
def test_other_arrays_are_an_error_that_names_them(problem, message):
  arrays = _change(_state_dict(), problem)
  with pytest.raises(UserError, match=message) as error:
    resnet_weights.from_torchvision(arrays, "some/file.npz")
  assert str(error.value).startswith("some/file.npz ")


def test_a_long_list_of_keys_is_cut():
  with pytest.raises(UserError, match=r"lacks bn1\.bias, .* and 262 more\."):
    resnet_weights.from_torchvision({"fc.bias": np.zeros(1000)}, "file")


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("gone.npz", None, "no such file"),
    ("cut.npz", b"PK\x03\x04 and no more", "cannot be read .* cut short"),
    ("empty.npz", b"", "cannot be read"),
    ("cut.safetensors", b"\xff\x00\x00\x00\x00\x00\x00\x00{", "cannot be read"),
    ("empty.safetensors", b"", "cannot be read"),
    ("net.pth", b"", "pickle file.*weights_only=True.*'net.safetensors'"),
    ("net.h5", b"", r"from \.safetensors or \.npz files, not '\.h5'"),
  ],
)
def test_an_unusable_file_is_an_error_that_names_it(
  name, content, message, tmp_path
):
  path = tmp_path / name
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(UserError, match=message) as error:
    resnet_weights.load_resnet50(str(path))
  assert str(path) in str(error.value)


class _Trap:
  """Makes a file where it is unpickled."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return open, (self._path, "w")


def test_pickled_arrays_inside_npz_are_refused(tmp_path):
  path, made = tmp_path / "pickled.npz", tmp_path / "made"
  np.savez(path, a=np.array([_Trap(str(made))], dtype=object))
  with pytest.raises(UserError, match=str(path)):
    resnet_weights.load_resnet50(str(path))
  assert not made.exists()
