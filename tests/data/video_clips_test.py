"""Windows, squares and mirror images that clips are cut to."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from data_gen.errors import DataError
from data_gen.records.scene_source import SceneSource
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import ClipSource
from magvit3d.data.videos.video_clips import Framing, TrainingClips, VideoClips

# Pixels of the videos below tell where they are: red is the column, green the
# row, blue the frame.
_WIDTH, _HEIGHT, _LENGTH = 20, 12, 9


@dataclasses.dataclass(frozen=True)
class _Video:
  label: int
  name: str = "clip.mp4"
  num_frames: int = _LENGTH
  shape: tuple[int, int] = (_HEIGHT, _WIDTH)
  image: Image.Image | None = None  # Instead of those described above.

  def frames(self, numbers):
    assert np.all(np.diff(numbers) > 0)
    for number in numbers:
      if self.image is not None:
        yield self.image
        continue
      frame = np.full((*self.shape, 3), number, np.uint8)
      frame[..., 0] = np.arange(self.shape[1])
      frame[..., 1] = np.arange(self.shape[0])[:, None]
      yield Image.fromarray(frame)


class _Videos:
  class_names = ("fall", "jump", "roll")
  fingerprint = "0" * 64

  def __init__(self, **fields):
    self.fields = fields

  def __len__(self):
    return 3

  def open(self, index):
    return _Video(label=index, **self.fields)


class _Scenes(SceneSource):
  """One rendered scene, as far as clips need it."""

  num_views, num_frames = 1, 4

  def __init__(self):
    pass

  def clip(self, index, view):
    return {
      "frames": np.zeros((4, 12, 12, 3), np.uint8),
      "masks": np.zeros((4, 12, 12), np.uint8),
      "label": 2,
      "background": np.zeros(3, np.float32),
    }


def _framing(**changes):
  return Framing(**{"num_frames": 4, "image_size": _HEIGHT, **changes})


def _random_clips(count=300, **changes):
  source = TrainingClips(_Videos(), _framing(**changes))
  rng = np.random.default_rng(0)
  return [source.random_clip(1, rng)["frames"] for _ in range(count)]


def test_sample_has_the_keys_and_types_of_a_rendered_clip():
  wanted = ClipSource(_Scenes())[0]
  for found in (
    VideoClips(_Videos(), _framing())[2],
    TrainingClips(_Videos(), _framing()).random_clip(
      2, np.random.default_rng(0)
    ),
  ):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
      assert (found[key].shape, found[key].dtype) == (value.shape, value.dtype)
    assert found["labels"] == 2
    assert not found["masks"].any() and not found["background"].any()


@pytest.mark.parametrize(
  ("position", "stride", "wanted"),
  [
    (0.0, 1, [0, 1, 2, 3]),
    (0.5, 1, [3, 4, 5, 6]),  # Of 6 windows, the one after the middle.
    (0.0, 2, [0, 2, 4, 6]),
    (0.5, 2, [1, 3, 5, 7]),  # The middle one of 3.
  ],
)
def test_evaluation_takes_its_window_and_the_middle_square(
  position, stride, wanted
):
  source = VideoClips(
    _Videos(),
    _framing(
      evaluation_position=position,
      frame_stride=stride,
      random_crop=True,
      flip=True,
    ),
  )
  frames = source[0]["frames"]
  assert frames[:, 0, 0, 2].tolist() == wanted
  np.testing.assert_array_equal(frames[0, 0, :, 0], np.arange(4, 16))
  np.testing.assert_array_equal(frames[0, :, 0, 1], np.arange(12))


def test_middle_square_of_an_upright_video_is_cut_above_and_below():
  source = VideoClips(_Videos(shape=(20, 12)), _framing())
  frames = source[0]["frames"]
  np.testing.assert_array_equal(frames[0, :, 0, 1], np.arange(4, 16))
  np.testing.assert_array_equal(frames[0, 0, :, 0], np.arange(12))


@pytest.mark.parametrize("stride", [1, 2])
def test_training_takes_every_window_equally_often(stride):
  num_windows = _LENGTH - 3 * stride
  starts = [clip[0, 0, 0, 2] for clip in _random_clips(frame_stride=stride)]
  counts = np.bincount(starts, minlength=num_windows)
  assert len(counts) == num_windows
  # Binomial counts: within 4 standard deviations.
  share = 1 / num_windows
  spread = 4 * np.sqrt(300 * share * (1 - share))
  assert np.all(np.abs(counts - 300 * share) < spread)
  for clip in _random_clips(20, frame_stride=stride):
    assert set(np.diff(clip[:, 0, 0, 2].astype(int))) == {stride}


def test_random_squares_reach_both_ends_and_are_the_same_in_all_frames():
  clips = _random_clips(random_crop=True)
  assert {clip[0, 0, 0, 0] for clip in clips} == set(range(9))
  for clip in clips:
    np.testing.assert_array_equal(np.diff(clip[..., 0].astype(int), axis=2), 1)
    assert len(np.unique(clip[:, :, 0, 0])) == 1


def test_half_of_the_clips_are_mirrored_left_to_right_where_asked():
  is_mirrored = [clip[0, 0, 0, 0] == 15 for clip in _random_clips(flip=True)]
  assert abs(np.mean(is_mirrored) - 0.5) < 4 * 0.5 / np.sqrt(300)
  for clip in _random_clips(20, flip=True):
    columns = np.arange(4, 16)
    if clip[0, 0, 0, 0] == 15:
      columns = columns[::-1]
    np.testing.assert_array_equal(clip[..., 0], columns + 0 * clip[..., 0])
    np.testing.assert_array_equal(clip[0, :, 0, 1], np.arange(12))
  assert all(clip[0, 0, 0, 0] == 4 for clip in _random_clips(20))


def test_frames_shrink_by_a_triangle_as_wide_as_two_new_pixels():
  size = 5
  image = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3))
  image = image.astype(np.uint8)
  videos = _Videos(image=Image.fromarray(image))
  frames = VideoClips(videos, _framing(image_size=size))[0]["frames"]
  scale = _HEIGHT / size

  def weights(length, start):
    centres = start + (np.arange(size) + 0.5) * scale
    pixels = np.arange(length) + 0.5
    found = np.maximum(1 - np.abs(pixels - centres[:, None]) / scale, 0)
    return found / found.sum(axis=1, keepdims=True)

  wanted = np.einsum(
    "yh,xw,hwc->yxc", weights(_HEIGHT, 0), weights(_WIDTH, 4), image
  )
  # Pillow rounds after each of its two passes.
  np.testing.assert_allclose(frames[0], wanted, rtol=0, atol=1.01)


def test_video_that_is_too_short_is_named_with_both_counts():
  source = VideoClips(_Videos(), _framing(frame_stride=3))
  with pytest.raises(DataError, match=r"clip\.mp4 has 9 frames.* spans 10"):
    source[0]


def test_short_video_starts_again_at_its_end_where_asked():
  framing = _framing(num_frames=6, frame_stride=2, loop_short_videos=True)
  wanted = [0, 2, 4, 6, 8, 1]  # Of 9 frames.
  source = TrainingClips(_Videos(), framing)
  random_clip = source.random_clip(0, np.random.default_rng(0))
  for clip in (source[0], random_clip):
    assert clip["frames"][:, 0, 0, 2].tolist() == wanted
  with pytest.raises(DataError, match="0 frames"):
    VideoClips(_Videos(num_frames=0), framing)[0]


def _batches(seed=0):
  source = TrainingClips(_Videos(), _framing(random_crop=True, flip=True))
  return make_batches(source, batch_size=2, seed=seed, num_threads=2)


def _take(batches, count):
  return np.stack([next(batches)["frames"] for _ in range(count)])


def test_random_clips_depend_on_the_seed_alone_and_change_every_epoch():
  np.testing.assert_array_equal(_take(_batches(), 6), _take(_batches(), 6))
  assert np.any(_take(_batches(seed=1), 6) != _take(_batches(), 6))
  # 2 epochs of 6 clips have 3 of each video, with 6 * 9 * 2 possible cuts.
  clips = _take(_batches(), 30).reshape(60, -1)
  assert len(np.unique(clips, axis=0)) > 30


def test_restored_iterator_gives_the_same_random_clips():
  batches = _batches()
  _take(batches, 5)
  state = batches.get_state()
  wanted = _take(batches, 4)
  other = _batches()
  _take(other, 2)
  other.set_state(state)
  np.testing.assert_array_equal(_take(other, 4), wanted)


def test_random_clips_come_in_the_order_of_plain_ones():
  framing = _framing()
  orders = [
    [
      next(batches)["labels"].tolist()
      for batches in [make_batches(s, batch_size=2, seed=3, num_threads=1)] * 9
    ]
    for s in (VideoClips(_Videos(), framing), TrainingClips(_Videos(), framing))
  ]
  assert orders[0] == orders[1]
