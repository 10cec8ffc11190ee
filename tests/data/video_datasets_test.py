"""Data sets of files are opened by name, and wrong options are named."""

import numpy as np
import pytest
from coded_videos import code_frame, read_number, write_video
from PIL import Image

from data_gen.errors import DataError
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import load_clips
from magvit3d.data.videos import repeated_videos, video_folder
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
    ("test/roll/d.mp4", 60, 30),
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


@pytest.fixture
def half_broken(tmp_path):
  """Folder of a whole video, and of 23 that are damaged in three ways."""
  folder = tmp_path / "train"
  folder.mkdir()
  write_video(folder / "whole.mp4", length=10)
  data = (folder / "whole.mp4").read_bytes()
  (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
  (folder / "empty.avi").write_bytes(b"")
  for number in range(21):
    (folder / f"no{number:02}.mkv").write_bytes(b"nothing" * 100)
  return tmp_path


def test_damaged_videos_are_told_together(half_broken):
  with pytest.raises(DataError) as error:
    _open(half_broken)
  text = str(error.value)
  assert text.startswith("23 of 24 videos of train in ")
  assert text.count("cannot be read as a video") == 19
  assert "cut.mp4 is cut off or damaged: it has" in text
  assert "And 3 more." in text and "whole.mp4" not in text
  assert "dataset_configs.damaged_videos='skip'" in text


def test_damaged_videos_are_left_out_if_asked_for_and_counted(
  half_broken, monkeypatch
):
  lines = []
  monkeypatch.setattr(
    video_folder.logging, "warning", lambda text, *a: lines.append(text % a)
  )
  source = _open(half_broken, damaged_videos="skip")
  assert len(source) == 1 and len(_numbers(source[0]["frames"])) == 8
  (line,) = lines
  assert "23 of 24 videos of train" in line and "empty.avi" in line
  (half_broken / "train" / "whole.mp4").unlink()
  with pytest.raises(DataError, match="23 of 23 videos of train"):
    _open(half_broken, damaged_videos="skip")


@pytest.mark.parametrize("where", ["test", "test/roll"])
def test_a_video_in_two_splits_is_an_error_that_names_both(tmp_path, where):
  """Whatever its name; others of the same size are none."""
  train = tmp_path / where.replace("test", "train")
  for folder in (train, tmp_path / where):
    folder.mkdir(parents=True)
  one = write_video(train / "a.mp4", length=10)
  two = write_video(train / "b.mp4", length=10, first=50)
  other = tmp_path / where / "c.mp4"
  other.write_bytes(two.read_bytes())
  (tmp_path / where / "d.mp4").write_bytes(one.read_bytes()[::-1])
  message = r"train.*/b\.mp4 and .*/c\.mp4 are the same video.* 1 of 2 videos"
  with pytest.raises(DataError, match=message):
    _open(tmp_path)
  assert len(_open(tmp_path, repeated_videos="allow")) == 2
  other.unlink()
  assert len(_open(tmp_path)) == 2


def test_videos_that_differ_in_the_middle_are_not_the_same(tmp_path):
  paths = [tmp_path / name / "a.mp4" for name in ("train", "test")]
  for number, path in enumerate(paths):
    path.parent.mkdir()
    middle = bytes([number]) * 10
    path.write_bytes(bytes(200_000) + middle + bytes(200_000))
  arguments = (tmp_path, "train", paths[:1], (".mp4",))
  assert repeated_videos.find_repeated(*arguments) == []
  paths[1].write_bytes(paths[0].read_bytes())
  assert repeated_videos.find_repeated(*arguments) == [tuple(paths)]


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
    ("bair", "test", {"damaged_videos": "skip"}, "damaged_videos='skip' is no"),
    (
      "video_folder",
      "test",
      {"data_dir": "x", "repeated_videos": "no"},
      "='no'",
    ),
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
