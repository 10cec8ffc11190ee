"""Checks every byte of a data set.

  python -m data_gen.verify --data=data/traj3d

Every record's checks are verified, and every shard's SHA-256 is compared with
the manifest. The exit code is 1 if something is damaged, and the message names
the first damaged file, record and offset.
"""

import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import app, flags

from data_gen import command_line
from data_gen.errors import DataError
from data_gen.files import user_paths
from data_gen.records import (
  array_records,
  manifest_types,
  npz,
  shards,
  tfrecord,
)
from data_gen.records.features import Feature
from data_gen.records.record_source import ADVICE
from data_gen.records.scene_source import check_shard_size, read_manifest


def verify(
  folder: pathlib.Path, log: Callable[[str], None] = command_line.log
) -> None:
  """Checks a data set.

  Args:
    folder: Of the data set.
    log: Takes a line for each split.

  Raises:
    DataError: Something is damaged; the message says where.
  """
  manifest = read_manifest(folder)
  file_format = manifest["file_format"]
  features = manifest_types.features(manifest)
  for split, described in manifest["splits"].items():
    for shard in described["shards"]:
      verify_shard(folder / shard["name"], shard, file_format, features)
    num_bytes = sum(shard["bytes"] for shard in described["shards"])
    log(
      f"{split}: {described['num_scenes']} scenes in "
      f"{len(described['shards'])} shards, {num_bytes} bytes, are undamaged."
    )


def verify_shard(
  path: pathlib.Path,
  described: Mapping[str, Any],
  file_format: str,
  features: Mapping[str, Feature] | None = None,
) -> None:
  """Checks a shard against what the manifest says of it; see `verify`."""
  check_shard_size(path, described["bytes"])
  num_scenes = described["num_scenes"]
  if file_format == "npz":
    damage = npz.find_damage(path, features, num_scenes)
    if damage:
      raise DataError(f"{path} is damaged in {damage}. {ADVICE}")
  elif file_format == "array_record":
    _check_array_record(path, num_scenes)
  else:
    tfrecord.check_shard(path, num_scenes)
  if shards.sha256(path) != described["sha256"]:
    raise DataError(
      f"{path} has another SHA-256 than the manifest says, but no record of it "
      f"is damaged: it is another data set's, or was changed. {ADVICE}"
    )


def _check_array_record(path: pathlib.Path, num_scenes: int) -> None:
  source = array_records.ArrayRecordSource([path], [num_scenes])
  for number in range(num_scenes):
    source[number]


def main(arguments: list[str]) -> None:
  """Checks the data set that the flag names."""
  if len(arguments) > 1:
    sys.exit(f"data_gen.verify takes only flags, but got {arguments[1:]}.")
  command_line.run(lambda: verify(user_paths.read(flags.FLAGS.data)))


if __name__ == "__main__":
  flags.DEFINE_string("data", None, "Folder of the data set.", required=True)
  app.run(main)
