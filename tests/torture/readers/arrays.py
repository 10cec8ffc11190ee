"""Readers of arrays and weights."""

import io

import numpy as np


def _npz(compress=True, **arrays):
  file = io.BytesIO()
  (np.savez_compressed if compress else np.savez)(file, **arrays)
  return file.getvalue()


def prepare_npz(folder):
  rng = np.random.default_rng(0)
  arrays = {
    "a": rng.integers(0, 9, (3, 4)),
    "b": np.asfortranarray(rng.normal(size=(2, 3)).astype(np.float32)),
    "names": np.array(["x", "longer"]),
  }
  return [_npz(**arrays), _npz(False, **arrays)]


def read_npz(folder, data):
  from data_gen.files import array_files

  (folder / "a.npz").write_bytes(data)
  arrays = array_files.open_npz(folder / "a.npz")
  array_files.check_size(arrays, 2**20)
  for array in arrays.values():
    np.asarray(array)


_SHAPES = {("conv", "kernel"): (3, 3, 2, 4), ("conv", "bias"): (4,)}


def _weights():
  rng = np.random.default_rng(0)
  return {
    "conv.weight": rng.normal(size=(4, 2, 3, 3)).astype(np.float32),
    "conv.bias": rng.normal(size=4).astype(np.float32),
  }


def prepare_weights(folder):
  import safetensors.numpy

  return [_npz(**_weights()), safetensors.numpy.save(_weights())]


def read_weights(folder, data):
  from magvit3d.models.published import weight_files

  is_archive = data[:1] == b"P"
  path = folder / ("w.npz" if is_archive else "w.safetensors")
  path.write_bytes(data)
  file = weight_files.read(str(path), "a network")
  weight_files.fill(
    _SHAPES,
    file.arrays,
    {leaf: weight_files.torch_key(leaf) for leaf in _SHAPES},
    path=file.path,
    network="a network",
    advice="Take another.",
    convert=weight_files.from_torch_layout,
  )


def prepare_scene_videos(folder):
  frames = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 4, 4, 3))
  arrays = {"scene_id": np.arange(2), "frames": frames.astype(np.uint8)}
  return [_npz(**arrays), _npz(False, **arrays)]


def read_scene_videos(folder, data):
  from magvit3d.evaluation.metres.videos import SceneVideos

  (folder / "v.npz").write_bytes(data)
  videos = SceneVideos(folder / "v.npz", "--videos")
  videos.check_shape((2, 2, 4, 4, 3))
  for clips in videos:
    assert clips.shape == (2, 2, 4, 4, 3)
