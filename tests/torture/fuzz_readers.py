"""The readers of outside files, each with sound files to begin with."""

import dataclasses
import functools
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from data_gen.errors import DataError


@dataclasses.dataclass(frozen=True)
class Reader:
  """One way in.

  Attributes:
    name: For people and corpus files.
    prepare: Puts sound files into a folder; returns the inputs to change.
    read: Reads an input in that folder, as a program would.
    errors: That are right.
    is_checked: Whether checksums leave no other value to accept.
    is_json: Whether inputs are JSON.
    seal: Makes checksums of an input right again.
  """

  name: str
  prepare: Callable[[pathlib.Path], list[bytes]]
  read: Callable[[pathlib.Path, bytes], Any]
  errors: tuple[type[Exception], ...] = ()
  is_checked: bool = False
  is_json: bool = False
  seal: Callable[[bytes], bytes] = lambda data: data


class Opened:
  """A reader with its folder.

  Attributes:
    samples: Sound inputs.
    sound: What they are read as, if nothing else may be.
  """

  def __init__(self, reader: Reader, folder: pathlib.Path):
    self.reader, self._folder = reader, folder
    folder.mkdir(parents=True, exist_ok=True)
    self.samples = reader.prepare(folder)
    values = [self.read(sample) for sample in self.samples]
    self.sound = values if reader.is_checked else None

  def read(self, data: bytes) -> Any:
    """Reads an input."""
    return self.reader.read(self._folder, data)


def open_reader(name: str, folder: pathlib.Path) -> Opened:
  """Prepares a reader in a folder."""
  return Opened(_READERS[name], folder)


def equal(found: Any, expected: Any) -> bool:
  """Whether values agree, to the bit."""
  if isinstance(expected, dict):
    return (
      isinstance(found, dict)
      and found.keys() == expected.keys()
      and all(equal(found[key], expected[key]) for key in expected)
    )
  if isinstance(expected, list | tuple):
    return len(found) == len(expected) and all(
      equal(a, b) for a, b in zip(found, expected, strict=True)
    )
  if isinstance(expected, np.ndarray):
    found = np.asarray(found)
    return (found.shape, found.dtype) == (expected.shape, expected.dtype) and (
      found.tobytes() == expected.tobytes()
    )
  return found == expected


# Data sets.

_SHARD = "traj3d-train.tfrecord-00000-of-00001"


@functools.cache
def _data_set(file_format: str = "tfrecord") -> dict[str, bytes]:
  """The files of a small data set, by name."""
  import tempfile

  import small_scenes

  with tempfile.TemporaryDirectory() as folder:
    from data_gen.generate import generate
    from data_gen.options import DatasetOptions

    options = DatasetOptions(
      output_dir=folder,
      num_train=2,
      num_validation=0,
      num_test=0,
      image_size=16,
      num_frames=4,
      size_min=5.0,
      size_max=6.0,
      num_workers=1,
      preview=0,
      file_format=file_format,
    )
    del small_scenes
    generate(options, log=lambda line: None)
    return {p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir()}


def _put(files: dict[str, bytes], folder: pathlib.Path) -> None:
  for name, data in files.items():
    (folder / name).write_bytes(data)


def _prepare_data(name, file_format="tfrecord"):
  def prepare(folder):
    _put(_data_set(file_format), folder)
    return [_data_set(file_format)[name]]

  return prepare


def _all_scenes(folder):
  from data_gen.scene_source import SceneSource

  source = SceneSource(folder, "train")
  return [source.scene(i) for i in range(len(source))]


def _read_data(name):
  def read(folder, data):
    (folder / name).write_bytes(data)
    return _all_scenes(folder)

  return read


def _read_manifest(folder, data):
  from data_gen import verify
  from data_gen.previews.data_set import DataSet
  from data_gen.previews.facts import describe_objects, describe_scene
  from magvit3d.run import data_manifest

  (folder / "manifest.json").write_bytes(data)
  data_manifest.describe(folder)
  verify.verify(folder, log=lambda line: None)
  data_set = DataSet(folder, "train")
  for number in range(min(len(data_set.source), 4)):
    scene = data_set.scene(number)
    describe_scene(data_set, scene, describe_objects(data_set, scene))
  data_set.source.clip(0, 0)
  data_set.source.views(0, [0], ["frames", "intrinsics"])


