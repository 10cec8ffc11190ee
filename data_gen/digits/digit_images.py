"""Images of digits for `moving_digits`: those of the package, or MNIST's files.

Train, validation and test have different images. The package's are dealt out
by number: of six in a row four, one and one. MNIST's training file gives train
and, with its last 10,000, validation; its test file gives test.
"""

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

from data_gen.digits import optdigits
from data_gen.errors import DataError

SPLITS = ("train", "validation", "test")
_DEALT = {"train": (0, 1, 2, 3), "validation": (4,), "test": (5,)}
_NUM_MNIST_VALIDATION = 10_000
_MNIST_NAMES = {
  True: "t10k-images-idx3-ubyte",
  False: "train-images-idx3-ubyte",
}
_MAGIC = 2051  # Unsigned bytes, three axes.
_HEADER = struct.Struct(">4I")
_MOST_PIXELS = 60_000 * 28 * 28


def load(split: str, size: int, folder: str | None = None) -> np.ndarray:
  """Returns the images of a split.

  Args:
    split: One of `SPLITS`.
    size: Pixels a side that they shall have.
    folder: With MNIST's idx files, as they are or as .gz; None: the package's.

  Returns:
    Float32 (n, size, size) in [0, 1].

  Raises:
    DataError: A file is missing or damaged.
  """
  if folder is None:
    images = optdigits.load()
    images = images[np.isin(np.arange(len(images)) % 6, _DEALT[split])]
  else:
    path = _find(pathlib.Path(folder), _MNIST_NAMES[split == "test"])
    images = read_idx(path).astype(np.float32) / np.float32(255)
    if split != "test":
      cut = max(len(images) - _NUM_MNIST_VALIDATION, len(images) // 2)
      images = images[:cut] if split == "train" else images[cut:]
  return resized(images, size)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path:
  for path in (folder / name, folder / f"{name}.gz"):
    if path.is_file():
      return path
  raise DataError(
    f"{folder} has no file {name}, nor {name}.gz: put MNIST's four idx files "
    "there."
  )


def read_idx(path: pathlib.Path) -> np.ndarray:
  """Returns the images of an idx file, uint8 (n, h, w).

  Raises:
    DataError: It is none, or damaged.
  """
  opener = gzip.open if path.suffix == ".gz" else open
  try:
    with opener(path, "rb") as file:
      header = file.read(_HEADER.size)
      if len(header) < _HEADER.size or _HEADER.unpack(header)[0] != _MAGIC:
        raise DataError(
          f"{path} is no idx file of images; MNIST's begin with {_MAGIC}."
        )
      shape = _HEADER.unpack(header)[1:]
      count = math.prod(shape)
      # A packed file may hold anything: no more is unpacked than MNIST has.
      pixels = file.read(min(count, _MOST_PIXELS) + 1)
  except (OSError, EOFError, zlib.error) as error:
    raise DataError(f"{path} is damaged ({error}).") from error
  if len(pixels) != count or not count:
    raise DataError(
      f"{path} does not have the {' x '.join(map(str, shape))} pixels that it "
      "says it has. Take a whole copy."
    )
  return np.frombuffer(pixels, np.uint8).reshape(shape)


def resized(images: np.ndarray, size: int) -> np.ndarray:
  """Returns square images (n, s, s) with another side, linearly interpolated.

  To a smaller side the weights widen, so that every pixel counts.
  """
  weights = _weights(images.shape[-1], size)
  return np.einsum("yh,nhw,xw->nyx", weights, images, weights, optimize=True)


def _weights(old: int, new: int) -> np.ndarray:
  """Triangles around each new pixel's place, (new, old); rows add up to 1."""
  scale = old / new
  places = (np.arange(new) + 0.5) * scale - 0.5
  places = np.clip(places, 0, old - 1)
  distance = np.abs(places[:, None] - np.arange(old)) / max(scale, 1.0)
  weights = np.maximum(1 - distance, 0)
  return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
