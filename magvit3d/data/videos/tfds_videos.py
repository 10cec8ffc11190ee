"""UCF-101 and BAIR robot pushing, as TensorFlow Datasets prepares them.

UCF-101 (https://www.crcv.ucf.edu/research/data-sets/ucf101): `ucf101/ucf101_1`,
its first split into training and test, 101 classes of human actions.
BAIR (https://arxiv.org/abs/1710.05268): `bair_robot_pushing_small`, 30 frames
of 64 x 64 pixels, from two cameras; no classes.
Both have no validation split: it is the test split.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.files import pictures, plain_files
from data_gen.files.rgb_images import to_rgb
from magvit3d.data.videos import tfds_records

_SPLITS = {"train": "train", "validation": "test", "test": "test"}
_MOST_BYTES_OF_NAMES = 2**20
BAIR_CAMERAS = ("image_aux1", "image_main")


class Ucf101:
  """The videos of a split of UCF-101; see `video_clips.Videos`."""

  def __init__(self, data_dir: str | None, split: str):
    """Opens a split; see `tfds_records.open_split`."""
    self._split = tfds_records.open_split(
      data_dir, "ucf101/ucf101_1", _SPLITS[split]
    )
    path = self._split.folder / "label.labels.txt"
    try:
      text = plain_files.read_bytes(path, _MOST_BYTES_OF_NAMES).decode()
    except (OSError, UnicodeDecodeError) as error:
      raise DataError(
        f"{path}, the names of the classes, cannot be read "
        f"({getattr(error, 'strerror', error)}): the data set is not complete. "
        "Prepare it again."
      ) from error
    self.class_names = tuple(text.split())
    self.fingerprint = self._split.fingerprint

  def __len__(self) -> int:
    return len(self._split)

  def open(self, index: int) -> "EncodedVideo":
    """Returns a video."""
    example = self._split.example(index, {"label": np.ndarray, "video": list})
    label, name = example["label"], f"Video {index} of {self._split.name}"
    if len(label) != 1 or not 0 <= label[0] < len(self.class_names):
      raise DataError(
        f"{name} has the label {label[:3].tolist()}, and there are "
        f"{len(self.class_names)} classes: the data set is damaged. Prepare it "
        "again."
      )
    return EncodedVideo(name=name, label=int(label[0]), images=example["video"])


class BairRobotPushing:
  """What one camera saw, in a split of BAIR; see `video_clips.Videos`."""

  class_names = ()

  def __init__(self, data_dir: str | None, split: str, camera: str):
    """Opens a split; see `tfds_records.open_split`.

    Args:
      data_dir: Folder of TFDS.
      split: "train", "validation" or "test".
      camera: One of BAIR_CAMERAS.
    """
    self._split = tfds_records.open_split(
      data_dir, "bair_robot_pushing_small", _SPLITS[split]
    )
    self._camera = camera
    self.fingerprint = self._split.fingerprint

  def __len__(self) -> int:
    return len(self._split)

  def open(self, index: int) -> "EncodedVideo":
    """Returns a video."""
    return EncodedVideo(
      name=f"Video {index} of {self._split.name}",
      label=0,
      images=self._split.example(index, {self._camera: list})[self._camera],
    )


@dataclasses.dataclass(frozen=True)
class EncodedVideo:
  """A video as PNG or JPEG images; see `video_clips.Video`."""

  name: str
  label: int
  images: Sequence[bytes | memoryview]

  @property
  def num_frames(self) -> int:
    """Frames there are."""
    return len(self.images)

  def frames(self, numbers: np.ndarray) -> Iterator[Image.Image]:
    """Yields frames as RGB; decodes no others.

    Raises:
      DataError: A frame is damaged.
    """
    for number in numbers:
      try:
        yield to_rgb(pictures.read(self.images[number]))
      except ValueError as error:
        raise DataError(
          f"Frame {number} of {self.name} cannot be decoded ({error})."
        ) from error