def _read_verify(name):
  def read(folder, data):
    from data_gen import verify

    (folder / name).write_bytes(data)
    verify.verify(folder, log=lambda line: None)
    return (folder / name).read_bytes()

  return read


def _records():
  import tempfile

  from data_gen.tfrecord import TFRecordSource

  with tempfile.TemporaryDirectory() as folder:
    _put(_data_set(), pathlib.Path(folder))
    source = TFRecordSource([pathlib.Path(folder) / _SHARD])
    return [source[i] for i in range(len(source))]


def _prepare_record(folder):
  _put(_data_set(), folder)
  return _records()


def _read_record(folder, data):
  """A record whose checks are right, in a data set whose manifest is."""
  from data_gen import shards
  from data_gen.scene_source import SceneSource

  path = folder / _SHARD
  path.unlink(missing_ok=True)
  shards.write_shard(path, [data])
  manifest = json.loads(_data_set()["manifest.json"])
  split = manifest["splits"]["train"]
  split["num_scenes"] = split["shards"][0]["num_scenes"] = 1
  split["shards"][0]["bytes"] = path.stat().st_size
  (folder / "manifest.json").write_text(json.dumps(manifest))
  source = SceneSource(folder, "train")
  source.clip(0, 1)
  source.views(0, [0, 2], ["frames", "masks", "camera_from_world"])
  return source.scene(0)


def _prepare_values(folder):
  import tempfile

  from data_gen.scene_source import SceneSource

  _put(_data_set(), folder)
  with tempfile.TemporaryDirectory() as other:
    _put(_data_set(), pathlib.Path(other))
    scene = SceneSource(other, "train").scene(0)
  return [
    json.dumps(
      {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in scene.items()
        if key not in ("frames", "masks")
      }
    ).encode()
  ]


def _read_values(folder, data):
  """A sound record whose numbers are others, and what is shown of it."""
  from data_gen import examples
  from data_gen.features import Feature
  from data_gen.previews import scene_page
  from data_gen.previews.data_set import DataSet

  try:
    given = json.loads(data)
  except (ValueError, RecursionError):
    given = {}
  features = json.loads(_data_set()["manifest.json"])["features"]
  encoded = examples.decode_example(_records()[0])
  encoded = {k: v if isinstance(v, np.ndarray) else [*map(bytes, v)]
             for k, v in encoded.items()}  # fmt: skip
  for key, content in features.items():
    feature = Feature.from_json(content)
    if feature.encoding != "numbers":
      continue
    try:
      values = np.array(given[key], feature.dtype)
    except (KeyError, TypeError, ValueError, OverflowError):
      continue  # No record has such.
    encoded[key] = values.reshape(-1)
  _read_record(folder, examples.encode_example(encoded))
  scene_page.make_page(DataSet(folder, "train"), 0)


def _read_example(folder, data):
  from data_gen import examples

  return examples.decode_example(data)


# JSON and text.


def _read_json(folder, data):
  from data_gen import json_files

  (folder / "a.json").write_bytes(data)
  value = json_files.read(folder / "a.json", Any)
  text = json.dumps(value, ensure_ascii=False).encode()
  assert json.dumps(json.loads(data.decode("utf-8-sig"))) == json.dumps(value)
  return text


def _prepare_json(folder):
  return [_data_set()["manifest.json"], _calibration(folder)]


def _calibration(folder):
  pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2.5]]
  intrinsics = [[20.0, 0, 8], [0, 20.0, 8], [0, 0, 1]]
  names = "abcd"
  for name in names:
    (folder / f"{name}.mp4").write_bytes(b"0")
  (folder / "t.csv").write_text("x,y,z\n1,2,3\n4,,6\n")
  cameras = [
    {
      "video": f"{name}.mp4",
      "intrinsics": intrinsics,
      "camera_from_world": pose,
      "first_frame": 1,
      "image_size": [16, 16],
      "distortion": [0, 0],
    }
    for name in names
  ]
  content = {
    "class_names": ["walk", "run"],
    "recordings": [
      {
        "name": "one",
        "split": "train",
        "class": "walk",
        "caption": "x",
        "cameras": cameras[:2],
        "track": [[0, 1, 2], None, [3, None, 4.5]],
      },
      {
        "name": "two",
        "split": "test",
        "class": "run",
        "cameras": cameras[2:],
        "track": "t.csv",
      },
    ],
  }
  return json.dumps(content).encode()


