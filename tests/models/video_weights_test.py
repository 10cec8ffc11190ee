"""Tests of reading the weights of I3D and C3D."""

import hashlib
import json
import tracemalloc

import chex
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from magvit3d.errors import UserError
from magvit3d.models.published import video_weights, weight_files
from magvit3d.models.published.c3d import C3D
from magvit3d.models.published.i3d import I3D

_LOADERS = {"i3d": video_weights.load_i3d, "c3d": video_weights.load_c3d}
_SHAPES = {
  "i3d": weight_files.parameter_shapes(I3D(), (1, 9, 32, 32, 3)),
  "c3d": weight_files.parameter_shapes(C3D(), (1, 16, 32, 32, 3)),
}


def _zeros(network):
  """A file's arrays, which take no memory."""
  return {
    "/".join(leaf): np.broadcast_to(np.float32(0), shape)
    for leaf, shape in _SHAPES[network].items()
  }


@pytest.fixture
def given_arrays(monkeypatch):
  """Lets the loaders find arrays without a file of 50 MB or more."""

  def give(arrays):
    monkeypatch.setattr(
      weight_files,
      "read",
      lambda path, network: weight_files.WeightFile(path, arrays, "0" * 64),
    )

  return give


@pytest.mark.parametrize("network", ["i3d", "c3d"])
def test_parameters_are_taken_by_name(network, given_arrays):
  arrays = _zeros(network)
  rng = np.random.default_rng(0)
  drawn = {
    name: rng.standard_normal(array.shape).astype(np.float16)
    for name, array in arrays.items()
    if array.size < 100_000
  }
  given_arrays(arrays | drawn)
  params, file = _LOADERS[network]("w.npz")
  assert file.path == "w.npz"
  flat = flatten_dict(params, sep="/")
  assert flat.keys() == arrays.keys() and len(drawn) > 10
  for name, array in drawn.items():
    assert flat[name].dtype == np.float32
    np.testing.assert_array_equal(flat[name], array)


def _tensorflow_names():
  """Arrays under TensorFlow's names, and ours, of some variables."""
  scope = "RGB/inception_i3d"
  block = "Mixed_4c/Branch_1/Conv3d_0b_3x3"
  ours = "Mixed_4c/Branch_1.Conv3d_0b_3x3"
  return {
    f"{scope}/Conv3d_1a_7x7/conv_3d/w": "Conv3d_1a_7x7/conv_3d/kernel",
    f"{scope}/{block}/conv_3d/w": f"{ours}/conv_3d/kernel",
    f"{scope}/{block}/batch_norm/beta": f"{ours}/batch_norm/beta",
    f"{scope}/{block}/batch_norm/moving_mean": f"{ours}/batch_norm/moving_mean",
    f"{scope}/Logits/Conv3d_0c_1x1/conv_3d/b": (
      "Logits.Conv3d_0c_1x1/conv_3d/bias"
    ),
  }


@pytest.mark.parametrize("end", ["", ":0"])
def test_i3d_is_read_under_tensorflows_names(end, given_arrays):
  renamed = {"kernel": "w", "bias": "b"}
  rng, arrays, expected = np.random.default_rng(0), {}, {}
  for name, zeros in _zeros("i3d").items():
    *modules, leaf = name.split("/")
    scope = "/".join(modules).replace(".", "/")
    key = f"RGB/inception_i3d/{scope}/{renamed.get(leaf, leaf)}{end}"
    expected[name] = zeros
    if zeros.ndim == 1:
      expected[name] = rng.random(zeros.shape, np.float32)
    arrays[key] = expected[name]
    if "batch_norm" in name:  # As Sonnet stores it.
      arrays[key] = expected[name].reshape(1, 1, 1, 1, -1)
  for theirs, ours in _tensorflow_names().items():
    assert f"{theirs}{end}" in arrays and ours in expected
  given_arrays(arrays)
  params, _ = video_weights.load_i3d("w.npz")
  flat = flatten_dict(params, sep="/")
  assert flat.keys() == expected.keys()
  chex.assert_trees_all_equal(flat, expected)


