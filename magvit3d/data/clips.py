"""Clips of a scene data set: what one camera saw, as training samples.

Samples of all cameras of a scene: `scene_clips`. Batches: `batches`.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.data.frame_window import FrameWindow, fit_window

Sample = dict[str, np.ndarray | np.generic]


@dataclasses.dataclass(frozen=True)
class ClipSource:
  """Every camera's clip of every scene, as a random-access source.

  Clip i is the view i % num_views of scene i // num_views.

  Attributes:
    scenes: Where they come from.
    window: Frames of a clip; None for all.
  """

  scenes: SceneSource
  window: FrameWindow | None = None

  def __len__(self) -> int:
    return len(self.scenes) * self.scenes.num_views

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names by label."""
    return self.scenes.class_names

  def __getitem__(self, index: SupportsIndex) -> Sample:
    """Returns what one camera saw, in the middle window.

    Returns:
      frames: uint8 (t, h, w, 3). masks: uint8 (t, h, w), 0 background.
      labels: int32, the class. background: float32 (1, 1, 3), the colour, or
      (h, w, 3), the picture behind the objects, in [0, 1].
    """
    return self._cut(index, window_of(self).middle)

  def _cut(self, index: SupportsIndex, frames: slice) -> Sample:
    scene, view = divmod(int(index), self.scenes.num_views)
    clip = self.scenes.clip(scene, view)
    return {
      "frames": clip["frames"][frames],
      "masks": clip["masks"][frames],
      "labels": np.int32(clip["label"]),
      "background": background_of(clip),
    }


class TrainingClipSource(ClipSource):
  """Clips for training: `make_batches` takes random windows."""

  def random_clip(
    self, index: SupportsIndex, rng: np.random.Generator
  ) -> Sample:
    """Returns clip `index`, of the frames that `rng` chooses."""
    return self._cut(index, window_of(self).draw(rng))


def window_of(source: Any) -> FrameWindow:
  """Returns the window of a source with `scenes` and `window`."""
  return source.window or fit_window(source.scenes.num_frames)


def background_of(scene: Mapping[str, Any]) -> np.ndarray:
  """Returns what is behind the objects, in [0, 1].

  Returns:
    float32 (1, 1, 3) where it is plain; otherwise with the shape of
    `background_frames`: (h, w, 3), or of several views (v, h, w, 3).
  """
  if schema.BACKGROUND in scene:
    return scene[schema.BACKGROUND].reshape(1, 1, 3)
  return scene[schema.BACKGROUND_FRAMES].astype(np.float32) / np.float32(255)


def load_clips(
  source: Any,
  indices: Iterable[SupportsIndex],
  keys: Sequence[str] = ("frames", "masks", "labels", "background"),
) -> dict[str, np.ndarray]:
  """Returns some clips as arrays (n, ...), for what is not trained on.

  The source is a `ClipSource` or one whose samples have the same keys.
  Keys: `frames`, `masks`, `labels` as in `ClipSource`, and `background`, what
  is behind the objects, float32 (n, 1, 1, 3) or (n, h, w, 3) in [0, 1].
  """
  clips = [source[index] for index in indices]
  return {key: np.stack([clip[key] for clip in clips]) for key in keys}


def spread_indices(source: Any, count: int) -> np.ndarray:
  """Returns `count` indices (or all) spread evenly over a source."""
  count = min(count, len(source))
  return np.arange(count) * len(source) // max(count, 1)