def _read_calibration(folder, data):
  from data_gen import calibration

  (folder / "c.json").write_bytes(data)
  calibration.read_calibration(folder / "c.json")


def _read_track(folder, data):
  from data_gen import tracks
  from data_gen.json_fields import JsonField

  (folder / "t.csv").write_bytes(data)
  tracks.read_track(JsonField("t.csv", "track", folder / "c.json"))


def _prepare_track(folder):
  return [
    b"x,y,z\n1,2,3\n4,,6\n",
    b"1,2,3\n1e3,-.5,nan\n",
    b"\xef\xbb\xbft,z,y,x\r\n0,1,2,3\r\n\r\n",
  ]


# Pictures and videos.


def _picture(size=(9, 7), mode="RGB", **options):
  rng = np.random.default_rng(0)
  depth = len(Image.new(mode, (1, 1)).getbands())
  pixels = rng.integers(0, 256, (size[1], size[0], depth), np.uint8).squeeze()
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(file, **options)
  return file.getvalue()


def _prepare_pictures(folder):
  return [
    _picture(format="PNG"),
    _picture(mode="RGBA", format="PNG"),
    _picture(mode="P", format="PNG"),
    _picture(format="JPEG"),
    _picture(size=(33, 40), format="JPEG", progressive=True),
    _picture(format="BMP"),
    _picture(format="TIFF"),
    _picture(format="TIFF", compression="tiff_lzw"),
    _picture(format="GIF"),
    _picture(format="WEBP"),
  ]


def _read_picture(folder, data):
  from data_gen import mask_files
  from magvit3d.data.videos.image_folder import ImageFile

  (folder / "a.png").write_bytes(data)
  for image in ImageFile(folder / "a.png", 0).frames(np.zeros(1, int)):
    assert np.asarray(image).ndim == 3
  for mask in mask_files.MaskFolder(folder).frames(np.zeros(1, int)):
    assert mask.ndim == 2


def _animation(suffix, count=5, **options):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
  images = [Image.fromarray(frame) for frame in frames]
  file = io.BytesIO()
  images[0].save(
    file,
    format=suffix,
    save_all=True,
    append_images=images[1:],
    duration=[40, 40, 80, 40, 100][:count],
    **options,
  )
  return file.getvalue()


def _read_animation(suffix):
  def read(folder, data):
    from magvit3d.media.animated_picture import AnimatedPicture

    path = folder / f"a{suffix}"
    path.write_bytes(data)
    video = AnimatedPicture(path)
    for image in video.frames(np.arange(min(video.num_frames, 50))):
      assert image.mode == "RGB"

  return read


def _read_png(folder, data):
  from data_gen import png

  png.decode_png(memoryview(data), np.zeros((7, 9, 3), np.uint8))


def _prepare_png(folder):
  from data_gen import png

  rng = np.random.default_rng(0)
  return [
    *png.encode_pngs(rng.integers(0, 256, (1, 7, 9, 3), np.uint8)),
    _picture(format="PNG"),
  ]


def _video(name):
  def prepare(folder):
    import coded_videos

    coded_videos.write_video(folder / name, 8)
    return [(folder / name).read_bytes()]

  return prepare


def _read_video(name):
  def read(folder, data):
    from data_gen import video_files

    path = folder / f"fuzzed{pathlib.Path(name).suffix}"
    path.write_bytes(data)
    video_files.count_frames(path)
    video = video_files.VideoFile(path, 0)
    for image in video.frames(np.arange(min(video.num_frames, 12))):
      assert image.mode == "RGB"

  return read


# Arrays and weights.


