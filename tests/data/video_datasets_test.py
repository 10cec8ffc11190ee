"""Data sets of files are opened by name, and wrong options are named."""

import numpy as np
import pytest
from coded_videos import code_frame, read_number, write_video
from PIL import Image

from data_gen.errors import DataError
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import load_clips
from magvit3d.data.videos.video_datasets import DEFAULT_OPTIONS, open_dataset
from magvit3d.errors import UserError


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
  """Videos of frames 0-29, 100-129 and 200-229, and a short one."""
  root = tmp_path_factory.mktemp("videos")
  for name, first, length in (
    ("train/fall/a.mp4", 0, 30),
    ("train/roll/b.mp4", 100, 30),
    ("train/roll/c.mp4", 200, 30),
    ("test/roll/d.mp4", 100, 30),
    ("test/roll/e.mp4", 0, 5),
  ):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, length=length, first=first)
  return root


def _open(root, split="train", *, is_training=False, num_frames=8, **options):
  return open_dataset(
    "video_folder",
    split,
    {"data_dir": str(root), **options},
    image_size=32,
    num_frames=num_frames,
    is_training=is_training,
  )


def _numbers(frames):
  return [read_number(frame) for frame in frames]


def test_evaluation_takes_the_middle_of_each_video(videos):
  source = _open(videos, frame_stride=2)
  assert len(source) == 3 and source.class_names == ("fall", "roll")
  clips = load_clips(source, range(3))
  assert clips["frames"].shape == (3, 8, 32, 32, 3)
  assert clips["labels"].tolist() == [0, 1, 1]
  # Of the starts 0 to 15, the 8th.
  for first, frames in zip((0, 100, 200), clips["frames"], strict=True):
    assert _numbers(frames) == [first + 8 + 2 * i for i in range(8)]
  assert not hasattr(source, "random_clip")


def test_training_takes_random_windows_and_resumes(videos):
  def make():
    source = _open(videos, is_training=True, frame_stride=3)
    return make_batches(source, batch_size=2, seed=7, num_threads=2)

  batches = make()
  samples = [next(batches) for _ in range(6)]
  starts = []
  for sample in samples:
    for frames, label in zip(sample["frames"], sample["labels"], strict=True):
      numbers = _numbers(frames)
      assert np.diff(numbers).tolist() == [3] * 7
      assert label == (numbers[0] >= 100)
      assert numbers[0] % 100 <= 30 - 22
      starts.append(numbers[0])
  assert len(set(starts)) > 3
  state = batches.get_state()
  wanted = [next(batches)["frames"] for _ in range(3)]
  resumed = make()
  resumed.set_state(state)
  found = [next(resumed)["frames"] for _ in range(3)]
  np.testing.assert_array_equal(found, wanted)


def test_short_videos_are_an_error_left_out_or_looped(videos):
  message = r"e\.mp4 has 5 frames, but a clip spans 8; 1 of 2 videos"
  with pytest.raises(DataError, match=message):
    _open(videos, "test")
  assert len(_open(videos, "test", short_videos="skip")) == 1
  source = _open(videos, "test", short_videos="loop")
  assert _numbers(source[1]["frames"]) == [0, 1, 2, 3, 4, 0, 1, 2]
  with pytest.raises(DataError, match=r"All 2 videos of test .* up to 30"):
    _open(videos, "test", short_videos="skip", num_frames=31)


def test_damaged_video_is_named_when_the_folder_is_opened(tmp_path):
  (tmp_path / "train").mkdir()
  (tmp_path / "train" / "broken.mp4").write_bytes(b"nothing" * 100)
  with pytest.raises(DataError, match=r"broken\.mp4 cannot be read"):
    _open(tmp_path)


def _open_images(root, **changes):
  arguments = {"image_size": 16, "num_frames": 1, "is_training": False}
  return open_dataset(
    "image_folder", "train", {"data_dir": str(root)}, **arguments | changes
  )


@pytest.fixture
def images(tmp_path):
  (tmp_path / "train" / "roll").mkdir(parents=True)
  path = tmp_path / "train" / "roll" / "a.png"
  Image.fromarray(code_frame(77, size=16)).save(path)
  Image.fromarray(code_frame(7, size=64)).save(path.with_name("b.jpg"))
  grey = Image.fromarray(code_frame(9, size=32)[..., 0])
  grey.save(path.with_name("c.jpeg"))
  return tmp_path


def test_images_are_clips_of_one_frame(images):
  source = _open_images(images)
  assert len(source) == 3 and source.class_names == ("roll",)
  clip = source[0]
  np.testing.assert_array_equal(clip["frames"], code_frame(77, size=16)[None])
  assert clip["masks"].shape == (1, 16, 16)
  assert [_numbers(source[i]["frames"]) for i in range(3)] == [[77], [7], [9]]


def test_photo_is_turned_as_its_camera_says(images):
  path = images / "train" / "roll" / "a.png"
  exif = Image.Exif()
  exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise.
  with Image.open(path) as image:
    image.copy().save(path, exif=exif)
  frames = _open_images(images)[0]["frames"]
  upright = code_frame(77, size=16)
  wanted = np.stack([upright[::-1, :, c].T for c in range(3)], axis=-1)
  np.testing.assert_array_equal(frames[0], wanted)


@pytest.mark.parametrize("name", ["a.png", "b.jpg"])
def test_damaged_image_is_named(images, name):
  path = images / "train" / "roll" / name
  path.write_bytes(path.read_bytes()[:50])
  source = _open_images(images)
  with pytest.raises(DataError, match=f"{name} cannot be read as an image"):
    [source[i] for i in range(3)]


def test_images_have_one_frame(images):
  with pytest.raises(UserError, match=r"num_frames=4.*use video_folder"):
    _open_images(images, num_frames=4)


def test_unknown_data_set_is_answered_with_the_known_ones():
  with pytest.raises(ValueError, match=r"'ucf'.*ucf101, bair, video_folder"):
    open_dataset(
      "ucf", "train", {}, image_size=8, num_frames=1, is_training=False
    )


@pytest.mark.parametrize(
  ("name", "split", "options", "message"),
  [
    ("bair", "tests", {}, "no split 'tests'"),
    ("bair", "test", {"stride": 2}, "stride is no option of bair, .*camera"),
    ("bair", "test", {"camera": "left"}, "camera='left' is none of"),
    ("bair", "test", {"flip": 1}, "flip=1 must be bool"),
    ("ucf101", "test", {"frame_stride": 0}, "frame_stride=0 must be at least"),
    ("ucf101", "test", {"short_videos": "skip"}, "short_videos='skip' is none"),
    ("video_folder", "test", {}, "needs dataset_configs.data_dir"),
    ("image_folder", "test", {"data_dir": None}, "needs dataset_configs.data"),
  ],
)
def test_wrong_option_is_named(name, split, options, message):
  with pytest.raises(UserError, match=message):
    open_dataset(
      name, split, options, image_size=8, num_frames=1, is_training=True
    )


@pytest.mark.parametrize("field", ["image_size", "num_frames"])
def test_size_of_zero_is_refused(field):
  sizes = {"image_size": 8, "num_frames": 1} | {field: 0}
  with pytest.raises(UserError, match=f"{field}=0 must be at least 1"):
    open_dataset("bair", "test", {}, **sizes, is_training=True)


def test_defaults_are_the_same_kind_of_options_everywhere():
  for options in DEFAULT_OPTIONS.values():
    assert options["flip"] is False and options["random_crop"] is False
