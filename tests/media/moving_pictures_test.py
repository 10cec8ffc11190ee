"""GIF and MP4 files show the frames they were made of."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from magvit3d.media import moving_pictures


def _frames():
  """A square that moves over few colours."""
  frames = np.zeros((5, 40, 64, 3), np.uint8)
  for time, frame in enumerate(frames):
    frame[10:30, 8 * time : 8 * time + 20] = (200, 40, 90)
  return frames


def test_gif_has_the_frames_and_the_times(tmp_path):
  path = tmp_path / "clip.gif"
  moving_pictures.write_gif(path, _frames())
  with Image.open(path) as image:
    found, times = [], []
    for frame in ImageSequence.Iterator(image):
      found.append(np.asarray(frame.convert("RGB")))
      times.append(frame.info["duration"])
    assert image.info["loop"] == 0
  np.testing.assert_array_equal(np.stack(found), _frames())
  # GIF counts hundredths of a second.
  assert times == [120] * 4 + [750]


def test_mp4_has_the_frames_up_to_its_losses(tmp_path):
  av = pytest.importorskip("av")
  path = tmp_path / "clip.mp4"
  assert moving_pictures.write_mp4(path, _frames()) is None
  with av.open(str(path)) as file:
    found = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert file.streams.video[0].average_rate == 8
  error = np.stack(found).astype(float) - _frames()
  # Colours have half the resolution, so edges differ.
  assert np.sqrt(np.mean(error**2)) < 20 and np.median(np.abs(error)) < 4


def test_enlarged_frames_are_wide_and_even():
  frames = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
  large = moving_pictures.enlarged(frames, 12)
  assert large.shape == (2, 10, 16, 3)
  np.testing.assert_array_equal(large[:, 1:9:3, 1:15:3], frames)
