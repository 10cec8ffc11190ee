"""The frames of video files that are asked for are those that come."""

import struct
import sys

import numpy as np
import pytest
from coded_videos import (
  FORMATS,
  GROUP_LENGTH,
  code_frame,
  read_number,
  write_video,
)

from data_gen.errors import DataError
from data_gen.files import video_files
from data_gen.files.video_files import VideoFile, count_frames

pytest.importorskip("av")

_LENGTH = 50


@pytest.fixture(params=FORMATS)
def path(request, tmp_path):
  return write_video(tmp_path / request.param, _LENGTH)


def _read(video, numbers):
  return [
    read_number(np.asarray(image)) for image in video.frames(np.array(numbers))
  ]


def test_all_frames_are_counted_and_come_in_order(path):
  assert count_frames(path) == _LENGTH
  video = VideoFile(path, label=3)
  assert (video.num_frames, video.label) == (_LENGTH, 3)
  assert _read(video, range(_LENGTH)) == list(range(_LENGTH))


def test_every_window_is_found(path):
  video = VideoFile(path, label=0)
  for start in range(_LENGTH - 6):
    numbers = [start, start + 3, start + 6]
    assert _read(video, numbers) == numbers


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg4.avi", "h264.mkv"])
def test_late_windows_are_decoded_from_the_key_frame_before(
  name, tmp_path, monkeypatch
):
  starts = []
  decode = VideoFile._decode

  def watch(self, wanted, start):
    starts.append(start)
    return decode(self, wanted, start)

  monkeypatch.setattr(VideoFile, "_decode", watch)
  video = VideoFile(write_video(tmp_path / name, _LENGTH), label=0)
  assert _read(video, [45, 47]) == [45, 47]
  assert len(starts) == 1
  first = np.searchsorted(video._times, starts[0])
  assert 45 - GROUP_LENGTH < first <= 45


def test_frames_at_uneven_times_are_numbered_one_after_the_other(tmp_path):
  times = np.cumsum(1 + np.arange(_LENGTH) % 4)
  path = write_video(tmp_path / "h264.mkv", _LENGTH, times=times.tolist())
  video = VideoFile(path, label=0)
  assert video.num_frames == _LENGTH
  for start in (0, 17, 44):
    assert _read(video, [start, start + 5]) == [start, start + 5]


def test_phone_video_is_turned_the_right_way_up(tmp_path):
  path = write_video(tmp_path / "h264.mp4", length=4)
  data = bytearray(path.read_bytes())
  # The matrix (a b u, c d v, x y w) of the track header, 40 bytes into it:
  # x' = a x + c y, y' = b x + d y. Here x' = -y, y' = x: clockwise.
  start = data.index(b"tkhd") + 4 + 40
  one = 1 << 16
  matrix = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
  assert data[start : start + 4] == struct.pack(">i", one)
  data[start : start + 36] = matrix
  path.write_bytes(data)
  (image,) = VideoFile(path, label=0).frames(np.array([2]))
  upright = code_frame(2).astype(int)
  clockwise = np.stack([upright[::-1, :, c].T for c in range(3)], axis=-1)
  assert np.abs(np.asarray(image) - clockwise).mean() < 20
  assert np.abs(np.asarray(image) - upright).mean() > 50


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.8])
def test_cut_off_file_is_named(path, share):
  data = path.read_bytes()
  path.write_bytes(data[: int(share * len(data))])
  with pytest.raises(DataError, match=path.name):
    video = VideoFile(path, label=0)
    if path.suffix in (".mkv", ".webm"):
      assert video.num_frames < 0.9 * _LENGTH  # Their headers name no count.
      raise DataError(video.name)
    _read(video, [0, _LENGTH - 1])


def test_file_without_video_is_named(tmp_path):
  path = tmp_path / "note.mp4"
  path.write_text("not a video, though it says so" * 100)
  with pytest.raises(DataError, match=r"note\.mp4 cannot be read as a video"):
    count_frames(path)


def test_missing_pyav_is_an_error_that_names_the_extra(monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)
  with pytest.raises(DataError, match=r"'\.\[video\]'"):
    video_files.import_av()
