"""The commands and programs of docs/video_metrics.md."""

import importlib
import json
import pathlib
import re
import shlex
import sys
import types

import numpy as np
import published_weights
import pytest
import safetensors.numpy
import shrunk
import small_metric_networks
import small_weights

from magvit3d.evaluation.published.frechet_distance import frechet_distance
from magvit3d.models.published import lpips_weights, video_weights, weight_files
from magvit3d.models.published.c3d import C3D
from magvit3d.models.published.i3d import I3D

_TEXT = (shrunk.ROOT / "docs" / "video_metrics.md").read_text()


def _blocks():
  return re.findall(r"```(python|sh)\n(.*?)```", _TEXT, re.S)


def _program(word):
  (found,) = [text for language, text in _blocks() if word in text]
  return found


def _run(text):
  for line in text.replace("\\\n", "").strip().splitlines():
    _, _, module, *arguments = shlex.split(line)
    assert importlib.import_module(module).main(arguments) == 0


@pytest.fixture
def clips(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  rng = np.random.default_rng(0)
  clips = rng.integers(0, 256, (2, 4, 16, 32, 32, 3), np.uint8)
  (tmp_path / "predicted").mkdir()
  np.savez("predicted/clips.npz", real=clips[0], clips=clips[1])
  return clips


@pytest.mark.slow
def test_clips_are_scored_as_the_document_says(clips, monkeypatch, capsys):
  small_metric_networks.install(monkeypatch)
  weights = small_metric_networks.write_weights(pathlib.Path())
  exec(_program("Image.fromarray"), {})
  # The commands' names of files.
  pathlib.Path(weights["i3d_weights"]).rename("i3d.npz")
  with np.load(weights["c3d_weights"]) as arrays:
    safetensors.numpy.save_file(dict(arrays), "c3d.safetensors")
  np.savez("vgg16.npz", **small_weights.features("alexnet"))
  np.savez("lpips_heads.npz", **small_weights.heads("alexnet"))
  pathlib.Path("videos").mkdir()
  pathlib.Path("videos/test").symlink_to("../pictures/real")
  pathlib.Path("samples").symlink_to("pictures/clips")
  commands = [text for language, text in _blocks() if language == "sh"]
  assert len(commands) == 2
  for text in commands:
    _run(text)
  names = {}
  exec(_program("score_clips"), names)
  found = [
    json.loads(pathlib.Path(name).read_text())["metrics"]
    for name in ("video_metrics.json", "more_metrics.json")
  ]
  assert [list(metrics) for metrics in found] == [
    ["fvd_i3d_k400"],
    ["inception_score_c3d_ucf101", "lpips_alexnet"],
  ]
  for metrics in found:
    for name, entry in metrics.items():
      assert name.split("_alexnet")[0] in _TEXT
      for key in entry:
        assert f"`{key}`" in _TEXT
  for entry in names["entries"]:
    metrics = found[0] | found[1]
    assert metrics[entry.metric]["value"] == pytest.approx(
      entry.value, rel=1e-4
    )


def _write_checkpoint(path, arrays):
  import tensorflow as tf

  path.parent.mkdir()
  tf.raw_ops.SaveV2(
    prefix=str(path),
    tensor_names=list(arrays),
    shape_and_slices=[""] * len(arrays),
    tensors=[np.ascontiguousarray(array) for array in arrays.values()],
  )


@pytest.mark.slow
def test_i3d_is_converted_from_a_tensorflow_checkpoint(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shapes = weight_files.parameter_shapes(I3D(), (1, 9, 32, 32, 3))
  arrays = {"global_step": np.zeros((), np.int64)}
  for leaf, shape in shapes.items():
    scope = "/".join(leaf[:-1]).replace(".", "/")
    name = {"kernel": "w", "bias": "b"}.get(leaf[-1], leaf[-1])
    is_norm = leaf[-2] == "batch_norm"
    arrays[f"RGB/inception_i3d/{scope}/{name}"] = np.zeros(
      (1, 1, 1, 1, *shape) if is_norm else shape, np.float32
    )
  bias = np.arange(400, dtype=np.float32)
  arrays["RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/b"] = bias
  _write_checkpoint(tmp_path / "i3d" / "model.ckpt", arrays)
  exec(_program("load_checkpoint"), {})
  params, _ = video_weights.load_i3d("i3d.npz")
  np.testing.assert_array_equal(
    params["Logits.Conv3d_0c_1x1"]["conv_3d"]["bias"], bias
  )


def test_c3d_is_converted_from_other_layouts(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shapes = weight_files.parameter_shapes(C3D(), (1, 16, 32, 32, 3))
  mean = np.zeros((3, 16, 112, 112), np.float32)
  mean[0, 3, 5, 7] = 9
  stored = {"mean": mean}
  for leaf, shape in shapes.items():
    if leaf[-1] == "kernel":
      order = (4, 3, 0, 1, 2) if len(shape) == 5 else (1, 0)
      stored[f"{leaf[0]}.weight"] = np.zeros([shape[i] for i in order], "f2")
    elif leaf[-1] == "bias":
      stored[f"{leaf[0]}.bias"] = np.zeros(shape, "f2")
  stored["conv1a.weight"][5, 2, 0, 1, 2] = 1
  stored["fc6.weight"][8, 90] = 2
  np.savez("c3d_weights_as_stored.npz", **stored)
  exec(_program("c3d_weights_as_stored"), {})
  params, _ = video_weights.load_c3d("c3d.npz")
  assert params["conv1a"]["kernel"][0, 1, 2, 2, 5] == 1
  assert params["fc6"]["kernel"][90, 8] == 2
  assert params["x_offset"][3, 5, 7, 0] == -9


def test_c3d_is_converted_from_chainer(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  np.savez("conv3d_deepnetA_ucf.npz", **published_weights.c3d_chainer())
  mean = published_weights.c3d_mean()
  mean[2, 15, 8, 8] = 4
  np.savez("mean2.npz", mean=mean)
  exec(_program("mean2.npz"), {})
  params, _ = video_weights.load_c3d("c3d.npz")
  assert params["x_offset"][15, 0, 0, 2] == -4


def test_lpips_is_converted_from_pytorch(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  states = {
    "vgg16.pth": small_weights.features("vgg16"),
    "lpips_heads.pth": small_weights.heads("vgg16"),
  }

  def load(name, weights_only, map_location):
    assert weights_only and map_location == "cpu"
    return {
      key: types.SimpleNamespace(numpy=lambda value=value: value)
      for key, value in states[name].items()
    }

  # PyTorch itself is not installed for the tests.
  monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
  exec(_program("import torch"), {})
  backbone, _, files = lpips_weights.load_lpips(
    ["vgg16.npz", "lpips_heads.npz"]
  )
  assert backbone == "vgg16" and len(files) == 2


def test_the_measured_distances_are_right():
  """Of sets whose true distance is 0; one draw each."""
  rng = np.random.default_rng(0)
  for count, said in ((50, "588"), (2000, "40")):
    sets = rng.standard_normal((2, count, 400))
    value = frechet_distance(*sets).value
    assert f"{value:.0f}" == said and f" {said} with " in _TEXT
