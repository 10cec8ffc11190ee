"""Frames of GIF and WebP files are the files' own, whatever their rates."""

import coded_videos
import numpy as np
import pytest
from PIL import Image

from magvit3d.media.animated_picture import AnimatedPicture, count_frames

_LENGTH = 40
_UNITS_MS = {"gif": 10, "webp": 1}


def _write(path, durations):
  images = [
    Image.fromarray(coded_videos.code_frame(i, 16))
    for i in range(len(durations))
  ]
  images[0].save(
    path,
    save_all=True,
    append_images=images[1:],
    duration=durations,
    lossless=True,
  )
  return AnimatedPicture(path)


def _rounded(ends_ms, unit_ms, rounding=np.rint):
  """Durations, ms, of pictures that end then, in a file of whole units."""
  times = rounding(np.array(ends_ms) / unit_ms).astype(int) * unit_ms
  return np.diff(times, prepend=0)


@pytest.mark.parametrize("rounding", [np.rint, np.floor])
@pytest.mark.parametrize("rate", [12, 24, 29.97, 40, 60, 75])
@pytest.mark.parametrize("suffix", _UNITS_MS)
def test_no_rounded_time_is_a_repetition(rate, suffix, rounding):
  ends = np.arange(1, 1001) * 1000 / rate
  durations = _rounded(ends, _UNITS_MS[suffix], rounding)
  assert set(count_frames(durations, _UNITS_MS[suffix])) == {1}


@pytest.mark.parametrize("suffix", _UNITS_MS)
def test_the_frames_of_a_file_of_uneven_times_are_its_pictures(
  tmp_path, suffix
):
  durations = [120, 340, 80, 570, 60, 130]
  picture = _write(tmp_path / f"a.{suffix}", durations)
  assert picture.num_frames == len(durations)
  frames = picture.frames(np.arange(len(durations)))
  found = [coded_videos.read_number(np.asarray(frame)) for frame in frames]
  assert found == list(range(len(durations)))


def test_a_few_uneven_times_have_no_rate_by_chance():
  """A frame of 38 ms, 3, 3, 4, 5 and 1 times, is less likely than none."""
  durations = np.array([110, 110, 150, 190, 30, 30])
  assert set(count_frames(durations, 10)) == {1}


@pytest.mark.parametrize("rate", [24, 29.97, 30])
@pytest.mark.parametrize("unit_ms", _UNITS_MS.values())
def test_equal_frames_count_at_rates_that_are_rounded(rate, unit_ms):
  repeats = np.random.default_rng(0).integers(1, 4, _LENGTH)
  repeats[0] = 1
  durations = _rounded(np.cumsum(repeats) * 1000 / rate, unit_ms)
  assert len(set(durations.tolist())) > 3
  found = count_frames(durations, unit_ms)
  np.testing.assert_array_equal(found[:-1], repeats[:-1])


def test_the_last_picture_counts_once(tmp_path):
  picture = _write(tmp_path / "a.gif", [100, 100, 200, 900])
  assert picture.num_frames == 5


def test_a_still_picture_is_one_frame(tmp_path):
  assert _write(tmp_path / "a.gif", [100]).num_frames == 1
