"""Readers of trained networks, of checkpoints of others, and of tokens."""

import contextlib
import functools
import json
import pathlib

import numpy as np

from tests.torture.readers import data_sets, pictures


@functools.cache
def _pretrained() -> dict[str, bytes]:
  """What `save_pretrained` writes of a tiny tokenizer and transformer."""
  import tempfile

  import jax
  import jax.numpy as jnp
  from small_networks import MASKGVT, TRANSFORMER, VQVAE

  from data_gen.rendering import cameras
  from magvit3d.config.run import RunConfig
  from magvit3d.inference import trained
  from magvit3d.pretrained import files

  given = {
    "seed": 0,
    "dtype": "float32",
    "vqvae": VQVAE,
    "transformer": TRANSFORMER,
    "tasks": {
      "full_generation": {"weight": 1.0, "class_conditional": True},
      "frame_prediction": {"weight": 1.0, "cond_frames": 2},
    },
    "maskgvt": MASKGVT,
  }
  config = RunConfig.from_dict(json.loads(json.dumps(given)))
  names, frames, size = ("cube", "cone"), 4, 8
  model = trained.make_model(config, names, frames, size, 3)
  rng = np.random.default_rng(0)
  tokenizer, transformer = (
    jax.tree.map(
      lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), tree
    )
    for tree in (
      trained.tokenizer_shapes(model, frames, size),
      trained.transformer_shapes(model),
    )
  )
  networks = trained.TrainedNetworks(
    config,
    names,
    frames,
    size,
    1,
    3,
    {"tokenizer": 3, "transformer": 4},
    tokenizer,
    transformer,
    cameras.make_default_rig(size),
    None,
  )
  with tempfile.TemporaryDirectory() as folder:
    files.save(networks, pathlib.Path(folder))
    return {p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir()}


def _weights_name():
  return next(name for name in _pretrained() if name.startswith("model"))


def prepare_pretrained(kind):
  def prepare(folder):
    data_sets.put_files(_pretrained(), folder)
    _trace_once()
    return [
      _pretrained()["config.json" if kind == "config" else _weights_name()]
    ]

  return prepare


@functools.cache
def _trace_once() -> None:
  """Tracing takes most of the time, and is the same for the same networks."""
  from magvit3d.pretrained import files

  trace, found = files.network_shapes, {}

  def traced(config, *rest):
    *sizes, leaves = rest
    key = json.dumps([config.given, sizes, sorted(leaves.items())])
    if key not in found:
      found[key] = trace(config, *rest)
    return found[key]

  files.network_shapes = traced


def seal_pretrained(data):
  from magvit3d.checkpoints import identity

  with contextlib.suppress(Exception):
    content = json.loads(data)
    content.pop("sha256", None)
    return json.dumps(content | {"sha256": identity.key_of(content)}).encode()
  return data


def read_pretrained(kind):
  def read(folder, data):
    import jax

    from magvit3d.parallel import sharding
    from magvit3d.pretrained import files

    name = "config.json" if kind == "config" else _weights_name()
    (folder / name).write_bytes(data)
    place = sharding.replicated(sharding.make_mesh())
    found = files.load(folder, place)
    return jax.tree.map(
      np.asarray, (found.tokenizer_params, found.transformer_params)
    )

  return read


def prepare_msgpack(folder):
  import upstream_samples

  paths = []
  for name, state in upstream_samples.tokenizer_states().items():
    paths.append(upstream_samples.write_file(folder / name / "c", state))
  return [path.read_bytes() for path in paths]


def read_msgpack(folder, data):
  from magvit3d.upstream import checkpoint

  (folder / "checkpoint_12").write_bytes(data)
  checkpoint.load(folder / "checkpoint_12")


def prepare_orbax(which):
  def prepare(folder):
    import upstream_samples

    state = {"params": {"encoder": {"a": np.arange(6.0, dtype=np.float32)}}}
    if not (folder / "c").exists():
      upstream_samples.write_orbax(folder / "c", state, use_ocdbt=False)
    path = next(p for p in sorted((folder / "c").rglob(which)) if p.is_file())
    (folder / "which").write_text(str(path))
    return [path.read_bytes()]

  return prepare