def _change(arrays, problem, name):
  if problem == "missing":
    del arrays[name]
  elif problem == "unexpected":
    arrays["Logits/more"] = np.zeros(3)
  elif problem == "mis-shaped":
    arrays[name] = np.zeros((1, *arrays[name].shape), np.float32)
  elif problem == "broken":
    arrays[name] = np.full(arrays[name].shape, np.inf, np.float32)
  elif problem == "text":
    arrays[name] = np.full(arrays[name].shape, "0.5")
  return arrays


@pytest.mark.parametrize(
  ("network", "name"),
  [
    ("i3d", "Mixed_5c/Branch_3.Conv3d_0b_1x1/batch_norm/moving_variance"),
    ("c3d", "fc8/bias"),
  ],
)
@pytest.mark.parametrize(
  ("problem", "message"),
  [
    ("missing", "lacks {name}"),
    ("unexpected", "has unexpected Logits/more"),
    ("mis-shaped", "has mis-shaped {name} (shape (1, "),
    ("broken", "has NaN or infinite values in {name}"),
    ("text", "has no numbers in {name}"),
  ],
)
def test_other_arrays_are_an_error_that_names_them(
  network, name, problem, message, given_arrays
):
  given_arrays(_change(_zeros(network), problem, name))
  with pytest.raises(UserError) as error:
    _LOADERS[network]("some/file.npz")
  assert str(error.value).startswith("some/file.npz ")
  assert message.format(name=name) in str(error.value)


@pytest.mark.parametrize("network", ["i3d", "c3d"])
@pytest.mark.parametrize(
  ("file", "message"),
  [
    ("gone.npz", "there is no such file of {network} weights"),
    ("net.pt", "pickle file, which could run any program"),
    ("net.h5", "read from .safetensors or .npz files"),
  ],
)
def test_unusable_files_are_an_error(network, file, message, tmp_path):
  path = tmp_path / file
  with pytest.raises(UserError) as error:
    _LOADERS[network](str(path))
  assert message.format(network=network.upper()) in str(error.value)


def test_the_checksum_is_the_files(tmp_path):
  path = tmp_path / "w.safetensors"
  safetensors.numpy.save_file({"a": np.arange(3)}, path)
  found = weight_files.read(str(path), "any")
  assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
  np.testing.assert_array_equal(found.arrays["a"], np.arange(3))


def test_bfloat16_is_read(tmp_path):
  path = tmp_path / "w.safetensors"
  values = np.array([1.5, -2], ml_dtypes.bfloat16)
  safetensors.numpy.save_file({"a": values}, path)
  found = weight_files.read(str(path), "any")
  params = weight_files.fill(
    {("a",): (2,)},
    found.arrays,
    {("a",): "a"},
    path="w",
    network="any",
    advice="",
  )
  assert params["a"].dtype == np.float32
  np.testing.assert_array_equal(params["a"], [1.5, -2])


def test_a_file_far_larger_than_any_network_is_not_read(tmp_path):
  path = tmp_path / "w.safetensors"
  size = 2**36
  leaf = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
  header = json.dumps({"a": leaf}).encode()
  with path.open("wb") as file:
    file.write(len(header).to_bytes(8, "little") + header)
    file.truncate(8 + len(header) + size)
  with pytest.raises(UserError, match=r"w\.safetensors .* more than 4 GiB"):
    video_weights.load_i3d(str(path))


def test_an_array_of_another_size_is_not_unpacked(tmp_path):
  path = tmp_path / "w.npz"
  np.savez_compressed(path, a=np.zeros(2**26, np.uint8))
  file = weight_files.read(str(path), "a network")
  tracemalloc.start()
  with pytest.raises(UserError, match=r"a \(shape \(67108864,\)\)"):
    weight_files.fill(
      {("a",): (3,)},
      file.arrays,
      {("a",): "a"},
      path="w.npz",
      network="a network",
      advice="Take another.",
    )
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 2**22
