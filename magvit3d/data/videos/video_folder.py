"""Video files in folders; see `labelled_files` for where they are."""

import os
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from data_gen import video_files
from data_gen.errors import DataError
from magvit3d.data.videos import labelled_files

_NUM_OPENING_THREADS = 16


class VideoFolder:
  """The video files of a split; see `video_clips.Videos`."""

  def __init__(
    self,
    data_dir: str | os.PathLike,
    split: str,
    *,
    min_frames: int,
    short_videos: str,
  ):
    """Finds the files, and opens each to see how many frames it has.

    Args:
      data_dir: Folder with a folder for each split.
      split: "train", "validation" or "test".
      min_frames: Frames that a video must have for a clip.
      short_videos: What becomes of those with fewer: "error", or "loop" (they
        stay) or "skip" (they are left out).

    Raises:
      DataError: Files are missing, damaged, at the wrong depth or too short.
    """
    video_files.import_av()
    files = labelled_files.find_files(data_dir, split, video_files.SUFFIXES)
    self.class_names = files.class_names
    self.fingerprint = files.fingerprint
    with ThreadPoolExecutor(_NUM_OPENING_THREADS) as pool:
      counts = list(pool.map(video_files.count_frames, files.paths))
    if short_videos == "error":
      _check_counts(files.paths, counts, min_frames)
    self._files = [
      (path, label)
      for path, label, count in zip(
        files.paths, files.labels, counts, strict=True
      )
      if short_videos != "skip" or count >= min_frames
    ]
    if not self._files:
      raise DataError(
        f"All {len(counts)} videos of {split} in {data_dir} are too short: "
        f"they have up to {max(counts)} frames, and a clip spans {min_frames}. "
        "Lower config.num_frames or dataset_configs.frame_stride."
      )

  def __len__(self) -> int:
    return len(self._files)

  def open(self, index: int) -> video_files.VideoFile:
    """Returns a video."""
    return video_files.VideoFile(*self._files[index])


def _check_counts(
  paths: Sequence[pathlib.Path], counts: Sequence[int], min_frames: int
) -> None:
  short = [i for i, count in enumerate(counts) if count < min_frames]
  if short:
    first = short[0]
    raise DataError(
      f"{paths[first]} has {counts[first]} frames, but a clip spans "
      f"{min_frames}; {len(short)} of {len(paths)} videos are too short. Set "
      "dataset_configs.short_videos='skip' to leave them out, or 'loop' to "
      "start again at their end, or lower num_frames or frame_stride."
    )
