"""Room on the disk: how much a data set needs, and what if it is full."""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import numpy as np

from data_gen.records import array_records, shards
from data_gen.scene_makers import SceneSet
from data_gen.shard_writer import measure_scene_bytes

_MARGIN = 1.1
_NUM_SAMPLES = 16  # Scenes of a split whose bytes stand for all.
_MANIFEST_BYTES = 16_000  # And other descriptions, beside the shards' own.
_MANIFEST_BYTES_OF_SHARD = 250

Shard = tuple[str, int]  # Split, and the shard's number in it.


@dataclasses.dataclass(frozen=True)
class Estimate:
  """Bytes of a data set, from some of its scenes.

  Attributes:
    options: Of the data set.
    bytes_of_scene: Mean by split.
  """

  options: SceneSet
  bytes_of_scene: Mapping[str, float]

  def bytes_needed(self, missing: Sequence[Shard]) -> float:
    """Returns the bytes of some shards and of what lies beside them."""
    options = self.options
    num_shards = sum(map(options.num_shards, options.splits))
    size = _MANIFEST_BYTES + num_shards * _MANIFEST_BYTES_OF_SHARD
    # A scene takes less on the contact sheet than in a shard.
    size += options.preview * max(self.bytes_of_scene.values(), default=0)
    for split, shard in missing:
      num_scenes = len(options.shard_scenes(split, shard))
      shard_size = num_scenes * self.bytes_of_scene[split]
      if options.file_format == "array_record":
        shard_size = array_records.file_bytes(shard_size)
      size += shard_size
    return size


def estimate_bytes(options: SceneSet, missing: Sequence[Shard]) -> Estimate:
  """Renders some scenes of each split that misses shards, and measures them.

  Raises:
    ValueError: The options allow no scene.
  """
  means = {}
  for split in dict.fromkeys(split for split, _ in missing):
    scenes = [
      index
      for name, shard in missing
      if name == split
      for index in options.shard_scenes(split, shard)
    ]
    places = np.linspace(0, len(scenes) - 1, min(_NUM_SAMPLES, len(scenes)))
    chosen = [scenes[int(place)] for place in places]
    means[split] = measure_scene_bytes(options, split, chosen)
  return Estimate(options, means)


def check_fits(estimate: Estimate, missing: Sequence[Shard]) -> None:
  """Checks that the disk has room for some shards.

  Raises:
    OSError: It has not; the message has both figures.
  """
  options = estimate.options
  needed = _MARGIN * estimate.bytes_needed(missing)
  free = _free_bytes(options)
  if needed > free:
    num_scenes = sum(len(options.shard_scenes(*shard)) for shard in missing)
    raise OSError(
      f"--output_dir={options.output_dir} has {_as_text(free)} free, and "
      f"{num_scenes} scenes need {_as_text(needed)}. Free some space, name "
      "another folder, or make fewer or smaller scenes (--image_size, "
      "--num_frames)."
    )


def is_full(error: OSError) -> bool:
  """Whether an error says that no more can be written."""
  return error.errno in shards.FULL_DISK_ERRORS


def describe_full(
  error: OSError, estimate: Estimate, missing: Sequence[Shard]
) -> str:
  """Returns what to say where the disk filled up and some shards miss."""
  options = estimate.options
  all_shards = [
    (split, shard)
    for split in options.splits
    for shard in range(options.num_shards(split))
  ]
  finished = set(all_shards) - set(missing)
  num_scenes = sum(len(options.shard_scenes(*shard)) for shard in all_shards)
  num_finished = sum(len(options.shard_scenes(*shard)) for shard in finished)
  needed = _MARGIN * estimate.bytes_needed(missing)
  return (
    f"--output_dir={options.output_dir} took no more ({error.strerror}): "
    f"{len(finished)} of {len(all_shards)} shards, {num_finished} of "
    f"{num_scenes} scenes, are finished and valid. "
    f"{_as_text(_free_bytes(options))} are free, and the rest needs "
    f"{_as_text(needed)}. Free some space and run the same command again: it "
    "continues."
  )


def _free_bytes(options: SceneSet) -> int:
  return shutil.disk_usage(pathlib.Path(options.output_dir)).free


def _as_text(num_bytes: float) -> str:
  if num_bytes < 1e8:
    return f"{num_bytes / 1e6:.3f} MB"
  return f"{num_bytes / 1e9:.2f} GB"
