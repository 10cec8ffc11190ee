"""Frames of several cameras are paired by the times of their taking."""

import dataclasses

import numpy as np
import pytest
import small_footage
from coded_videos import code_frame, read_number

from data_gen import schema
from data_gen.errors import DataError
from data_gen.footage.camera_times import Clock, is_by_count, pair_frames
from data_gen.footage.footage import Footage


def _clock(name, times_s, first_frame=0):
  times = np.round(np.array(times_s, float), 3)  # As in MKV files.
  return Clock(name, f"{name}.mkv", len(times), times, first_frame)


def _steady(name, rate, count, first_frame=0, start=0.0):
  return _clock(name, start + np.arange(count) / rate, first_frame)


def _numbers(pairing):
  return [frames.tolist() for frames in pairing.frames]


def test_cameras_in_step_are_paired_one_by_one():
  clocks = [_steady("a", 29.97, 20), _steady("b", 29.97, 26, first_frame=4)]
  pairing = pair_frames(clocks, "time")
  assert _numbers(pairing) == [list(range(20)), list(range(4, 24))]
  assert pairing.notes == () and is_by_count(clocks, pairing)
  assert pairing.most_rows == 22


@pytest.mark.parametrize("is_first", [True, False])
def test_each_frame_of_the_slowest_has_those_of_its_time(is_first):
  """Whichever comes first in the JSON."""
  clocks = [_steady("slow", 30, 20), _steady("fast", 60, 44, first_frame=3)]
  pairing = pair_frames(clocks if is_first else clocks[::-1], "time")
  slow, fast = _numbers(pairing)[:: 1 if is_first else -1]
  assert slow == list(range(20)) and fast == list(range(3, 43, 2))
  assert pairing.most_rows == 20
  (note,) = pairing.notes
  assert "slow (slow.mkv) has 30" in note and "fast (fast.mkv) has 60" in note
  count = pair_frames(clocks, "count")
  assert _numbers(count) == [list(range(20)), list(range(3, 23))]


def test_rates_that_are_no_multiples_are_paired_by_the_nearest():
  times = [np.arange(50) / 25, np.arange(60) / 30]
  clocks = [_clock("a", times[0]), _clock("b", times[1])]
  slow, fast = pair_frames(clocks, "time").frames
  offsets = np.abs(times[1][fast] - times[0][slow])
  wanted = np.abs(times[1][None] - times[0][slow][:, None]).min(axis=1)
  np.testing.assert_allclose(offsets, wanted, atol=1e-3)


_LOST = np.delete(np.arange(20), [10, 11, 12]) / 25


def test_lost_frames_are_an_error_that_names_cameras_and_offset():
  clocks = [_steady("a", 25, 20), _clock("b", _LOST)]
  message = (
    r"b \(b\.mkv\) has no frame at the time of 3 of the 20 frames of a "
    r"\(a\.mkv\): that of 0\.400 s .* is 40 ms from the nearest, .* \(20 ms\)"
    r".*--pair_by=nearest.*--pair_by=count"
  )
  with pytest.raises(DataError, match=message):
    pair_frames(clocks, "time")
  pairing = pair_frames(clocks, "nearest")
  numbers = [*range(10), 9, 9, 10, *range(10, 17)]
  assert _numbers(pairing)[0] == list(range(20))
  found = _numbers(pairing)[1]
  assert found[:10] == numbers[:10] and found[13:] == numbers[13:]
  assert set(found[10:13]) <= {9, 10}
  (note,) = pairing.notes
  assert "up to 80 ms off" in note


def test_frames_that_the_first_camera_lost_are_left_out():
  clocks = [_clock("a", _LOST), _steady("b", 25, 20)]
  pairing = pair_frames(clocks, "time")
  assert _numbers(pairing) == [
    list(range(17)),
    [*range(10), *range(13, 20)],
  ]
  assert "paired by their times" in pairing.notes[0]
  assert "a (a.mkv) lacks frames: up to 160 ms" in pairing.notes[1]
  assert not is_by_count(clocks, pairing)


