"""Pictures of any kind as RGB: the one place that decides how.

What is transparent shows BLACK, the ground that `--fit=pad` and most players
of videos have; colours hidden under it never come out. Grey of 16 bits is
scaled to 8, so that 65535 is white.
"""

import numpy as np
from PIL import Image

GROUND = (0, 0, 0)  # Under what is transparent.
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_GREYS_OF_16_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_LARGEST = 2**16 - 1


def to_rgb(image: Image.Image) -> Image.Image:
  """Returns a picture as 8-bit RGB.

  Args:
    image: Of any mode of Pillow's. Palettes give their colours; black and
      white, grey, CMYK, YCbCr, HSV and LAB are converted by Pillow.

  Raises:
    ValueError: Its values have no range that is known: floats, or whole
      numbers beyond 16 bits.
  """
  if image.mode in _GREYS_OF_16_BITS:
    return Image.merge("RGB", [_eight_bits(image)] * 3)
  if image.mode == "F":
    raise ValueError(
      "its values are floats, whose white is not known: store 8 or 16 bits"
    )
  if has_alpha(image):
    colours = _rgba(image)
    ground = Image.new("RGBA", image.size, (*GROUND, 255))
    return Image.alpha_composite(ground, colours).convert("RGB")
  return image.convert("RGB")


def has_alpha(image: Image.Image) -> bool:
  """Whether parts of a picture may be transparent."""
  return image.mode in _WITH_ALPHA or "transparency" in image.info


def alpha(image: Image.Image) -> np.ndarray | None:
  """Returns how opaque a picture is, uint8 (h, w), or None if it all is."""
  if not has_alpha(image) or image.mode in _GREYS_OF_16_BITS:
    return None
  return np.asarray(_rgba(image))[..., 3]


def _rgba(image: Image.Image) -> Image.Image:
  return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _eight_bits(image: Image.Image) -> Image.Image:
  """Returns grey of 16 bits as 8, rounded; its transparent grey as GROUND."""
  values = np.asarray(image).astype(np.int32)
  if values.min() < 0 or values.max() > _LARGEST:
    raise ValueError(
      f"its grey levels go from {values.min()} to {values.max()}, which are no "
      "16 bits: store 8 or 16"
    )
  grey = (values + 128) // 257
  if isinstance(image.info.get("transparency"), int):
    grey[values == image.info["transparency"]] = GROUND[0]
  return Image.fromarray(grey.astype(np.uint8))
