"""Clips of a scene data set as an endless, resumable stream of batches.

Grain (https://github.com/google/grain) shuffles globally and keeps its place
in a few bytes, which go into the checkpoint: a resumed run sees the batches it
would have seen.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import grain
import numpy as np

from data_gen.scene_source import SceneSource
from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True)
class ClipSource:
  """Every camera's clip of every scene, as a random-access source.

  Clip i is the view i % num_views of scene i // num_views.
  """

  scenes: SceneSource

  def __len__(self) -> int:
    return len(self.scenes) * self.scenes.num_views

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names by label."""
    return self.scenes.class_names

  def __getitem__(
    self, index: SupportsIndex
  ) -> dict[str, np.ndarray | np.generic]:
    """Returns what one camera saw.

    Returns:
      frames: uint8 (t, h, w, 3). masks: uint8 (t, h, w), 0 background.
      labels: int32, the class. background: float32 (3,), in [0, 1].
    """
    scene, view = divmod(int(index), self.scenes.num_views)
    clip = self.scenes.clip(scene, view)
    return {
      "frames": clip["frames"],
      "masks": clip["masks"],
      "labels": np.int32(clip["label"]),
      "background": clip["background"],
    }


def make_batches(
  source: Any,
  *,
  batch_size: int,
  seed: int,
  num_threads: int,
) -> grain.DatasetIterator:
  """Returns an endless iterator over shuffled batches.

  Args:
    source: Anything with `__len__` and `__getitem__` that gives dicts. If it
      has `random_clip(index, rng)` too, that gives the samples: `rng` depends
      on `seed` and on the sample's place in the stream alone.
    batch_size: Samples of a batch.
    seed: Determines the order, which changes every epoch.
    num_threads: Threads that read ahead.
  """
  if batch_size > len(source):
    raise UserError(
      f"batch_size={batch_size} is larger than the {len(source)} training "
      "samples there are. Lower it, or bring more data (rendered scenes: "
      "--config.data.num_train)."
    )
  is_random = hasattr(source, "random_clip")
  dataset = (
    grain.MapDataset.source(range(len(source)) if is_random else source)
    .seed(seed)
    .shuffle()
    .repeat()
  )
  if is_random:
    dataset = dataset.random_map(source.random_clip)
  dataset = dataset.batch(batch_size, drop_remainder=True)
  options = grain.ReadOptions(
    num_threads=num_threads, prefetch_buffer_size=max(2, num_threads)
  )
  return iter(dataset.to_iter_dataset(options))


def load_clips(
  source: Any,
  indices: Iterable[SupportsIndex],
  keys: Sequence[str] = ("frames", "masks", "labels", "background"),
) -> dict[str, np.ndarray]:
  """Returns some clips as arrays (n, ...), for what is not trained on.

  The source is a `ClipSource` or one whose samples have the same keys.
  Keys: `frames`, `masks`, `labels` as in `ClipSource`, and `background`, the
  colour behind the objects, float32 (n, 3) in [0, 1].
  """
  clips = [source[index] for index in indices]
  return {key: np.stack([clip[key] for clip in clips]) for key in keys}


def spread_indices(source: Any, count: int) -> np.ndarray:
  """Returns `count` indices (or all) spread evenly over a source."""
  count = min(count, len(source))
  return np.arange(count) * len(source) // max(count, 1)
