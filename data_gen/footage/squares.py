"""Makes the images of a camera square, and its intrinsics with them."""

import dataclasses

import numpy as np
from PIL import Image

FITS = ("crop", "pad")
_FILTER = Image.Resampling.BILINEAR  # Averages over pixels where it shrinks.


@dataclasses.dataclass(frozen=True)
class Square:
  """A square in the middle of an image, scaled to a size.

  Attributes:
    width, height: Of the camera's images, pixels.
    image_size: Height and width of the result, pixels.
    fit: "crop" keeps the largest square; "pad" all, with black beside it.
  """

  width: int
  height: int
  image_size: int
  fit: str

  @property
  def side(self) -> int:
    """Of the square, pixels of the camera's images."""
    sides = (self.width, self.height)
    return min(sides) if self.fit == "crop" else max(sides)

  @property
  def corner(self) -> tuple[int, int]:
    """Of the square: left and top, pixels; negative where it is padded."""
    return (self.width - self.side) // 2, (self.height - self.side) // 2

  def intrinsics(self, matrix: np.ndarray) -> np.ndarray:
    """Returns K (3, 3) of the square for K of the camera's images.

    The centre of pixel x becomes (x - left + 1/2) scale - 1/2.
    """
    left, top = self.corner
    scale = self.image_size / self.side
    change = np.array(
      [
        [scale, 0.0, (0.5 - left) * scale - 0.5],
        [0.0, scale, (0.5 - top) * scale - 0.5],
        [0.0, 0.0, 1.0],
      ]
    )
    return change @ matrix

  def frame(self, image: Image.Image) -> np.ndarray:
    """Returns an image of the camera as uint8 (image_size, image_size, 3)."""
    return np.asarray(self._resize(image, "RGB", _FILTER))

  def mask(self, is_object: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a mask of the camera in the square.

    Args:
      is_object: bool (height, width).

    Returns:
      mask: bool (image_size, image_size), where at least half of a pixel's
      area is the object's.
      is_touched: The same, where the object has any part in the frame's pixel.
    """
    image = Image.fromarray(is_object.astype(np.uint8) * np.uint8(255))
    share = self._resize(image, "L", Image.Resampling.BOX)
    touched = self._resize(image, "L", _FILTER)
    return np.asarray(share) >= 128, np.asarray(touched) > 0

  def _resize(self, image, mode, resampling):
    left, top = self.corner
    if self.fit == "pad":
      canvas = Image.new(mode, (self.side, self.side))
      canvas.paste(image, (-left, -top))
      image, left, top = canvas, 0, 0
    box = (left, top, left + self.side, top + self.side)
    return image.resize((self.image_size, self.image_size), resampling, box)
