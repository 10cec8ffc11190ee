"""True and predicted clips of several cameras as one moving picture.

A row a motion, on the left what is true, on the right what a model makes of the
first frames. Given frames have a grey border, predicted ones an orange one; a
bar below shows the time.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from magvit3d.errors import UserError
from magvit3d.files import atomic_file, output_file
from magvit3d.media import animations

_CELL_PX = 112
_BORDER_PX = 3
_GAP_PX = 4
_MARGIN_PX = 12
_NAMES_PX = 84
_HEAD_PX = 26
_BAR_PX = 6
_TEXT_PX = 15
_PAPER = (255, 255, 255)
_INK = (27, 31, 36)
_REST = (226, 229, 233)
_QUALITIES = (90, 80, 70, 55, 40)
MAX_BYTES = 1_000_000

_Clips = UInt8[np.ndarray, "m v t h w 3"]


def draw(
  real: _Clips, predicted: _Clips, names: Sequence[str], given_frames: int
) -> UInt8[np.ndarray, "t height width 3"]:
  """Returns the frames of the picture.

  Args:
    real: Clips of m scenes with v cameras.
    predicted: The same of a model.
    names: Of the scenes, written before their rows.
    given_frames: First frames that the model was given.
  """
  m, v, t = real.shape[:3]
  step = _CELL_PX + 2 * _BORDER_PX + _GAP_PX
  group = v * step - _GAP_PX
  lefts = (
    _MARGIN_PX + _NAMES_PX,
    2 * _MARGIN_PX + _NAMES_PX + group,
  )
  width = lefts[1] + group + _MARGIN_PX
  bar = (_MARGIN_PX + _HEAD_PX + m * step, width - _MARGIN_PX)
  height = bar[0] + _BAR_PX + _MARGIN_PX
  font = ImageFont.load_default(_TEXT_PX)
  frames = []
  for frame in range(t):
    image = Image.new("RGB", (width + width % 2, height + height % 2), _PAPER)
    pen = ImageDraw.Draw(image)
    is_given = frame < given_frames
    color = animations.GIVEN_COLOR if is_given else animations.PREDICTED_COLOR
    heads = ("true", "given" if is_given else "predicted")
    colors = (animations.GIVEN_COLOR, color)
    for left, head, text_color, clips in zip(
      lefts, heads, (_INK, color), (real, predicted), strict=True
    ):
      pen.text((left, _MARGIN_PX), head, text_color, font)
      border = colors[0] if clips is real else colors[1]
      for row, column in np.ndindex(m, v):
        place = (left + column * step, _MARGIN_PX + _HEAD_PX + row * step)
        image.paste(_cell(clips[row, column, frame], border), place)
    for row, name in enumerate(names):
      middle = _MARGIN_PX + _HEAD_PX + row * step + step // 2
      pen.text((_MARGIN_PX, middle), name, _INK, font, anchor="lm")
    _draw_bar(pen, lefts[0], bar, frame, given_frames, t)
    frames.append(np.asarray(image))
  return np.stack(frames)


def _cell(pixels: np.ndarray, border: tuple[int, int, int]) -> Image.Image:
  size = _CELL_PX + 2 * _BORDER_PX
  cell = Image.new("RGB", (size, size), border)
  shown = Image.fromarray(pixels).resize(
    (_CELL_PX, _CELL_PX), Image.Resampling.BICUBIC
  )
  cell.paste(shown, (_BORDER_PX, _BORDER_PX))
  return cell


def _draw_bar(pen, left, bar, frame, given_frames, total) -> None:
  top, right = bar
  bottom = top + _BAR_PX - 1
  pen.rectangle((left, top, right - 1, bottom), _REST)

  def place(number):
    return left + number * (right - left) // total

  for past in range(frame + 1):
    color = (
      animations.GIVEN_COLOR
      if past < given_frames
      else animations.PREDICTED_COLOR
    )
    pen.rectangle((place(past), top, place(past + 1) - 1, bottom), color)


def encode(frames: UInt8[np.ndarray, "t height width 3"]) -> bytes:
  """Returns the picture as WebP of less than `MAX_BYTES`, as good as it can be.

  Raises:
    UserError: It cannot be.
  """
  for quality in _QUALITIES:
    data = animations.encode_webp(frames, lossless=False, quality=quality)
    if len(data) < MAX_BYTES:
      return data
  raise UserError(
    f"--picture: {len(data)} bytes even at the least quality; at most "
    f"{MAX_BYTES} are allowed."
  )


def check(path: pathlib.Path) -> None:
  """Raises UserError unless --picture can be written."""
  if path.suffix != ".webp":
    raise UserError(f"--picture={path} must end in .webp.")
  output_file.check(path, flag="--picture")


def write(path: pathlib.Path, data: bytes) -> None:
  """Writes the file; an earlier one is replaced.

  Raises:
    UserError: It cannot be written.
  """
  try:
    atomic_file.write_bytes(path, data)
  except OSError as error:
    raise output_file.not_writable(path, error, "--picture") from error
