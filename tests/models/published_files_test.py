"""Files in circulation are read under the very names that they have."""

import re
import zipfile

import chex
import jax
import jax.numpy as jnp
import numpy as np
import published_weights
import pytest
import safetensors.numpy
import small_weights
from flax.traverse_util import flatten_dict

from configs import maskgit_imagenet256_tokenizer
from magvit3d.config.networks import TokenizerConfig
from magvit3d.errors import UserError
from magvit3d.models.published import lpips_weights, video_weights, weight_files
from magvit3d.models.tokenizer import Tokenizer


def _save(folder, arrays, name="weights.npz"):
  path = folder / name
  if path.suffix == ".npz":
    np.savez(path, **arrays)
  else:
    safetensors.numpy.save_file(
      {k: np.ascontiguousarray(v) for k, v in arrays.items()}, path
    )
  return str(path)


@pytest.fixture(scope="module")
def i3d_params(tmp_path_factory):
  arrays = published_weights.i3d("tensorflow")
  assert len(arrays) == 230
  path = _save(tmp_path_factory.mktemp("i3d"), arrays)
  return video_weights.load_i3d(path)[0]


def test_the_published_tensorflow_checkpoint_is_read(i3d_params):
  arrays = published_weights.i3d("tensorflow")
  unit = i3d_params["Mixed_5b"]["Branch_2.Conv3d_0b_3x3"]
  scope = "RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3"
  np.testing.assert_array_equal(
    unit["conv_3d"]["kernel"], arrays[f"{scope}/conv_3d/w"]
  )
  np.testing.assert_array_equal(
    unit["batch_norm"]["beta"], arrays[f"{scope}/batch_norm/beta"].ravel()
  )


@pytest.mark.variants
@pytest.mark.parametrize("prefix", ["", "module.", "i3d.model."])
@pytest.mark.parametrize("file", ["piergiaj", "hassony"])
def test_conversions_to_pytorch_are_the_same_network(
  file, prefix, i3d_params, tmp_path
):
  arrays = published_weights.i3d(file)
  path = _save(tmp_path, {prefix + k: v for k, v in arrays.items()})
  chex.assert_trees_all_equal(video_weights.load_i3d(path)[0], i3d_params)


def test_a_network_that_was_trained_further_is_refused(tmp_path):
  arrays = published_weights.i3d("piergiaj")
  arrays["Mixed_4c.b1b.bn.weight"] = np.full(224, 1.5, "f4")
  with pytest.raises(UserError, match=r"scales other than 1 in Mixed_4c\.b1b"):
    video_weights.load_i3d(_save(tmp_path, arrays))


def test_a_missing_array_is_called_as_in_the_file(tmp_path):
  arrays = published_weights.i3d("hassony")
  del arrays["mixed_3b.branch_3.1.conv3d.weight"]
  with pytest.raises(UserError, match=r"lacks mixed_3b\.branch_3\.1\.conv3d"):
    video_weights.load_i3d(_save(tmp_path, arrays))


def _c3d(make_name):
  arrays = published_weights.c3d_chainer()
  arrays["conv1a/W"][5, 2, 0, 1, 2] = 1
  arrays["conv2a/b"][7] = 3
  arrays["fc6/W"][8, 90] = 2
  mean = published_weights.c3d_mean()
  mean[0, 3, 8 + 5, 8 + 7] = 9
  return {make_name(key): v for key, v in arrays.items()} | {"mean": mean}


def _pytorch_name(key):
  layer, leaf = key.split("/")
  layer = {"conv1a": "conv1", "conv2a": "conv2"}.get(layer, layer)
  return f"{layer}.{'weight' if leaf == 'W' else 'bias'}"


@pytest.mark.parametrize("make_name", [str, _pytorch_name])
def test_chainers_c3d_and_pytorchs_names_are_read(make_name, tmp_path):
  path = _save(tmp_path, _c3d(make_name))
  params, _ = video_weights.load_c3d(path)
  assert params["conv1a"]["kernel"][0, 1, 2, 2, 5] == 1
  assert params["conv2a"]["bias"][7] == 3
  assert params["fc6"]["kernel"][90, 8] == 2
  assert params["x_offset"][3, 5, 7, 0] == -9