def test_cameras_that_drift_apart_stay_together_in_time():
  """After 10 minutes 29.97 frames a second are 18 frames behind 30."""
  clocks = [_steady("a", 30, 18_000), _steady("b", 29.97, 17_990)]
  pairing = pair_frames(clocks, "time")
  last = pairing.frames[1][-1] - pairing.frames[0][-1]
  assert last == -18 or last == -17


def test_unknown_times_are_paired_by_number_and_noted():
  clocks = [_steady("a", 30, 20), _steady("b", 60, 20)]
  clocks[1] = dataclasses.replace(clocks[1], times_s=None)
  pairing = pair_frames(clocks, "time")
  assert is_by_count(clocks, pairing)
  assert "b (b.mkv) has neither time stamps nor a rate" in pairing.notes[0]


def test_one_frame_is_paired_with_the_first():
  clocks = [_steady("a", 30, 1), _steady("b", 60, 4, first_frame=3)]
  assert _numbers(pair_frames(clocks, "time")) == [[0], [3]]


@pytest.fixture
def two_rates(tmp_path):
  """Folder of a recording at 25 and 50 frames a second, with a label video."""
  cameras = []
  for view, step in enumerate((2, 1)):
    numbers = np.arange(0, 40, step)
    frames = np.stack([code_frame(int(number)) for number in numbers])
    rate = 50 // step
    small_footage.write_video(tmp_path / f"{view}.mkv", frames, rate=rate)
    masks = np.zeros((len(numbers), 64, 64, 3), np.uint8)
    for mask, number in zip(masks, numbers, strict=True):
      mask[number : number + 8, :8] = 255
    small_footage.write_video(tmp_path / f"masks{view}.mkv", masks, rate=rate)
    pose = np.eye(4)[:3]
    pose[2, 3] = 3 + view
    cameras.append(
      {
        "video": f"{view}.mkv",
        "masks": f"masks{view}.mkv",
        "intrinsics": [[60, 0, 31.5], [0, 60, 31.5], [0, 0, 1]],
        "camera_from_world": pose.tolist(),
      }
    )
  entry = {"name": "a", "split": "train", "cameras": cameras}
  small_footage.write_json(tmp_path, {"recordings": [entry]})
  return tmp_path


def _open(folder, **changes):
  options = {"image_size": 64, "num_frames": 10} | changes
  return Footage(small_footage.make_options(folder, folder / "out", **options))


def test_clips_of_cameras_of_two_rates_show_the_same_times(two_rates):
  footage = _open(two_rates)
  assert footage.num_scenes("train") == 2
  scene = footage.make_scene("train", 1)
  for view in range(2):
    found = [read_number(frame) for frame in scene[schema.FRAMES][view]]
    assert found == list(range(20, 40, 2))
    tops = scene[schema.MASKS][view].any(axis=2).argmax(axis=1)
    assert tops.tolist() == found
  assert footage.arguments()["pair_by"] == "time"
  assert any("differ in their rates" in note for note in footage.notes())


def test_frames_that_are_shown_twice_come_twice(two_rates):
  footage = _open(two_rates, pair_by="nearest", num_frames=20)
  (recording,) = footage.recordings
  camera = dataclasses.replace(
    recording.cameras[0], shown=np.array([0, 0, 1, 1, 1, 2])
  )
  found = [read_number(frame) for frame in camera.frames(np.arange(6))]
  assert found == [0, 0, 2, 2, 2, 4]
  tops = camera.read_masks(np.arange(6))[0].any(axis=2).argmax(axis=1)
  assert tops.tolist() == found


def test_a_flag_that_changes_nothing_is_not_in_the_manifest(two_rates):
  """So that a data set that was half made before the flag goes on."""
  assert "pair_by" in _open(two_rates).arguments()
  assert "pair_by" not in _open(two_rates, pair_by="count").arguments()
