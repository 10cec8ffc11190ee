"""Video files in folders; see `labelled_files` for where they are."""

import os
import pathlib
from collections.abc import Sequence

from absl import logging

from data_gen.errors import DataError
from data_gen.files import video_files
from magvit3d.data.videos import (
  damaged_videos,
  labelled_files,
  repeated_videos,
)


class VideoFolder:
  """The video files of a split; see `video_clips.Videos`."""

  def __init__(
    self,
    data_dir: str | os.PathLike,
    split: str,
    *,
    min_frames: int,
    short_videos: str,
    damaged: str = "error",
    repeated: str = "error",
  ):
    """Finds the files, and opens each to see how many frames it has.

    Args:
      data_dir: Folder with a folder for each split.
      split: "train", "validation" or "test".
      min_frames: Frames that a video must have for a clip.
      short_videos: What becomes of those with fewer: "error", or "loop" (they
        stay) or "skip" (they are left out).
      damaged: What becomes of files that cannot be opened: "error", or "skip"
        (they are left out, and counted in the log).
      repeated: What becomes of videos that another split has too: "error", or
        "allow" (they stay).

    Raises:
      DataError: Files are missing, damaged, at the wrong depth, too short or
        in another split too.
    """
    video_files.import_av()
    files = labelled_files.find_files(data_dir, split, video_files.SUFFIXES)
    self.class_names = files.class_names
    self.fingerprint = files.fingerprint
    found, texts = damaged_videos.open_all(
      files.paths, video_files.count_frames
    )
    if texts:
      _tell_damaged(texts, len(found), f"{split} in {data_dir}", damaged)
    whole = [
      (path, label, count)
      for path, label, count in zip(
        files.paths, files.labels, found, strict=True
      )
      if count is not None
    ]
    paths = [path for path, _, _ in whole]
    counts = [count for _, _, count in whole]
    if short_videos == "error":
      _check_counts(paths, counts, min_frames)
    self._files = [
      (path, label)
      for path, label, count in whole
      if short_videos != "skip" or count >= min_frames
    ]
    if not self._files:
      raise DataError(
        f"All {len(counts)} videos of {split} in {data_dir} are too short: "
        f"they have up to {max(counts)} frames, and a clip spans {min_frames}. "
        "Lower config.num_frames or dataset_configs.frame_stride."
      )
    if repeated == "error":
      _check_repeated(data_dir, split, [path for path, _ in self._files])

  def __len__(self) -> int:
    return len(self._files)

  def open(self, index: int) -> video_files.VideoFile:
    """Returns a video."""
    return video_files.VideoFile(*self._files[index])


def _tell_damaged(
  texts: Sequence[str], total: int, where: str, damaged: str
) -> None:
  text = damaged_videos.describe(texts, total, where)
  if damaged == "error" or len(texts) == total:
    raise DataError(
      f"{text} {video_files.ADVICE} dataset_configs.damaged_videos='skip' "
      "leaves such files out, where others are whole."
    )
  logging.warning("Left out, by dataset_configs.damaged_videos: %s", text)


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


def _check_repeated(
  data_dir: str | os.PathLike, split: str, paths: Sequence[pathlib.Path]
) -> None:
  found = repeated_videos.find_repeated(
    data_dir, split, paths, video_files.SUFFIXES
  )
  if found:
    one, other = found[0]
    raise DataError(
      f"{one} and {other} are the same video: what is tested would have been "
      f"trained on. {len(found)} of {len(paths)} videos of {split} are in "
      "another split too. Take them out of one, or set "
      "dataset_configs.repeated_videos='allow'."
    )
