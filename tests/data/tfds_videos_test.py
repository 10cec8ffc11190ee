"""UCF-101 and BAIR as TensorFlow Datasets prepares them, read without it."""

import io
import json
import sys

import numpy as np
import pytest
from coded_videos import code_frame, read_number
from PIL import Image

from data_gen.errors import DataError
from data_gen.records import examples, shards
from magvit3d.data.batches import make_batches
from magvit3d.data.videos.video_datasets import open_dataset

_CLASSES = ("ApplyEyeMakeup", "ApplyLipstick", "Archery")


def _encode(number, file_format="PNG", size=64):
  buffer = io.BytesIO()
  Image.fromarray(code_frame(number, size)).save(buffer, file_format)
  return buffer.getvalue()


def _make_ucf_record(index):
  images = [_encode(40 * index + i, "JPEG") for i in range(20 + index)]
  label = np.array([index % len(_CLASSES)])
  return examples.encode_example({"video": images, "label": label})


def _make_bair_record(index):
  return examples.encode_example(
    {
      "image_aux1": [_encode(40 * index + i) for i in range(30)],
      "image_main": [_encode(255)] * 30,
      "action": np.zeros(120, np.float32),
      "endeffector_pos": np.zeros(90, np.float32),
    }
  )


_MAKERS = {
  "ucf101/ucf101_1": _make_ucf_record,
  "bair_robot_pushing_small": _make_bair_record,
}


def _prepare(root, name, file_format="tfrecord", version="2.0.0"):
  """Writes a data set as TFDS does: 5 videos in 2 shards, and 2."""
  folder = root / name / version
  folder.mkdir(parents=True)
  short_name = name.split("/")[0]
  splits = []
  for split, lengths in (("train", [3, 2]), ("test", [2])):
    numbers = iter(range(sum(lengths)))
    for i, length in enumerate(lengths):
      records = [_MAKERS[name](next(numbers)) for _ in range(length)]
      path = folder / (
        f"{short_name}-{split}.{file_format}-{i:05}-of-{len(lengths):05}"
      )
      if file_format == "tfrecord":
        path.write_bytes(b"".join(map(shards.frame_record, records)))
      else:
        _write_array_record(path, records)
    splits.append({"name": split, "shardLengths": list(map(str, lengths))})
  info = {"name": short_name, "fileFormat": file_format, "splits": splits}
  (folder / "dataset_info.json").write_text(json.dumps(info))
  (folder / "label.labels.txt").write_text("\n".join(_CLASSES) + "\n")
  return folder


def _write_array_record(path, records):
  module = pytest.importorskip("array_record.python.array_record_module")
  writer = module.ArrayRecordWriter(str(path), "group_size:1")
  for record in records:
    writer.write(record)
  writer.close()


def _open(root, name, split="train", *, is_training=False, **options):
  return open_dataset(
    name,
    split,
    {"data_dir": str(root), **options},
    image_size=64,
    num_frames=16,
    is_training=is_training,
  )


def _numbers(clip):
  return [read_number(frame) for frame in clip["frames"]]


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_ucf101_gives_the_middle_of_each_video_and_its_class(
  tmp_path, file_format
):
  _prepare(tmp_path, "ucf101/ucf101_1", file_format)
  source = _open(tmp_path, "ucf101")
  assert len(source) == 5 and source.class_names == _CLASSES
  for index in range(5):
    clip = source[index]
    start = 40 * index + (20 + index - 16 + 1) // 2
    assert _numbers(clip) == list(range(start, start + 16))
    assert clip["labels"] == index % 3


def test_bair_evaluates_the_first_frames_of_one_camera(tmp_path):
  _prepare(tmp_path, "bair_robot_pushing_small")
  source = _open(tmp_path, "bair", "test")
  assert len(source) == 2 and source.class_names == ()
  assert _numbers(source[1]) == list(range(40, 56))
  np.testing.assert_array_equal(source[1]["frames"][3], code_frame(43))
  main = _open(tmp_path, "bair", "test", camera="image_main")
  assert _numbers(main[1]) == [255] * 16


def test_bair_trains_on_random_windows_of_30_frames_mirrored_or_not(tmp_path):
  _prepare(tmp_path, "bair_robot_pushing_small")
  source = _open(tmp_path, "bair", is_training=True, flip=True)
  batches = make_batches(source, batch_size=5, seed=0, num_threads=2)
  starts, num_mirrored = set(), 0
  for _ in range(12):
    for frames in next(batches)["frames"]:
      found = []
      for images in (frames, frames[:, :, ::-1]):
        numbers = [read_number(image) for image in images]
        if np.all(np.diff(numbers) == 1):
          found.append(numbers[0] % 40)
      assert len(found) == 1
      starts |= set(found)
      numbers = [read_number(image) for image in frames]
      num_mirrored += not np.all(np.diff(numbers) == 1)
  assert starts == set(range(15))
  assert abs(num_mirrored - 30) < 4 * np.sqrt(60 / 4)


def test_validation_is_the_test_split(tmp_path):
  _prepare(tmp_path, "bair_robot_pushing_small")
  fingerprints = {
    split: _open(tmp_path, "bair", split).fingerprint
    for split in ("train", "validation", "test")
  }
  assert fingerprints["validation"] == fingerprints["test"]
  assert fingerprints["train"] != fingerprints["test"]


def test_newest_version_is_read(tmp_path):
  old = _prepare(tmp_path, "bair_robot_pushing_small", version="2.0.0")
  _prepare(tmp_path, "bair_robot_pushing_small", version="10.0.0")
  for path in old.glob("*tfrecord*"):
    path.unlink()
  assert len(_open(tmp_path, "bair")) == 5


