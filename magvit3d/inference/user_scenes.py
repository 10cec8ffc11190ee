"""A user's clips with their cameras, as one transformer or the other has them.

A transformer of several views reads scenes (v, t, h, w, 3), or batches of
these; one of single clips reads clips, each of which is a scene here.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from magvit3d.errors import UserError
from magvit3d.inference import user_videos
from magvit3d.inference.camera_rigs import Rig, check_given_views, read_rig
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.models.cameras import Cameras


@dataclasses.dataclass(frozen=True)
class Scenes:
  """Clips of n scenes, those of a scene in a row.

  Attributes:
    videos: The clips, n*v.
    count: Scenes, n.
    cameras: Of them; None for a transformer of single clips.
  """

  videos: user_videos.Videos
  count: int
  cameras: Cameras | None = None

  @property
  def num_views(self) -> int:
    """Views of a scene, v."""
    return 1 if self.cameras is None else self.cameras.views.shape[1]

  @property
  def clips(self) -> Float[np.ndarray, "b t h w 3"]:
    """The clips in [0, 1]."""
    return self.videos.clips

  def like_given(self, clips: np.ndarray) -> np.ndarray:
    """Returns clips (n*v, ...) with the axes of what was given."""
    if self.cameras is not None:
      clips = clips.reshape(self.count, -1, *clips.shape[1:])
    return self.videos.like_given(clips)

  def read_mask(self, mask: Any) -> Bool[np.ndarray, "b t h w"]:
    """Checks a mask of the pixels to fill in, of all scenes or of each.

    Raises:
      UserError: Shape or type are others, or no pixel of a clip is given.
    """
    sizes = self.clips.shape[1:4]
    if self.cameras is None:
      return user_videos.read_mask(mask, (self.count, *sizes))
    found = user_videos.read_mask(mask, (self.count, self.num_views, *sizes))
    return found.reshape(-1, *sizes)

  def check_given_views(self, given_views: Sequence[int]) -> tuple[int, ...]:
    """Returns the numbers of views; see `camera_rigs.check_given_views`."""
    return check_given_views(given_views, self.num_views)

  def of_views(self, views: Sequence[int]) -> Bool[np.ndarray, " b"]:
    """Returns which clips are those of some views."""
    found = np.zeros((self.count, self.num_views), bool)
    found[:, list(views)] = True
    return found.reshape(-1)

  def with_all_views(self, views: Sequence[int]) -> "Scenes":
    """Returns scenes of which only some views were read, the others black."""

    def widened(clips):
      sizes = clips.shape[1:]
      wide = np.zeros((self.count, self.num_views, *sizes), clips.dtype)
      wide[:, list(views)] = clips.reshape(self.count, -1, *sizes)
      return wide.reshape(-1, *sizes)

    videos = dataclasses.replace(
      self.videos,
      clips=widened(self.videos.clips),
      pixels=widened(self.videos.pixels),
    )
    return dataclasses.replace(self, videos=videos)


def read_rig_of(trained: TrainedNetworks, cameras: Any) -> Rig | None:
  """Checks cameras; None for a transformer of single clips.

  Raises:
    UserError: They cannot be, or are not wanted.
  """
  if trained.sees_views:
    return read_rig(trained, cameras)
  if cameras is not None:
    raise UserError(
      "This transformer has learnt single clips and reads no cameras; "
      "configs/traj3d_multiview.py trains one that does. Leave cameras out."
    )
  return None


def read_scenes(
  trained: TrainedNetworks,
  video: Any,
  cameras: Any = None,
  *,
  least_frames: int | None = None,
  given_views: Sequence[int] | None = None,
) -> Scenes:
  """Checks a user's video and cameras.

  Args:
    trained: Networks that shall read them.
    video: Clips, or scenes, uint8 or floats.
    cameras: See `read_rig`.
    least_frames: If given, clips of that many frames or more will do.
    given_views: The clips are of these views only; None: of all.

  Raises:
    UserError: Shape, type or values are others than expected.
  """
  shape = trained.clip_shape
  rig = read_rig_of(trained, cameras)
  if rig is None:
    videos = user_videos.read_videos(video, shape, least_frames=least_frames)
    return Scenes(videos, len(videos.clips))
  num_clips = rig.num_views if given_views is None else len(given_views)
  videos = user_videos.read_views(
    video, shape, num_clips, least_frames=least_frames
  )
  count = len(videos.clips) // num_clips
  return Scenes(videos, count, rig.of_scenes(count))
