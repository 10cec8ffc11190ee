"""Picture files of others, decoded by Pillow within limits.

Pillow takes a file for what its first bytes say, whatever its name, and for
some kinds starts other programs; the kinds here it decodes itself. What a
picture would take is known before it is decoded. Damage has many errors in
Pillow, and one here.
"""

import io
import pathlib
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, ImageOps, UnidentifiedImageError

from data_gen.files import plain_files

_MOST_BYTES = 256 * plain_files.MIB
MOST_PIXELS = 2**25  # Of a picture: 8K.
_MOST_MOVING_PIXELS = 2**23  # Of one of an animation: 4K.
_MOST_WORK = 2**30  # Pixels of all that is decoded of one file.
_KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
_SCAN = b"\xff\xda"  # Of a JPEG; progressive ones have many.
_ERRORS = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  KeyError,
  IndexError,
  TypeError,
  AttributeError,
  ArithmeticError,
  RuntimeError,
  MemoryError,
  AssertionError,
  struct.error,
  zlib.error,
  Image.DecompressionBombError,
  Image.DecompressionBombWarning,  # Where warnings are errors.
)


class PictureError(ValueError):
  """A picture cannot be decoded; the message says why, but not which."""


def read(
  source: pathlib.Path | bytes | memoryview,
  *,
  kinds: tuple[str, ...] = _KINDS,
  size: tuple[int, int] | None = None,
) -> Image.Image:
  """Returns a picture, decoded; of an animation the first.

  Args:
    source: File, or its content.
    kinds: Of files, as Pillow calls them.
    size: Width and height that it must have; None: up to `MOST_PIXELS`.

  Raises:
    PictureError: It is damaged, of another kind or size, or cannot be read.
  """
  for image in frames(source, kinds=kinds, size=size, count=1):
    return image
  raise PictureError("it has no picture")


def frames(
  source: pathlib.Path | bytes | memoryview,
  *,
  kinds: tuple[str, ...] = _KINDS,
  size: tuple[int, int] | None = None,
  count: int | None = None,
) -> Iterator[Image.Image]:
  """Yields the pictures of an animation; each is gone when the next comes.

  Args:
    source: See `read`; so are the other arguments and errors.
    kinds: The same.
    size: The same.
    count: The first ones only; None: all.
  """
  try:
    data = source
    if isinstance(source, pathlib.Path):
      data = plain_files.read_bytes(source, _MOST_BYTES)
    try:
      image = Image.open(io.BytesIO(data), formats=kinds)
    except UnidentifiedImageError as error:
      raise ValueError(f"it is no {' or '.join(kinds)}") from error
    most = MOST_PIXELS if count == 1 else _MOST_MOVING_PIXELS
    _check(image, size, most)
    if count is None:
      count = getattr(image, "n_frames", 1)
    scans = bytes(data).count(_SCAN) if image.format in ("JPEG", "MPO") else 1
    if count * max(scans, 1) * image.width * image.height > _MOST_WORK:
      raise ValueError(
        f"it has {count} pictures of {image.width} x {image.height} pixels "
        "(a progressive one counts several times), which is too much"
      )
  except _ERRORS as error:
    raise _as_ours(error) from error
  with image:
    for number in range(count):
      try:
        if number:
          image.seek(number)
          _check(image, size, most)  # Of a GIF it may grow.
        image.load()
      except _ERRORS as error:
        raise _as_ours(error) from error
      yield image


def upright(image: Image.Image) -> Image.Image:
  """Returns a picture turned as its Exif says, if that can be read."""
  try:
    return ImageOps.exif_transpose(image)
  except _ERRORS:
    return image


def _check(image: Image.Image, size: tuple[int, int] | None, most: int) -> None:
  if size is not None and image.size != size:
    raise ValueError(f"it has {image.size} pixels, where {size} are expected")
  if image.width * image.height > most:
    raise ValueError(
      f"it has {image.width} x {image.height} pixels, more than {most} in all"
    )


def _as_ours(error: Exception) -> PictureError:
  text = getattr(error, "strerror", None) or str(error)
  return PictureError(text or type(error).__name__)