def test_data_set_is_found_where_tfds_keeps_it(tmp_path, monkeypatch):
  _prepare(tmp_path, "bair_robot_pushing_small")
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
  assert len(_open("", "bair")) == 5


def test_reading_does_not_import_tensorflow(tmp_path, monkeypatch):
  for name in ("tensorflow", "tensorflow_datasets"):
    monkeypatch.setitem(sys.modules, name, None)
  _prepare(tmp_path, "ucf101/ucf101_1")
  assert _open(tmp_path, "ucf101")[0]["frames"].shape == (16, 64, 64, 3)


def test_missing_data_set_is_answered_with_how_to_prepare_it(tmp_path):
  message = (
    rf"'\.\[tfds-tf\]'.*builder\('ucf101/ucf101_1', "
    rf"data_dir='{tmp_path}'\)\.download_and_prepare"
  )
  with pytest.raises(DataError, match=message):
    _open(tmp_path, "ucf101")


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    ("missing", "00001-of-00002 is missing; 1 of 2 shards.*tfds.builder"),
    (
      "flipped",
      "00001-of-00002 is damaged: the data of record 0.*tfds.builder",
    ),
    ("cut off", "00001-of-00002 is cut off in record 1.*tfds.builder"),
    ("labels", "label.labels.txt, the names of the classes"),
    ("info", "dataset_info.json cannot be read.*tfds.builder"),
    ("format", "format 'riegeli'"),
    ("split", r"no split 'train'; it has \['test'\]"),
  ],
)
def test_damage_is_named(tmp_path, damage, message):
  folder = _prepare(tmp_path, "ucf101/ucf101_1")
  shard = folder / "ucf101-train.tfrecord-00001-of-00002"
  info = folder / "dataset_info.json"
  if damage == "missing":
    shard.unlink()
  elif damage == "flipped":
    data = bytearray(shard.read_bytes())
    data[1000] ^= 1
    shard.write_bytes(data)
  elif damage == "cut off":
    shard.write_bytes(shard.read_bytes()[:-100])
  elif damage == "labels":
    (folder / "label.labels.txt").unlink()
  elif damage == "info":
    info.write_text(info.read_text()[:50])
  elif damage == "format":
    info.write_text(info.read_text().replace("tfrecord", "riegeli"))
  else:
    info.write_text(info.read_text().replace('"train"', '"learn"'))
    info.write_text(info.read_text().replace("learn", "exercise"))
    described = json.loads(info.read_text())
    described["splits"] = described["splits"][1:]
    info.write_text(json.dumps(described))
  with pytest.raises(DataError, match=message):
    source = _open(tmp_path, "ucf101")
    [source[index] for index in range(5)]


def test_damaged_frame_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(
    _MAKERS,
    "bair_robot_pushing_small",
    lambda index: examples.encode_example(
      {"image_aux1": [_encode(1)[:60]] * 30}
    ),
  )
  _prepare(tmp_path, "bair_robot_pushing_small")
  message = r"Frame 0 of Video 1 of bair_robot_pushing_small \(test\)"
  with pytest.raises(DataError, match=message):
    _open(tmp_path, "bair", "test")[1]


@pytest.mark.filterwarnings("ignore")
def test_what_tfds_itself_prepares_is_read(tmp_path):
  pytest.importorskip("tensorflow")
  tfds = pytest.importorskip("tensorflow_datasets")
  video = np.stack([code_frame(i) for i in range(30)])

  def generate(self, count):
    for i in range(count):
      yield i, self.make_example(i)

  def define(class_name, **members):
    return type(
      class_name,
      (tfds.core.GeneratorBasedBuilder,),
      {
        "VERSION": tfds.core.Version("2.0.0"),
        "_split_generators": lambda self, manager: {
          "train": self._generate_examples(3),
          "test": self._generate_examples(2),
        },
        "_generate_examples": generate,
        **members,
      },
    )

  features = tfds.features
  ucf = define(
    "Ucf101",
    BUILDER_CONFIGS=[tfds.core.BuilderConfig(name="ucf101_1")],
    _info=lambda self: tfds.core.DatasetInfo(
      builder=self,
      features=features.FeaturesDict(
        {
          "video": features.Video(
            (None, None, None, 3), encoding_format="jpeg"
          ),
          "label": features.ClassLabel(names=_CLASSES),
        }
      ),
    ),
    make_example=lambda self, i: {"video": video, "label": _CLASSES[i]},
  )
  bair = define(
    "BairRobotPushingSmall",
    _info=lambda self: tfds.core.DatasetInfo(
      builder=self,
      features=features.Sequence(
        {
          "image_main": features.Image(shape=(64, 64, 3)),
          "image_aux1": features.Image(shape=(64, 64, 3)),
          "action": features.Tensor(shape=(4,), dtype=np.float32),
        },
        length=30,
      ),
    ),
    make_example=lambda self, i: [
      {
        "image_main": np.zeros_like(frame),
        "image_aux1": frame,
        "action": np.zeros(4, np.float32),
      }
      for frame in video
    ],
  )
  builders = [
    builder(data_dir=str(tmp_path), file_format="tfrecord")
    for builder in (ucf, bair)
  ]
  for builder in builders:
    builder.download_and_prepare()
  source = _open(tmp_path, "ucf101")
  assert source.class_names == _CLASSES
  wanted = [
    int(example["label"])
    for example in builders[0].as_dataset(split="train", shuffle_files=False)
  ]
  assert [int(source[i]["labels"]) for i in range(3)] == wanted
  assert _numbers(source[0]) == list(range(7, 23))
  source = _open(tmp_path, "bair", "validation")
  np.testing.assert_array_equal(source[1]["frames"], video[:16])
