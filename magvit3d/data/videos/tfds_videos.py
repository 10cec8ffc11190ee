"""UCF-101 and BAIR robot pushing, as TensorFlow Datasets prepares them.

UCF-101 (https://www.crcv.ucf.edu/research/data-sets/ucf101): `ucf101/ucf101_1`,
its first split into training and test, 101 classes of human actions.
BAIR (https://arxiv.org/abs/1710.05268): `bair_robot_pushing_small`, 30 frames
of 64 x 64 pixels, from two cameras; no classes.
Both have no validation split: it is the test split.
"""

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from data_gen.errors import DataError
from data_gen.rgb_images import to_rgb
from magvit3d.data.videos import tfds_records

_SPLITS = {"train": "train", "validation": "test", "test": "test"}
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
      self.class_names = tuple(path.read_text().split())
    except OSError as error:
      raise DataError(
        f"{path}, the names of the classes, cannot be read ({error.strerror}): "
        "the data set is not complete. Prepare it again."
      ) from error
    self.fingerprint = self._split.fingerprint

  def __len__(self) -> int:
    return len(self._split)

  def open(self, index: int) -> "EncodedVideo":
    """Returns a video."""
    example = self._split.example(index)
    return EncodedVideo(
      name=f"Video {index} of {self._split.name}",
      label=int(example["label"][0]),
      images=example["video"],
    )


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
      images=self._split.example(index)[self._camera],
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
        with Image.open(io.BytesIO(self.images[number])) as image:
          yield to_rgb(image)
      except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
          f"Frame {number} of {self.name} cannot be decoded ({error})."
        ) from error
