"""Moving digits: their paths, their actions, and where images come from."""

import gzip
import struct

import numpy as np
import pytest

from data_gen.digits import digit_images, optdigits
from data_gen.digits.moving_digits import MovingDigits, digit_size
from data_gen.errors import DataError

_SIZE, _FRAMES = 32, 20


def _make(split="train", **fields):
  options = dict(
    split=split,
    num_clips=40,
    num_frames=_FRAMES,
    image_size=_SIZE,
    num_digits=2,
    max_speed=2,
    turn_rate=0.15,
    seed=0,
  )
  return MovingDigits(**options | fields)


def test_a_clip_is_the_same_whenever_it_is_read():
  one, other = _make()[7], _make()[7]
  for key in one:
    np.testing.assert_array_equal(one[key], other[key])
  assert (one["frames"] != _make()[8]["frames"]).any()
  assert (one["frames"] != _make(seed=1)[7]["frames"]).any()


def test_actions_are_the_displacements_of_the_ego():
  clip = _make()[3]
  steps = np.diff(clip["positions"], axis=0)
  np.testing.assert_array_equal(clip["actions"][1:], steps)
  assert not clip["actions"][0].any()
  assert np.abs(clip["actions"]).max() <= 2


def test_an_ego_alone_moves_in_the_pixels_as_its_actions_say():
  source = _make(num_digits=1)
  for number in range(10):
    clip = source[number]
    for before, after, (x, y) in zip(
      clip["frames"], clip["frames"][1:], clip["actions"][1:], strict=False
    ):
      # No digit leaves the frame, so nothing wraps around.
      moved = np.roll(before, (int(y), int(x)), axis=(0, 1))
      np.testing.assert_array_equal(moved, after)


def test_all_of_a_digit_stays_in_the_frame():
  source = _make(num_digits=1)
  for number in range(20):
    light = source[number]["frames"].astype(np.int64).sum((1, 2))
    assert light.min() == light.max() > 0


def test_velocity_changes_as_often_as_the_rate_says():
  # Away from borders a frame changes velocity in turn_rate of the cases, but
  # for draws of the same one of 24. Four deviations of 2,000 clips' frames.
  rate, source = 0.15, _make(num_clips=300, num_digits=1)
  changes = []
  for number in range(len(source)):
    clip = source[number]
    half = digit_size(_SIZE) / 2
    inside = np.abs(clip["positions"] - (_SIZE - 1) / 2).max(1)
    is_far = inside < _SIZE / 2 - half - 4
    actions = clip["actions"]
    changed = (actions[2:] != actions[1:-1]).any(1)
    changes.append(changed[is_far[1:-1]])
  changes = np.concatenate(changes)
  wanted = rate * 23 / 24
  deviation = (wanted * (1 - wanted) / len(changes)) ** 0.5
  assert abs(changes.mean() - wanted) < 4 * deviation


def test_splits_have_different_images():
  images = [digit_images.load(split, 8) for split in digit_images.SPLITS]
  assert sum(map(len, images)) == len(optdigits.load())
  rows = {bytes(i.tobytes()) for part in images for i in part}
  assert len(rows) == sum(map(len, images))


def test_resizing_keeps_what_is_even():
  even = np.full((1, 8, 8), 0.5, np.float32)
  for size in (4, 7, 14, 28):
    np.testing.assert_allclose(digit_images.resized(even, size), 0.5, rtol=1e-6)


def _write_mnist(folder, count=30, *, zipped=False):
  rng = np.random.default_rng(0)
  images = rng.integers(256, size=(count, 28, 28), dtype=np.uint8)
  content = struct.pack(">4I", 2051, count, 28, 28) + images.tobytes()
  for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
    if zipped:
      (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    else:
      (folder / name).write_bytes(content)
  return images


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_files_are_read(tmp_path, zipped):
  images = _write_mnist(tmp_path, zipped=zipped)
  found = {
    split: digit_images.load(split, 28, str(tmp_path))
    for split in digit_images.SPLITS
  }
  np.testing.assert_allclose(found["test"], images / 255, atol=1e-6)
  np.testing.assert_allclose(
    np.concatenate([found["train"], found["validation"]]),
    images / 255,
    atol=1e-6,
  )


def test_damaged_mnist_files_are_named(tmp_path):
  with pytest.raises(DataError, match="has no file train-images"):
    digit_images.load("train", 28, str(tmp_path))
  _write_mnist(tmp_path)
  path = tmp_path / "train-images-idx3-ubyte"
  whole = path.read_bytes()
  path.write_bytes(whole[:-1])
  with pytest.raises(DataError, match="Take a whole copy"):
    digit_images.load("train", 28, str(tmp_path))
  path.write_bytes(b"\0\0\x08\x01" + whole[4:])
  with pytest.raises(DataError, match="no idx file"):
    digit_images.load("train", 28, str(tmp_path))


def test_a_packed_file_that_says_too_much_is_not_unpacked(tmp_path):
  path = tmp_path / "train-images-idx3-ubyte.gz"
  header = struct.pack(">4I", 2051, 2**31, 28, 28)
  path.write_bytes(gzip.compress(header + bytes(2**16)))
  with pytest.raises(DataError, match="2147483648 x 28 x 28 pixels"):
    digit_images.load("train", 28, str(tmp_path))
  path.write_bytes(gzip.compress(header)[:-9])
  with pytest.raises(DataError, match="is damaged"):
    digit_images.load("train", 28, str(tmp_path))