def test_c3d_without_its_mean_or_of_sports_is_refused(tmp_path):
  arrays = _c3d(str)
  mean = arrays.pop("mean")
  with pytest.raises(UserError, match=r"lacks x_offset.*video_metrics\.md"):
    video_weights.load_c3d(_save(tmp_path, arrays))
  sports = {"fc8/W": np.zeros((487, 4096), "f2"), "fc8/b": np.zeros(487, "f2")}
  path = _save(tmp_path, arrays | sports | {"mean": mean})
  with pytest.raises(UserError, match="Sports-1M alone, of 487"):
    video_weights.load_c3d(path)


@pytest.mark.parametrize("backbone", ["vgg16", "alexnet"])
def test_the_state_of_the_package_lpips_is_one_file(backbone, tmp_path):
  features = small_weights.features(backbone)
  heads = small_weights.heads(backbone)
  wanted = lpips_weights.load_lpips([_save(tmp_path, features | heads)])
  arrays = published_weights.lpips_package(features, heads, backbone)
  for prefix in ("", "loss_fn."):
    named = {
      prefix + key if key.startswith("net.") else key: value
      for key, value in arrays.items()
    }
    found = lpips_weights.load_lpips([_save(tmp_path, named)])
    assert found[0] == backbone
    chex.assert_trees_all_equal(found[1], wanted[1])


def test_timms_file_of_vgg16_is_a_backbone(tmp_path):
  features = small_weights.features("vgg16")
  timm = _save(
    tmp_path,
    features | published_weights.timm_classifier(),
    "model.safetensors",
  )
  heads = _save(tmp_path, small_weights.heads("vgg16"), "vgg.npz")
  assert lpips_weights.load_lpips([timm, heads])[0] == "vgg16"


def test_maskgits_config_has_the_names_of_its_file():
  config = maskgit_imagenet256_tokenizer.get_config().to_dict()
  network = Tokenizer.from_config(TokenizerConfig(**config["vqvae"]))
  clips = jax.ShapeDtypeStruct((1, 1, 256, 256, 3), jnp.float32)
  tree = jax.eval_shape(network.init, jax.random.key(0), clips)["params"]
  flat = {k: leaf.shape for k, leaf in flatten_dict(tree, sep="/").items()}
  assert set(flat) == published_weights.maskgit_tokenizer_names()
  assert flat["quantizer/codebook"] == (1024, 256)
  assert flat["encoder/ResBlock_8/Conv_2/kernel"] == (1, 1, 512, 512)
  assert flat["decoder/Conv_5/kernel"] == (3, 3, 128, 3)


def _archive(path, members):
  with zipfile.ZipFile(path, "w") as archive:
    for name in members:
      archive.writestr(name, b"")
  return str(path)


@pytest.mark.parametrize(
  ("name", "members"),
  [
    ("i3d_torchscript.pt", None),
    ("i3d_torchscript.pt", ["i3d/data.pkl", "i3d/code/__torch__.py"]),
    ("detector.pt", ["detector/code/__torch__/torch/nn.py", "detector/data/0"]),
  ],
)
def test_torchscript_has_advice_of_its_own(name, members, tmp_path):
  path = str(tmp_path / name)
  if members:
    path = _archive(path, members)
  with pytest.raises(UserError) as caught:
    weight_files.read(path, "I3D")
  assert "torch.jit.load" in str(caught.value)
  assert "weights_only" not in str(caught.value)


def test_a_state_dict_has_the_advice_of_pickles(tmp_path):
  path = _archive(tmp_path / "a.pt", ["a/data.pkl", "a/data/0", "a/version"])
  with pytest.raises(UserError, match=r"pickle file.*weights_only=True"):
    weight_files.read(path, "I3D")


def test_the_advice_is_a_program(tmp_path):
  """It was run with PyTorch 2.13 on files of both kinds, and on nested ones."""
  for name in ("a.pth", "a_torchscript.pt"):
    with pytest.raises(UserError) as caught:
      weight_files.read(str(tmp_path / name), "I3D")
    (program,) = re.findall(r'python -c "(.*)"$', str(caught.value))
    compile(program, "advice", "exec")