def _npz(compress=True, **arrays):
  file = io.BytesIO()
  (np.savez_compressed if compress else np.savez)(file, **arrays)
  return file.getvalue()


def _prepare_npz(folder):
  rng = np.random.default_rng(0)
  arrays = {
    "a": rng.integers(0, 9, (3, 4)),
    "b": np.asfortranarray(rng.normal(size=(2, 3)).astype(np.float32)),
    "names": np.array(["x", "longer"]),
  }
  return [_npz(**arrays), _npz(False, **arrays)]


def _read_npz(folder, data):
  from data_gen import array_files

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


def _prepare_weights(folder):
  import safetensors.numpy

  return [_npz(**_weights()), safetensors.numpy.save(_weights())]


def _read_weights(folder, data):
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


def _prepare_scene_videos(folder):
  frames = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 4, 4, 3))
  arrays = {"scene_id": np.arange(2), "frames": frames.astype(np.uint8)}
  return [_npz(**arrays), _npz(False, **arrays)]


def _read_scene_videos(folder, data):
  from magvit3d.evaluation.metres.videos import SceneVideos

  (folder / "v.npz").write_bytes(data)
  videos = SceneVideos(folder / "v.npz", "--videos")
  videos.check_shape((2, 2, 4, 4, 3))
  for clips in videos:
    assert clips.shape == (2, 2, 4, 4, 3)


# Runs.


def _report_folder(folder):
  import report_inputs

  if not (folder / "run").exists():
    report_inputs.make_workdir(folder / "run", num_clips=1, size=8, frames=4)
  return folder / "run"


def _prepare_report(name):
  def prepare(folder):
    run = _report_folder(folder)
    sound = (run / name).read_bytes()
    for metrics in run.glob("*/metrics.jsonl"):
      metrics.write_text("".join(metrics.read_text().splitlines(True)[:20]))
    # Encoding moving pictures takes most of the time.
    for other in ("clips.npz", "paths.npz"):
      if not name.endswith(other):
        (run / "evaluation" / other).unlink()
    return [sound]

  return prepare


def _read_report(name):
  def read(folder, data):
    from magvit3d.report.run_report import write_report

    path = folder / "run" / name
    sound = path.read_bytes()
    path.write_bytes(data)
    try:
      write_report(folder / "run")
    finally:
      path.write_bytes(sound)

  return read


def _prepare_compared(name):
  def prepare(folder):
    import small_comparisons

    from magvit3d.evaluation.tables import Cell

    for run in ("a", "b"):
      if not (folder / run).exists():
        table = small_comparisons.make_table(24.0, Cell(0.1, 0.09, 0.12))
        small_comparisons.make_run(folder / run, [table])
    return [(folder / "a" / name).read_bytes()]

  return prepare


def _read_compared(name):
  def read(folder, data):
    from magvit3d.report import compared_runs, comparison

    (folder / "a" / name).write_bytes(data)
    runs = compared_runs.load([folder / "a", folder / "b"])
    comparison.write(runs, folder / "page.html")

  return read


def _prepare_old_scores(folder):
  old = {
    "tables": [
      {
        "title": "Probes: classes",
        "columns": ["", "PSNR, dB", "ADE (m)"],
        "rows": [["model", 20.5, "0.0123 [0.0101, 0.0145]"], ["copy", 1, "x"]],
        "baselines": ["copy"],
        "n": 12,
        "split": "test",
      }
    ]
  }
  single = {"tables": {"Of clips": {"model": {"psnr_db": 1.5}}}, "num_clips": 3}
  return [json.dumps(old).encode(), json.dumps(single).encode()]


def _read_old_scores(folder, data):
  from magvit3d.report import file_reading, score_tables

  (folder / "scores.json").write_bytes(data)
  scores, _ = file_reading.load_json(folder / "scores.json")
  score_tables.section(file_reading.read_tables(scores))


