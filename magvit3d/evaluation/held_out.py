"""The held-out scenes that a run is scored on."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from data_gen.records.scene_source import SceneSource
from magvit3d.evaluation.metres import scenes
from magvit3d.evaluation.metres.scenes import ScoredScene


@dataclasses.dataclass(frozen=True)
class HeldOutScenes:
  """Some scenes of a split.

  Attributes:
    samples: A batch of `SceneClips`, (n, v, ...), with the cameras if v > 1.
    class_names: By label.
    split: Of the data.
    source: Of the split; None for samples without records.
    indices: Of the scenes in it.
    views: Cameras that the samples have.
    frames: That the samples have, of each clip; None for all.
  """

  samples: Mapping[str, np.ndarray]
  class_names: Sequence[str]
  split: str
  source: SceneSource | None = None
  indices: Sequence[int] = ()
  views: Sequence[int] = ()
  frames: slice | None = None

  @property
  def motion_names(self) -> Sequence[str]:
    """Names of all motions; none without records, or of footage."""
    return self.source.motion_names or () if self.source else ()

  def why_not_scored(self) -> str:
    """Returns why there is no score in metres, as a sentence; or ""."""
    if self.source is None:
      return "There are no records to score against."
    if len(self.views) < 2:
      return "One camera cannot tell where an object is."
    reason = scenes.reason_against(self.source)
    return f"The data set {reason}" if reason else ""

  def apart(self, count: int) -> Int[np.ndarray, " n"]:
    """Returns an order in which every second one is of other scenes.

    So halves that take every second one have no scene in common. The last of
    an odd number of scenes is left out, unless it is the only one.

    Args:
      count: Clips, those of a scene in a row, or samples: as many of each
        scene.
    """
    num_scenes = len(self.samples["labels"])
    places = np.arange(count).reshape(num_scenes, -1)
    half = num_scenes // 2
    first, second = places[:half].ravel(), places[half : 2 * half].ravel()
    if not half:
      return places.ravel()
    return np.stack([first, second], axis=1).ravel()

  def scored(self) -> Iterator[ScoredScene]:
    """Yields the scenes with what is known of them, in the samples' order."""
    for index in self.indices:
      yield scenes.load_scene(
        self.source, index, self.views, self.frames or slice(None)
      )
