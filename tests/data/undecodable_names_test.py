"""Names of files and folders may have bytes that are no UTF-8."""

import os
import pathlib
import subprocess
import sys

import coded_videos
import numpy as np
import pytest
import small_data_sets
from PIL import Image

from magvit3d.data.videos.clip_folder import ClipFolder
from magvit3d.data.videos.video_datasets import open_dataset

_NAME = os.fsdecode(b"caf\xe9")  # Latin-1, as in archives of old Windows.


@pytest.fixture
def data_dir(tmp_path):
  """Folder of a class, a video and an image with such names."""
  folder = tmp_path / "train" / _NAME
  try:
    folder.mkdir(parents=True)
  except OSError:
    pytest.skip("This file system takes UTF-8 alone.")
  coded_videos.write_video(tmp_path / "a.mp4", 10)
  (tmp_path / "a.mp4").rename(folder / f"{_NAME}.mp4")
  Image.fromarray(coded_videos.code_frame(9)).save(tmp_path / "a.png")
  (tmp_path / "a.png").rename(folder / f"{_NAME}.png")
  return tmp_path


@pytest.mark.parametrize(
  ("name", "num_frames"), [("video_folder", 8), ("image_folder", 1)]
)
def test_they_are_read_and_their_classes_can_be_printed(
  data_dir, name, num_frames
):
  source = open_dataset(
    name,
    "train",
    {"data_dir": str(data_dir)},
    image_size=32,
    num_frames=num_frames,
    is_training=False,
  )
  assert source.class_names == ("caf\\xe9",)
  assert source[0]["frames"].shape == (num_frames, 32, 32, 3)
  assert len(source.fingerprint) == 64


def test_folders_of_clips_are_read(data_dir):
  (data_dir / "train" / _NAME / f"{_NAME}.png").unlink()
  clips = ClipFolder(data_dir, "--real", num_frames=8)
  assert [coded_videos.read_number(frame) for frame in clips[:][0]] == list(
    range(1, 9)
  )


def test_an_odd_digit_in_a_frames_name_is_no_number(tmp_path):
  """Of "²" Python says that it is a digit, and that it is no number."""
  folder = tmp_path / "a"
  folder.mkdir()
  for i, name in enumerate(("1².png", "2².png", "10².png")):
    Image.fromarray(coded_videos.code_frame(i, 16)).save(folder / name)
  clip = ClipFolder(tmp_path, "--real", num_frames=3)[:][0]
  assert [coded_videos.read_number(frame) for frame in clip] == [0, 1, 2]


@pytest.mark.variants
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_that_lacks_letters_gets_escapes(tmp_path, encoding):
  """Of a program that prints the name of what it read."""
  folder = tmp_path / f"{_NAME}é球"
  options = "--num_train=1 --num_validation=1 --num_test=1 --image_size=32"
  done = [
    subprocess.run(
      [sys.executable, "-m", *command],
      cwd=small_data_sets.ROOT,
      env={**os.environ, "PYTHONIOENCODING": encoding},
      capture_output=True,
    )
    for command in (
      ["data_gen", f"--output_dir={folder}", *options.split(), "--preview=0"],
      ["data_gen.preview", f"--data={folder}", f"--output={folder}/a.png"],
      ["data_gen.preview", f"--data={folder}", f"--output={folder}/a.html"],
      ["magvit3d.status", f"{folder}"],
    )
  ]
  shown = "caf\\udce9" + ("\\xe9\\u7403" if encoding == "ascii" else "é球")
  for result, status in zip(done, (0, 0, 0, 2), strict=True):
    text = (result.stdout + result.stderr).decode(encoding)
    assert result.returncode == status, text
    assert shown in text and "Traceback" not in text
  assert pathlib.Path(folder, "a.html").stat().st_size > 1000
  assert np.asarray(Image.open(folder / "a.png")).std() > 0