def _prepare_status(name):
  def prepare(folder):
    status = {
      "state": "RUNNING",
      "reason": "",
      "stage": "tokenizer",
      "activity": "training",
      "step": 3,
      "total_steps": 10,
      "loss_name": "loss",
      "loss": 0.5,
      "steps_per_second": 1.5,
      "eta_seconds": 4.0,
      "log_every_steps": 1,
      "started": "2026-11-20T20:00:00+00:00",
      "last_step": "2026-11-20T20:01:00+00:00",
      "seconds_since_last_step": 1.0,
      "updated": "2026-11-20T20:01:01+00:00",
    }
    stages = {
      "data": {"status": "done", "seconds": 1.0, "started": "20:00"},
      "tokenizer": {"status": "running", "seconds": 2.0, "started": "20:01"},
      "report": {"status": "pending", "seconds": 0.0},
    }
    for file, content in (("status.json", status), ("stages.json", stages)):
      (folder / file).write_text(json.dumps(content))
    return [(folder / name).read_bytes()]

  return prepare


def _read_status(name):
  def read(folder, data):
    from magvit3d import status

    (folder / name).write_bytes(data)
    run = status.read_run(folder, 1.8e9)
    status.table([run])
    json.dumps(dataclasses.asdict(run))

  return read


def _prepare_metrics(folder):
  lines = [
    {"step": step, "time": 1e9 + step, "train/loss": 1 / step, "lr": 1e-3}
    for step in range(1, 20)
  ]
  return ["\n".join(map(json.dumps, lines)).encode(), *(
    json.dumps(line).encode() for line in lines[:2]
  )]  # fmt: skip


def _read_metrics(folder, data):
  from magvit3d.monitoring import metrics_file
  from magvit3d.report import curves

  path = folder / "metrics.jsonl"
  path.write_bytes(data)
  panels = curves.group_panels(metrics_file.read_metrics(path))
  for item in panels.items():
    curves.panel_svg(*item)


def _prepare_run_config(folder):
  import shrunk

  config = shrunk.make_config()
  return [json.dumps(config, default=list).encode()]


def _read_run_config(folder, data):
  from magvit3d.exports import clips
  from magvit3d.inference import finished_run

  (folder / "config.json").write_bytes(data)
  clips.data_folder(folder, None)
  finished_run._read_config(folder)


def _prepare_record_of_checkpoint(folder):
  from magvit3d.checkpoints import record

  content = {
    "step": 7,
    "time": "now",
    "code": {"magvit3d": "0.1.0", "commit": "abc"},
    "identity": {"vqvae": {"filters": 4}, "data": {"preset": "traj3d"}},
    "given": {"config": {}},
    "metrics": {"loss": 0.5},
    "iterator": {"next": 3},
    "leaves": {
      "ema_params/a": {"shape": [2, 3], "dtype": "float32", "checksum": "00"}
    },
  }
  (folder / "record").mkdir()
  return [json.dumps(record.seal(content)).encode()]


def _seal_record(data):
  from magvit3d.checkpoints import record

  with _ignoring():
    sealed = json.loads(data)
    sealed["crc32c"] = record._crc(sealed["schema"], sealed["content"])
    return json.dumps(sealed).encode()
  return data


def _read_record_of_checkpoint(folder, data):
  from magvit3d.checkpoints import fit, record

  (folder / "record" / "metadata").write_bytes(data)
  content = record.read(folder)
  fit.differences(content, {"vqvae": {"filters": 4}}, sections=["vqvae"])
  return {key: value for key, value in content.items() if key != "time"}


def _ignoring():
  import contextlib

  return contextlib.suppress(Exception)


@functools.cache
def _pretrained() -> dict[str, bytes]:
  """What `save_pretrained` writes of a tiny tokenizer and transformer."""
  import tempfile

  import jax
  import jax.numpy as jnp
  from small_networks import MASKGVT, TRANSFORMER, VQVAE

  from data_gen import cameras
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


def _prepare_pretrained(kind):
  def prepare(folder):
    _put(_pretrained(), folder)
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


def _seal_pretrained(data):
  from magvit3d.checkpoints import identity

  with _ignoring():
    content = json.loads(data)
    content.pop("sha256", None)
    return json.dumps(content | {"sha256": identity.key_of(content)}).encode()
  return data


def _read_pretrained(kind):
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


