"""Tokens of what several cameras saw of a scene, as one sample."""

import dataclasses
from typing import SupportsIndex

import numpy as np

from magvit3d.data.clips import Sample
from magvit3d.data.scene_clips import check_num_views, spread_views
from magvit3d.data.token_records import TokenSource
from magvit3d.models import cameras


@dataclasses.dataclass(frozen=True)
class SceneTokens:
  """One sample a scene, as a random-access source.

  Attributes:
    clips: Tokens of all clips, those of a scene in a row.
    total_views: Cameras of a scene.
    num_views: Cameras of a sample, v.

  Raises:
    UserError: There are not as many cameras.
  """

  clips: TokenSource
  total_views: int
  num_views: int

  def __post_init__(self):
    check_num_views(
      self.num_views, self.total_views, field="transformer.num_views"
    )

  def __len__(self) -> int:
    return len(self.clips) // self.total_views

  def __getitem__(self, index: SupportsIndex) -> Sample:
    """Returns a scene; its views are evenly apart.

    Returns:
      tokens: int32 (v*t, h, w). cond_tokens: int32 (tasks, v*t, h, w).
      labels: int32, the class. views: int32 (v,), increasing.
      intrinsics: float32 (v, 3, 3). camera_from_world: float32 (v, 3, 4).
    """
    return self._of_views(index, spread_views(self.num_views, self.total_views))

  def _of_views(self, index: SupportsIndex, views: np.ndarray) -> Sample:
    first = int(index) * self.total_views
    clips = [self.clips.with_camera(first + view) for view in views]
    sample = {
      key: np.stack([clip[key] for clip in clips]) for key in cameras.KEYS
    }
    return sample | {
      "tokens": np.concatenate([clip["tokens"] for clip in clips]),
      "cond_tokens": np.concatenate(
        [clip["cond_tokens"] for clip in clips], axis=1
      ),
      "labels": clips[0]["labels"],
    }


class TrainingSceneTokens(SceneTokens):
  """Scenes for training: `make_batches` takes random views."""

  def random_clip(
    self, index: SupportsIndex, rng: np.random.Generator
  ) -> Sample:
    """Returns scene `index`; `rng` chooses the views."""
    views = rng.choice(self.total_views, self.num_views, replace=False)
    return self._of_views(index, np.sort(views))
