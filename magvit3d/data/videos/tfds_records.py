"""Records of data sets that TensorFlow Datasets has prepared, one by one.

TFDS gives random access to ArrayRecord files only, and needs TensorFlow for
video features. The files themselves are plain: `dataset_info.json` names the
shards of each split, and a record is a tf.train.Example whose images are PNG
or JPEG files. So they are read here, from TFRecord and ArrayRecord files alike,
without TensorFlow; only preparing them needs it (the extra `tfds-tf`).
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, SupportsIndex, TypedDict

import msgspec

from data_gen.errors import DataError
from data_gen.files import json_files, plain_files, user_paths
from data_gen.records import examples
from data_gen.records.array_records import ArrayRecordSource
from data_gen.records.record_source import RecordSource
from data_gen.records.tfrecord import TFRecordSource
from magvit3d.data.videos.labelled_files import fingerprint

_INFO_NAME = "dataset_info.json"
_DEFAULT_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
# Of files in the same folder, and parts of their names.
_Name = Annotated[str, msgspec.Meta(pattern=r"^[^/\\\x00]*$")]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
_Text = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,12}$")]


class _Split(TypedDict):
  """A split in dataset_info.json."""

  name: _Name
  shardLengths: list[_Text | _Number]
  filepathTemplate: NotRequired[_Name]


class _Info(TypedDict):
  """What is read of dataset_info.json."""

  name: _Name
  fileFormat: NotRequired[str]
  splits: list[_Split]


@dataclasses.dataclass(frozen=True)
class PreparedSplit:
  """One split of a prepared data set.

  Attributes:
    name: For messages.
    folder: Where the files are.
    fingerprint: SHA-256 of the shards' names and sizes, in hexadecimal.
    records: tf.train.Examples by number, as bytes.
  """

  name: str
  folder: pathlib.Path
  fingerprint: str
  records: RecordSource

  def __len__(self) -> int:
    return len(self.records)

  def example(
    self, index: SupportsIndex, kinds: Mapping[str, type]
  ) -> dict[str, Any]:
    """Returns a record as lists of bytes and as arrays, by feature.

    Args:
      index: Of the record.
      kinds: What some features must be: list, or np.ndarray.

    Raises:
      DataError: The record is damaged, or lacks such a feature.
    """
    record = self.records[index]
    try:
      found = examples.decode_example(record)
      for key, kind in kinds.items():
        if not isinstance(found.get(key), kind):
          raise ValueError(f"It has no {key}, or another kind of it.")
    except ValueError as error:
      raise DataError(
        f"Record {index} of {self.name} in {self.folder} is damaged. {error}"
      ) from error
    return found


def open_split(data_dir: str | None, name: str, split: str) -> PreparedSplit:
  """Opens a split of a prepared data set.

  Args:
    data_dir: Folder of TFDS; None: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    name: As TFDS spells it, with the config: "ucf101/ucf101_1".
    split: As TFDS calls it.

  Raises:
    DataError: It has not been prepared there, or files are missing.
  """
  root = user_paths.read(
    data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  )
  # Not `tfds build`, which fails without Apache Beam.
  advice = (
    "Prepare it with TensorFlow Datasets: pip install -e '.[tfds-tf]', "
    'then: python -c "import tensorflow_datasets as tfds; '
    f"tfds.builder('{name}', data_dir='{root}').download_and_prepare()\""
  )
  folder = _newest_version(root / name, advice)
  info = _read_info(folder, advice)
  paths, counts = _shards(folder, info, split)
  missing = [path for path in paths if not plain_files.is_file(path)]
  if missing:
    raise DataError(
      f"{missing[0]} is missing; {len(missing)} of {len(paths)} shards are. "
      f"Delete {folder}. {advice}"
    )
  sources = {"tfrecord": TFRecordSource, "array_record": ArrayRecordSource}
  records = sources[info.get("fileFormat", "tfrecord")](
    paths, counts, advice=f"Delete {folder}. {advice}"
  )
  return PreparedSplit(
    name=f"{name} ({split})",
    folder=folder,
    fingerprint=fingerprint(
      [path.name for path in paths], [path.stat().st_size for path in paths]
    ),
    records=records,
  )


def _newest_version(folder: pathlib.Path, advice: str) -> pathlib.Path:
  versions = {}
  for path in folder.glob(f"*/{_INFO_NAME}"):
    parts = path.parent.name.split(".")
    if all(part.isdecimal() and len(part) < 10 for part in parts):
      versions[tuple(map(int, parts))] = path.parent
  if not versions:
    raise DataError(
      f"There is no prepared data set in {folder} (VERSION/{_INFO_NAME}). If "
      f"it is elsewhere, set dataset_configs.data_dir. {advice}"
    )
  return versions[max(versions)]


def _read_info(folder: pathlib.Path, advice: str) -> _Info:
  path = folder / _INFO_NAME
  try:
    info = json_files.read(path, _Info)
  except (OSError, ValueError) as error:
    raise DataError(
      f"{path} cannot be read ({error}). Delete {folder}. {advice}"
    ) from error
  if info.get("fileFormat", "tfrecord") not in ("tfrecord", "array_record"):
    raise DataError(
      f"{folder} has files of the format {info['fileFormat']!r}; tfrecord and "
      f"array_record can be read. Delete {folder}. {advice}"
    )
  return info


def _shards(
  folder: pathlib.Path, info: _Info, split: str
) -> tuple[list[pathlib.Path], list[int]]:
  """Returns the shards of a split, and how many records each has."""
  splits = {described["name"]: described for described in info["splits"]}
  if split not in splits:
    raise DataError(
      f"{folder} has no split {split!r}; it has {sorted(splits)}."
    )
  described = splits[split]
  counts = [int(count) for count in described["shardLengths"]]
  template = described.get("filepathTemplate") or _DEFAULT_TEMPLATE
  paths = []
  for shard in range(len(counts)):
    numbers = {
      "SHARD_INDEX": f"{shard:05}",
      "NUM_SHARDS": f"{len(counts):05}",
      "SHARD_X_OF_Y": f"{shard:05}-of-{len(counts):05}",
    }
    values = {
      "DATASET": info["name"],
      "SPLIT": split,
      "FILEFORMAT": info.get("fileFormat", "tfrecord"),
      **numbers,
    }
    # No `str.format`, in which a text can ask for anything.
    name = template
    for key, value in values.items():
      name = name.replace(f"{{{key}}}", value)
    paths.append(folder / name)
  return paths, counts