def _prepare_msgpack(folder):
  import upstream_samples

  paths = []
  for name, state in upstream_samples.tokenizer_states().items():
    paths.append(upstream_samples.write_file(folder / name / "c", state))
  return [path.read_bytes() for path in paths]


def _read_msgpack(folder, data):
  from magvit3d.upstream import checkpoint

  (folder / "checkpoint_12").write_bytes(data)
  checkpoint.load(folder / "checkpoint_12")


def _orbax_file(which):
  def prepare(folder):
    import upstream_samples

    state = {"params": {"encoder": {"a": np.arange(6.0, dtype=np.float32)}}}
    if not (folder / "c").exists():
      upstream_samples.write_orbax(folder / "c", state, use_ocdbt=False)
    path = next(p for p in sorted((folder / "c").rglob(which)) if p.is_file())
    (folder / "which").write_text(str(path))
    return [path.read_bytes()]

  return prepare


def _read_orbax(folder, data):
  from magvit3d.upstream import checkpoint

  pathlib.Path((folder / "which").read_text()).write_bytes(data)
  checkpoint.load(folder / "c")


def _prepare_tfds(folder):
  from data_gen import examples, shards

  home = folder / "ucf101/ucf101_1/1.0.0"
  home.mkdir(parents=True)
  record = examples.encode_example(
    {"video": [_picture(format="PNG")] * 2, "label": np.array([1])}
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


def _read_tfds(folder, data):
  from magvit3d.data.videos.tfds_videos import Ucf101

  (folder / "ucf101/ucf101_1/1.0.0/dataset_info.json").write_bytes(data)
  _read_ucf101(Ucf101(str(folder), "train"))


def _read_ucf101(videos):
  for number in range(min(len(videos), 2)):
    video = videos.open(number)
    for image in video.frames(np.arange(min(video.num_frames, 4))):
      assert image.mode == "RGB"


def _prepare_tfds_record(folder):
  from data_gen import examples

  _prepare_tfds_info(folder)
  return [
    examples.encode_example(
      {"video": [_picture(format=kind)] * 2, "label": np.array([1])}
    )
    for kind in ("PNG", "JPEG")
  ]


def _prepare_tfds_info(folder):
  info = _prepare_tfds(folder)[0]
  (folder / "ucf101/ucf101_1/1.0.0/dataset_info.json").write_bytes(info)


def _read_tfds_record(folder, data):
  from data_gen import shards
  from magvit3d.data.videos.tfds_videos import Ucf101

  path = folder / "ucf101/ucf101_1/1.0.0/ucf101-train.tfrecord-00000-of-00001"
  path.unlink(missing_ok=True)
  shards.write_shard(path, [data])
  _read_ucf101(Ucf101(str(folder), "train"))


def _prepare_tokens(folder):
  from data_gen import shards
  from data_gen.records import encode_scene
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


def _read_tokens(folder, data):
  from magvit3d.data.token_records import TokenSource

  (folder / "manifest.json").write_bytes(data)
  source = TokenSource(folder, "k")
  assert len(source) == 2, "taken as complete"
  return [source.with_camera(i) for i in range(len(source))]


def _make() -> dict[str, Reader]:
  from magvit3d.checkpoints.record import DamageError
  from magvit3d.errors import UserError

  errors, user = (DataError,), (UserError, DataError)
  made = [
    Reader("json", _prepare_json, _read_json, (ValueError,), is_json=True),
    Reader("example", _prepare_record, _read_example, (ValueError,)),
    Reader("record", _prepare_record, _read_record, errors),
    Reader(
      "record values", _prepare_values, _read_values, errors, is_json=True
    ),
    Reader("shard", _prepare_data(_SHARD), _read_data(_SHARD), errors, True),
    Reader(
      "shard index",
      _prepare_data(f"{_SHARD}.index"),
      _read_data(f"{_SHARD}.index"),
      errors,
      True,
    ),
    Reader(
      "shard verified",
      _prepare_data(_SHARD),
      _read_verify(_SHARD),
      errors,
      True,
    ),
    Reader(
      "array record",
      _prepare_data("traj3d-train.array_record-00000-of-00001", "array_record"),
      _read_data("traj3d-train.array_record-00000-of-00001"),
      errors,
      True,
    ),
    Reader(
      "npz verified",
      _prepare_data("traj3d-train-00000-of-00001.npz", "npz"),
      _read_verify("traj3d-train-00000-of-00001.npz"),
      errors,
      True,
    ),
    Reader(
      "manifest",
      _prepare_data("manifest.json"),
      _read_manifest,
      errors,
      is_json=True,
    ),
    Reader(
      "calibration",
      lambda folder: [_calibration(folder)],
      _read_calibration,
      errors,
      is_json=True,
    ),
    Reader("track", _prepare_track, _read_track, errors),
    Reader("picture", _prepare_pictures, _read_picture, errors),
    Reader("png", _prepare_png, _read_png, (ValueError,)),
    Reader(
      "gif",
      lambda folder: [_animation("GIF"), _animation("GIF", 2, loop=0)],
      _read_animation(".gif"),
      errors,
    ),
    Reader(
      "webp",
      lambda folder: [_animation("WEBP"), _animation("WEBP", lossless=True)],
      _read_animation(".webp"),
      errors,
    ),
    *(
      Reader(f"video {name}", _video(name), _read_video(name), errors)
      for name in ("h264.mp4", "mpeg4.avi", "vp9.webm", "h264.mkv", "mpeg4.mov")
    ),
    Reader("npz", _prepare_npz, _read_npz, (ValueError, OSError)),
    Reader("weights", _prepare_weights, _read_weights, user),
    Reader("scene videos", _prepare_scene_videos, _read_scene_videos, user),
    *(
      Reader(
        f"report {name.replace('/', ' ')}",
        _prepare_report(name),
        _read_report(name),
        is_json=name.endswith(".json"),
      )
      for name in (
        "config.json",
        "stages.json",
        "evaluation/scores.json",
        "evaluation/clips.npz",
        "evaluation/paths.npz",
      )
    ),
    *(
      Reader(
        f"compare {name.replace('/', ' ')}",
        _prepare_compared(name),
        _read_compared(name),
        user,
        is_json=True,
      )
      for name in (
        "config.json",
        "stages.json",
        "evaluation/scores.json",
        "data/manifest.json",
      )
    ),
    Reader("old scores", _prepare_old_scores, _read_old_scores, is_json=True),
    *(
      Reader(name, _prepare_status(name), _read_status(name), is_json=True)
      for name in ("status.json", "stages.json")
    ),
    Reader("metrics", _prepare_metrics, _read_metrics),
    Reader(
      "run config", _prepare_run_config, _read_run_config, user, is_json=True
    ),
    Reader(
      "checkpoint record",
      _prepare_record_of_checkpoint,
      _read_record_of_checkpoint,
      (UserError, DamageError),
      True,
      True,
    ),
    Reader(
      "checkpoint record sealed",
      _prepare_record_of_checkpoint,
      _read_record_of_checkpoint,
      (UserError, DamageError),
      is_json=True,
      seal=_seal_record,
    ),
    Reader(
      "pretrained config",
      _prepare_pretrained("config"),
      _read_pretrained("config"),
      user,
      is_json=True,
      seal=_seal_pretrained,
    ),
    Reader(
      "pretrained weights",
      _prepare_pretrained("weights"),
      _read_pretrained("weights"),
      user,
      True,
    ),
    Reader("msgpack", _prepare_msgpack, _read_msgpack, user),
    *(
      Reader(
        f"orbax {name}", _orbax_file(name), _read_orbax, user, is_json=True
      )
      for name in ("_METADATA", ".zarray")
    ),
    Reader("tfds info", _prepare_tfds, _read_tfds, errors, is_json=True),
    Reader("tfds record", _prepare_tfds_record, _read_tfds_record, errors),
    Reader("tokens", _prepare_tokens, _read_tokens, errors, is_json=True),
  ]
  return {reader.name.replace(" ", "-"): reader for reader in made}


_READERS = {
  name: dataclasses.replace(reader, name=name)
  for name, reader in _make().items()
}
NAMES = tuple(_READERS)
