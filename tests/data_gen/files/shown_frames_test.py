"""Frames are those that players show, of the stream that is the video."""

import numpy as np
import pytest
from coded_videos import GROUP_LENGTH, code_frame, read_number, write_video
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import video_files
from data_gen.files.video_files import VideoFile, count_frames

av = pytest.importorskip("av")

_LENGTH = 50


def _numbers(path):
  video = VideoFile(path, label=0)
  frames = video.frames(np.arange(video.num_frames))
  return [read_number(np.asarray(frame)) for frame in frames]


def _copy(source, target, first=0, skip=0):
  """Copies packets; frames before `first` come before time 0.

  An MP4 then has an edit list that hides them.
  """
  layout = {} if target.suffix == ".mkv" else {"movflags": "faststart"}
  with (
    av.open(str(source)) as given,
    av.open(str(target), "w", options=layout) as out,
  ):
    stream = given.streams.video[0]
    copy = out.add_stream_from_template(stream)
    shift = first * int(1 / (25 * stream.time_base))
    for number, packet in enumerate(given.demux(stream)):
      if packet.dts is not None and number >= skip:
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = copy
        out.mux(packet)
  return target


# The frame before which all is hidden, of the first group, second and fourth.
@pytest.mark.parametrize("first", [6, GROUP_LENGTH + 3, 3 * GROUP_LENGTH + 5])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_what_an_edit_list_hides_is_no_frame(tmp_path, first, suffix):
  whole = write_video(tmp_path / "h264.mp4", _LENGTH)
  cut = _copy(whole, tmp_path / f"cut.{suffix}", first)
  assert count_frames(cut) == _LENGTH - first
  assert _numbers(cut) == list(range(first, _LENGTH))
  late = VideoFile(cut, label=0).frames(np.array([_LENGTH - first - 1]))
  assert read_number(np.asarray(next(late))) == _LENGTH - 1


def test_a_trimmed_file_that_is_cut_off_is_still_named(tmp_path):
  whole = write_video(tmp_path / "h264.mp4", _LENGTH)
  cut = _copy(whole, tmp_path / "cut.mov", 35)
  with av.open(str(cut)) as container:
    assert container.streams.video[0].frames == _LENGTH
  data = cut.read_bytes()
  cut.write_bytes(data[: int(0.6 * len(data))])
  for read in (count_frames, _numbers):
    with pytest.raises(DataError, match=r"cut\.mov is cut off or damaged: it"):
      read(cut)


def test_the_index_is_not_believed_beyond_the_end_of_the_file(tmp_path):
  path = write_video(tmp_path / "h264.mp4", _LENGTH)  # Its index comes first.
  data = path.read_bytes()
  path.write_bytes(data[: int(0.6 * len(data))])
  with pytest.raises(DataError, match=r"h264\.mp4 is cut off or damaged: it"):
    count_frames(path)


def test_frames_before_the_first_key_frame_do_not_count(tmp_path):
  whole = write_video(tmp_path / "h264.mkv", _LENGTH)
  late = _copy(whole, tmp_path / "late.mkv", skip=4)
  found = _numbers(late)
  assert count_frames(late) == len(found)
  assert 4 < found[0] <= GROUP_LENGTH
  assert found == list(range(found[0], _LENGTH))


def test_frames_that_hang_on_a_group_that_is_gone_do_not_count(tmp_path):
  """Those shown before the first key frame, but stored after it."""
  path = tmp_path / "open.mkv"
  with av.open(str(path), "w") as out:
    stream = out.add_stream("mpeg2video", rate=25)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    stream.codec_context.gop_size = GROUP_LENGTH
    stream.codec_context.max_b_frames = 2
    for number in range(_LENGTH):
      frame = av.VideoFrame.from_ndarray(code_frame(number), "rgb24")
      out.mux(stream.encode(frame))
    out.mux(stream.encode())
  late = _copy(path, tmp_path / "late.mkv", skip=4)
  with av.open(str(late)) as container:
    decoded = sum(1 for _ in container.decode(video=0))
  assert count_frames(late) == decoded
  assert _numbers(late) == list(range(_LENGTH - decoded, _LENGTH))


def _write_streams(path, videos):
  """Writes streams of (codec, frames, disposition)."""
  with av.open(str(path), "w") as out:
    streams = []
    for codec, frames, disposition in videos:
      stream = out.add_stream(codec, rate=25)
      stream.height, stream.width = frames[0].shape[:2]
      stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
      if disposition:
        stream.disposition = disposition
      streams.append(stream)
    for stream, (_, frames, _) in zip(streams, videos, strict=True):
      for frame in frames:
        out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
      out.mux(stream.encode())
  return path


_PICTURE = [np.full((128, 128, 3), 200, np.uint8)]
_VIDEO = [code_frame(i) for i in range(12)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_cover_picture_is_not_the_video(tmp_path, name, place):
  cover = ("mjpeg", _PICTURE, av.stream.Disposition.attached_pic)
  streams = [("libx264", _VIDEO, None)]
  streams.insert(place, cover)
  path = _write_streams(tmp_path / name, streams)
  assert count_frames(path) == 12
  assert _numbers(path) == list(range(12))


def test_a_cover_alone_is_no_video(tmp_path):
  cover = ("mjpeg", _PICTURE, av.stream.Disposition.attached_pic)
  path = _write_streams(tmp_path / "sound.mp4", [cover])
  with pytest.raises(DataError, match=r"sound\.mp4 has no video in it"):
    count_frames(path)


def test_a_preview_that_comes_first_is_not_the_video(tmp_path):
  small = [frame[::2, ::2] for frame in _VIDEO[::-1]]
  path = _write_streams(
    tmp_path / "a.mkv", [("libx264", small, None), ("libx264", _VIDEO, None)]
  )
  assert _numbers(path) == list(range(12))


def test_transparent_video_shows_no_hidden_colours(tmp_path):
  frame = np.zeros((16, 16, 4), np.uint8)
  frame[..., :3] = 200
  frame[:, 8:, 3] = 255
  path = tmp_path / "cut_out.mov"
  with av.open(str(path), "w") as out:
    stream = out.add_stream("qtrle", rate=25)
    stream.height = stream.width = 16
    stream.pix_fmt = "argb"
    out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgba")))
    out.mux(stream.encode())
  video = VideoFile(path, label=0)
  (shown,) = video.frames(np.array([0]))
  assert shown.mode == "RGB"
  wanted = np.where(np.arange(16)[None, :, None] < 8, 0, 200)
  np.testing.assert_array_equal(shown, np.broadcast_to(wanted, (16, 16, 3)))
  (image,) = video.images(np.array([0]))
  assert isinstance(image, Image.Image) and image.mode == "RGBA"


def test_times_are_those_of_the_file(tmp_path):
  times = [0, 1, 2, 5, 6, 9]
  path = write_video(tmp_path / "h264.mp4", 6, times=times)
  found = VideoFile(path, label=0).times_s
  np.testing.assert_allclose(found, np.array(times) / 25, atol=1e-4)
  steady = write_video(tmp_path / "mpeg4.avi", 6)
  found = VideoFile(steady, label=0).times_s
  np.testing.assert_allclose(found, np.arange(6) / 25, atol=1e-4)


def test_index_and_packets_agree(tmp_path, monkeypatch):
  for name in ("h264.mp4", "mpeg4.avi", "mpeg4.mov"):
    path = write_video(tmp_path / name, _LENGTH)
    with monkeypatch.context() as patch:
      patch.setattr(video_files, "_read_packets", None)  # The index alone.
      assert count_frames(path) == _LENGTH, name