def read_orbax(folder, data):
  from magvit3d.upstream import checkpoint

  pathlib.Path((folder / "which").read_text()).write_bytes(data)
  checkpoint.load(folder / "c")


def prepare_tfds(folder):
  from data_gen.records import examples, shards

  home = folder / "ucf101/ucf101_1/1.0.0"
  home.mkdir(parents=True)
  record = examples.encode_example(
    {"video": [pictures.make_picture(format="PNG")] * 2, "label": np.array([1])}
  )
  shards.write_shard(home / "ucf101-train.tfrecord-00000-of-00001", [record])
  (home / "label.labels.txt").write_text("a\nb\n")
  info = {
    "name": "ucf101",
    "fileFormat": "tfrecord",
    "splits": [
      {
        "name": "train",
        "shardLengths": ["1"],
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
      },
      {"name": "test", "shardLengths": []},
    ],
  }
  return [json.dumps(info).encode()]


def read_tfds(folder, data):
  from magvit3d.data.videos.tfds_videos import Ucf101

  (folder / "ucf101/ucf101_1/1.0.0/dataset_info.json").write_bytes(data)
  _read_ucf101(Ucf101(str(folder), "train"))


def _read_ucf101(videos):
  for number in range(min(len(videos), 2)):
    video = videos.open(number)
    for image in video.frames(np.arange(min(video.num_frames, 4))):
      assert image.mode == "RGB"


def prepare_tfds_record(folder):
  from data_gen.records import examples

  _prepare_tfds_info(folder)
  return [
    examples.encode_example(
      {
        "video": [pictures.make_picture(format=kind)] * 2,
        "label": np.array([1]),
      }
    )
    for kind in ("PNG", "JPEG")
  ]


def _prepare_tfds_info(folder):
  info = prepare_tfds(folder)[0]
  (folder / "ucf101/ucf101_1/1.0.0/dataset_info.json").write_bytes(info)


def read_tfds_record(folder, data):
  from data_gen.records import shards
  from magvit3d.data.videos.tfds_videos import Ucf101

  path = folder / "ucf101/ucf101_1/1.0.0/ucf101-train.tfrecord-00000-of-00001"
  path.unlink(missing_ok=True)
  shards.write_shard(path, [data])
  _read_ucf101(Ucf101(str(folder), "train"))


def prepare_tokens(folder):
  from data_gen.records import shards
  from data_gen.records.records import encode_scene
  from magvit3d.data import token_records

  features = token_records.make_features((2, 2, 2), 1, 300)
  clip = {
    "tokens": np.arange(8).reshape(2, 2, 2),
    "cond_tokens": np.arange(8).reshape(1, 2, 2, 2),
    "label": 1,
    "scene": 0,
    "camera": 2,
    "intrinsics": np.eye(3),
    "camera_from_world": np.eye(4)[:3],
  }
  path = folder / "tokens-00000-of-00001.tfrecord"
  shards.write_shard(path, [encode_scene(clip, features)] * 2)
  manifest = {
    "schema_version": token_records.SCHEMA_VERSION,
    "key": "k",
    "tokenizer": "t",
    "num_clips": 2,
    "clips_per_shard": 2,
    "features": {key: f.to_json() for key, f in features.items()},
    "shards": [
      {
        "name": path.name,
        "num_clips": 2,
        "bytes": path.stat().st_size,
        "sha256": shards.sha256(path),
      }
    ],
  }
  return [json.dumps(manifest).encode()]


def read_tokens(folder, data):
  from magvit3d.data.token_records import TokenSource

  (folder / "manifest.json").write_bytes(data)
  source = TokenSource(folder, "k")
  assert len(source) == 2, "taken as complete"
  return [source.with_camera(i) for i in range(len(source))]
