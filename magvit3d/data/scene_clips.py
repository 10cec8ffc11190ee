"""What several cameras saw of a scene, with the cameras, as one sample."""

import dataclasses
from collections.abc import Mapping
from typing import SupportsIndex

import numpy as np

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.data.clips import Sample, background_of, window_of
from magvit3d.data.frame_window import FrameWindow
from magvit3d.errors import UserError


@dataclasses.dataclass(frozen=True)
class SceneClips:
  """One sample a scene, as a random-access source.

  Attributes:
    scenes: Where they come from.
    num_views: Cameras of a sample, v; None for all.
    window: Frames of a clip; None for all.

  Raises:
    UserError: There are not as many cameras.
  """

  scenes: SceneSource
  num_views: int | None = None
  window: FrameWindow | None = None

  def __post_init__(self):
    check_num_views(self.num_views, self.scenes.num_views)

  def __len__(self) -> int:
    return len(self.scenes)

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names by label."""
    return self.scenes.class_names

  @property
  def views_per_sample(self) -> int:
    """Cameras of a sample, v."""
    return self.num_views or self.scenes.num_views

  def __getitem__(self, index: SupportsIndex) -> Sample:
    """Returns a scene in the middle window; its views are evenly apart.

    Returns:
      frames: uint8 (v, t, h, w, 3). masks: uint8 (v, t, h, w), 0 background.
      background: float32 (v, 1, 1, 3), the colour, or (v, h, w, 3), the
      picture behind the objects, in [0, 1].
      labels: int32, the class. scene_id: int64.
      views: int32 (v,), increasing: which cameras these are.
      intrinsics: float32 (v, 3, 3). camera_from_world: float32 (v, 3, 4).
      trajectory: float32 (t, 3), metres. orientation: float32 (t, 4),
      quaternions wxyz. size: float32, the scale of the object.
    """
    views = spread_views(self.views_per_sample, self.scenes.num_views)
    return self._cut(index, views, window_of(self).middle)

  def _cut(
    self, index: SupportsIndex, views: np.ndarray, frames: slice
  ) -> Sample:
    scene = self.scenes.views(index, views.tolist(), _KEYS)
    background = background_of(scene)
    if background.ndim == 3:
      background = np.repeat(background[None], len(views), axis=0)
    return {
      "frames": scene[schema.FRAMES][:, frames],
      "masks": scene[schema.MASKS][:, frames],
      "background": background,
      "labels": np.int32(scene[schema.CLASS]),
      "scene_id": np.int64(scene[schema.SCENE_ID]),
      "views": views.astype(np.int32),
      "intrinsics": scene[schema.INTRINSICS],
      "camera_from_world": scene[schema.CAMERA_FROM_WORLD],
      "trajectory": scene[schema.TRAJECTORY][frames],
      "orientation": scene[schema.ORIENTATION][frames],
      "size": np.float32(scene[schema.SIZE]),
    }


class TrainingSceneClips(SceneClips):
  """Scenes for training: `make_batches` takes random views and windows."""

  def random_clip(
    self, index: SupportsIndex, rng: np.random.Generator
  ) -> Sample:
    """Returns scene `index`; `rng` chooses views and frames."""
    views = rng.choice(
      self.scenes.num_views, self.views_per_sample, replace=False
    )
    return self._cut(index, np.sort(views), window_of(self).draw(rng))


_KEYS = (
  schema.FRAMES,
  schema.MASKS,
  schema.BACKGROUND,
  schema.BACKGROUND_FRAMES,
  schema.CLASS,
  schema.SCENE_ID,
  schema.INTRINSICS,
  schema.CAMERA_FROM_WORLD,
  schema.TRAJECTORY,
  schema.ORIENTATION,
  schema.SIZE,
)


def spread_views(count: int, total: int) -> np.ndarray:
  """Returns the numbers of `count` of `total` cameras, evenly apart."""
  return np.arange(count) * total // count


def check_num_views(
  num_views: int | None, total: int, field: str = "input.num_views"
) -> None:
  """Raises UserError unless scenes of `total` cameras have that many.

  Args:
    num_views: Cameras that are asked for; None for all.
    total: Cameras of the scenes.
    field: Of the config, that asks for them.
  """
  if num_views is not None and not 1 <= num_views <= total:
    raise UserError(
      f"config.{field}={num_views}, but the scenes have {total} cameras. Use "
      f"1 to {total}, or data with more (config.data.camera_rig)."
    )


def fold_views(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns a batch of scenes as one of clips, for models of one camera.

  Args:
    batch: Stacked samples of `SceneClips`: (n, v, ...).

  Returns:
    Those keys of `ClipSource` that there are, with n*v clips, those of a scene
    in a row.
  """
  num_views = batch["frames"].shape[1]
  folded = {
    key: batch[key].reshape(-1, *batch[key].shape[2:])
    for key in ("frames", "masks", "background")
    if key in batch
  }
  return folded | {"labels": np.repeat(batch["labels"], num_views)}
