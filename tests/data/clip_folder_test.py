"""Tests of clips in folders of any layout."""

import coded_videos
import numpy as np
import pytest
from PIL import Image

from data_gen.errors import DataError
from magvit3d.data.videos.clip_folder import ClipFolder


def _frames(count, size=16, first=0):
  return np.stack(
    [coded_videos.code_frame(first + i, size) for i in range(count)]
  )


def _write_frames(folder, frames, name="frame_{}.png"):
  folder.mkdir(parents=True)
  for i, frame in enumerate(frames):
    Image.fromarray(frame).save(folder / name.format(i + 1))


def _write_gif(path, frames):
  images = [Image.fromarray(frame) for frame in frames]
  path.parent.mkdir(parents=True, exist_ok=True)
  images[0].save(path, save_all=True, append_images=images[1:], duration=100)


def _numbers(clip):
  return [coded_videos.read_number(frame) for frame in clip]


def _open(folder, num_frames=4, **options):
  return ClipFolder(folder, "--real", num_frames=num_frames, **options)


def test_all_kinds_of_videos_are_clips_of_their_middle(tmp_path):
  coded_videos.write_video(tmp_path / "b.mp4", 11)
  _write_frames(tmp_path / "class" / "c", _frames(12, 64))
  _write_gif(tmp_path / "a.gif", _frames(4, 64, first=7))
  (tmp_path / "notes.txt").write_text("no clip")
  (tmp_path / ".hidden.mp4").write_text("no clip")
  clips = _open(tmp_path)
  assert clips.names == ("a", "b", "class/c")
  assert clips.lengths == (4, 11, 12)
  assert len(clips) == 3 and clips.framing.image_size == 64
  found = clips[:]
  assert found.shape == (3, 4, 64, 64, 3) and found.dtype == np.uint8
  assert [_numbers(clip) for clip in found] == [
    [7, 8, 9, 10],
    [4, 5, 6, 7],
    [4, 5, 6, 7],
  ]
  np.testing.assert_array_equal(clips[1:2], found[1:2])
  # Pictures are stored without loss.
  np.testing.assert_array_equal(found[2], _frames(4, 64, first=4))


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
  """10 comes after 9 also where names have no leading zeros."""
  _write_frames(tmp_path / "a", _frames(12))
  assert _numbers(_open(tmp_path, 12)[:][0]) == list(range(12))


def test_a_stride_takes_every_second_frame(tmp_path):
  _write_frames(tmp_path / "a", _frames(9))
  assert _numbers(_open(tmp_path, 4, frame_stride=2)[:][0]) == [1, 3, 5, 7]


def test_the_middle_square_is_scaled(tmp_path):
  frames = np.zeros((4, 8, 20, 3), np.uint8)
  frames[:, :, 6:14] = np.arange(8, dtype=np.uint8)[None, None, :, None] * 30
  _write_frames(tmp_path / "a", frames)
  np.testing.assert_array_equal(_open(tmp_path)[:][0], frames[:, :, 6:14])
  assert _open(tmp_path, image_size=4)[:].shape == (1, 4, 4, 4, 3)


def test_equal_frames_of_a_gif_count(tmp_path):
  """Pillow, as others, stores them once and shows them longer."""
  frames = _frames(6)[[0, 1, 1, 1, 2, 3]]
  _write_gif(tmp_path / "a.gif", frames)
  with Image.open(tmp_path / "a.gif") as image:
    assert image.n_frames == 4
  np.testing.assert_array_equal(_open(tmp_path, 6)[:][0], frames)


def test_the_fingerprint_is_of_names_and_sizes(tmp_path):
  _write_frames(tmp_path / "1" / "a", _frames(4))
  _write_frames(tmp_path / "2" / "a", _frames(4))
  _write_frames(tmp_path / "3" / "b", _frames(4))
  one, two, three = (_open(tmp_path / name).fingerprint for name in "123")
  assert one == two != three


def test_no_folder_and_no_clips_are_errors(tmp_path):
  with pytest.raises(DataError, match=r"--real=.*gone is no folder"):
    _open(tmp_path / "gone")
  (tmp_path / "text.txt").write_text("no clip")
  with pytest.raises(DataError, match=r"has no clips: .*\*\.mp4.*\*\.png"):
    _open(tmp_path)


def test_two_clips_of_one_name_are_an_error(tmp_path):
  _write_frames(tmp_path / "a", _frames(4))
  _write_gif(tmp_path / "a.gif", _frames(4))
  with pytest.raises(DataError, match=r"would both be the clip 'a'"):
    _open(tmp_path)


def test_frames_beside_clips_are_an_error(tmp_path):
  _write_frames(tmp_path / "a", _frames(4))
  _write_gif(tmp_path / "a" / "b.gif", _frames(4))
  with pytest.raises(DataError, match=r"both frames and clips \(b\.gif\)"):
    _open(tmp_path)


def test_loose_frames_are_an_error(tmp_path):
  _write_frames(tmp_path / "a", _frames(4))
  with pytest.raises(DataError, match="one folder for each clip"):
    _open(tmp_path / "a")


def test_short_videos_are_named_with_the_flags(tmp_path):
  _write_frames(tmp_path / "long", _frames(8))
  _write_frames(tmp_path / "short", _frames(6))
  with pytest.raises(DataError) as error:
    _open(tmp_path, 4, frame_stride=2)
  assert str(error.value) == (
    "--real: short has 6 frames, but a clip of --num_frames=4 with "
    "--frame_stride=2 spans 7; 1 of 2 videos are too short. Lower one of these "
    "flags, or take the videos away."
  )


def test_different_sizes_need_a_common_one(tmp_path):
  _write_frames(tmp_path / "a", _frames(4))
  _write_frames(tmp_path / "b", _frames(4, 8))
  with pytest.raises(DataError, match=r"has 16 pixels in .*a, 8 in .*b\. Give"):
    _open(tmp_path)
  assert _open(tmp_path, image_size=8)[:].shape == (2, 4, 8, 8, 3)


def test_no_frame_is_scaled_unasked(tmp_path):
  _write_frames(tmp_path / "a", [*_frames(3), *_frames(1, 8)])
  clips = _open(tmp_path)
  with pytest.raises(
    DataError, match=r"frame_4\.png has 8 .* frames 16\. Give"
  ):
    clips[:]
  assert _open(tmp_path, image_size=8)[:].shape == (1, 4, 8, 8, 3)


@pytest.mark.usefixtures("failed_reads_collected")
def test_all_damaged_files_are_named_at_once(tmp_path):
  for name in ("a.gif", "b.webp", "c.mp4"):
    (tmp_path / name).write_bytes(b"GIF89a and no more")
  _write_gif(tmp_path / "d.gif", _frames(4))
  with pytest.raises(DataError, match="3 of 4 videos of --real=") as error:
    _open(tmp_path, 1)
  for name in ("a.gif", "b.webp", "c.mp4"):
    assert name in str(error.value)


@pytest.mark.usefixtures("failed_reads_collected")
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4", "a/1.png"])
def test_damaged_files_are_named(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  path.write_bytes(b"GIF89a and no more")
  with pytest.raises(DataError) as error:
    _open(tmp_path, 1)
  assert str(path) in str(error.value)
