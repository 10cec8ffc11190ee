"""Makes the scenes of one shard, and writes it in the format asked for."""

import io
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_gen.records import array_records, npz, records, shards
from data_gen.records.features import make_features
from data_gen.scene_makers import SceneSet, make_scene

# Of a TFRecord: lengths and checks, and its place in the index.
_TFRECORD_OVERHEAD_BYTES = shards.HEADER_BYTES + shards.FOOTER_BYTES + 8


def _ignore() -> None:
  pass


def write_shard(
  options: SceneSet,
  split: str,
  shard: int,
  report: Callable[[], None] = _ignore,
) -> int:
  """Makes and writes one shard.

  Args:
    options: Of the data set.
    split: One of its splits.
    shard: Number of the shard in the split.
    report: Called after each scene; what it raises ends the writing.

  Returns:
    The number of scenes.

  Raises:
    OSError: The shard cannot be written; there is no part of it then.
    ValueError: The options allow no such scene.
  """
  indices = options.shard_scenes(split, shard)
  path = pathlib.Path(options.output_dir) / options.shard_name(split, shard)
  scenes = _make_scenes(options, split, indices, report)
  if options.file_format == "npz":
    npz.write_shard(path, scenes, options, len(indices))
    return len(indices)
  features = make_features(options)
  encoded = (records.encode_scene(scene, features) for scene in scenes)
  if options.file_format == "array_record":
    array_records.write_shard(path, encoded)
  else:
    shards.write_shard(path, encoded)
  return len(indices)


def measure_scene_bytes(
  options: SceneSet, split: str, indices: Sequence[int]
) -> float:
  """Returns the mean bytes that some scenes take in shards of a split."""
  scenes = _make_scenes(options, split, indices, _ignore)
  if options.file_format == "npz":
    file = io.BytesIO()
    npz.write_archive(file, scenes, options, len(indices))
    return len(file.getvalue()) / len(indices)
  features = make_features(options)
  size = sum(len(records.encode_scene(scene, features)) for scene in scenes)
  overhead = {
    "tfrecord": _TFRECORD_OVERHEAD_BYTES,
    "array_record": array_records.RECORD_OVERHEAD_BYTES,
  }[options.file_format]
  return size / len(indices) + overhead


def _make_scenes(options, split, indices, report) -> Iterator[dict[str, Any]]:
  for index in indices:
    yield make_scene(options, split, index)
    report()
