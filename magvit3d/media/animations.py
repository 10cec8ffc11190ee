"""Clips side by side as one animated image, embedded as a data URI.

A row of clips is a single strip: separate animations drift apart, because a
browser starts each one when it has decoded it. Under the strip a bar shows
the time, and frames that a model predicted have an orange border and bar,
given ones a grey one.
"""

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

GIVEN_COLOR = (138, 143, 152)
PREDICTED_COLOR = (234, 88, 12)
_PAPER = (255, 255, 255)
_BAR_REST = (226, 229, 233)

# Clips are shown at about one size whatever their pixels, and so are borders:
# a pixel for each of these many of the clip's width.
_WIDTH_PER_BORDER_PX = 40
_FRAME_MS = 125
_LAST_FRAME_MS = 750  # The end stays a moment before the clip starts again.

_QUALITIES = (85, 70, 50, 30)  # With loss, where without is too large.
# The parts of a page with animations share its 10 MB.
MAX_SECTION_BYTES = 2_000_000


def strip_frames(
  clips: list[UInt8[np.ndarray, "t h w 3"]],
  given_frames: int | None = None,
  predicted_columns: tuple[int, ...] = (),
  is_stacked: bool = False,
) -> UInt8[np.ndarray, "t height width 3"]:
  """Returns the frames of a strip that shows `clips` from left to right.

  Args:
    clips: Clips of one shape.
    given_frames: Frames that a model saw; None where none is marked.
    predicted_columns: Clips whose other frames get the colour of predictions.
    is_stacked: Whether the clips lie below each other instead.
  """
  num_frames, height, width, _ = clips[0].shape
  border = max(1, min(height, width) // _WIDTH_PER_BORDER_PX)
  gap = bar_height = 2 * border
  cell_height, cell_width = height + 2 * border, width + 2 * border
  num_rows, num_columns = (len(clips), 1) if is_stacked else (1, len(clips))
  strip_width = num_columns * (cell_width + gap) - gap
  strip_height = num_rows * (cell_height + gap) + bar_height
  strip = np.full((num_frames, strip_height, strip_width, 3), _PAPER, np.uint8)
  given = num_frames if given_frames is None else given_frames
  for number, clip in enumerate(clips):
    row, column = (number, 0) if is_stacked else (0, number)
    top, left = row * (cell_height + gap), column * (cell_width + gap)
    cell = strip[:, top : top + cell_height, left : left + cell_width]
    cell[:] = GIVEN_COLOR
    if number in predicted_columns:
      cell[given:] = PREDICTED_COLOR
    cell[:, border:-border, border:-border] = clip
  bar = strip[:, -bar_height:]
  bar[:] = _BAR_REST
  for frame in range(num_frames):
    for past in range(frame + 1):
      start = past * strip_width // num_frames
      end = (past + 1) * strip_width // num_frames
      color = GIVEN_COLOR if past < given else PREDICTED_COLOR
      bar[frame, :, start:end] = color
  return strip


def animation_uri(
  frames: UInt8[np.ndarray, "t h w 3"], num_clips: int = 12
) -> str:
  """Returns `frames` as an endless animated WebP in a `data:` URI.

  Args:
    frames: Of one of `num_clips` animations in a part of the page. Its share
      of the bytes decides how much is lost, if anything.
  """
  data = encode_webp(frames, lossless=True)
  for quality in _QUALITIES:
    if len(data) * 4 / 3 <= MAX_SECTION_BYTES / num_clips:
      break
    data = encode_webp(frames, lossless=False, quality=quality)
  return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"


def encode_webp(frames: UInt8[np.ndarray, "t h w 3"], **options: Any) -> bytes:
  """Returns `frames` as an endless animated WebP; `options` are Pillow's."""
  images = [Image.fromarray(frame) for frame in frames]
  durations = [_FRAME_MS] * (len(images) - 1) + [_LAST_FRAME_MS]
  buffer = io.BytesIO()
  images[0].save(
    buffer,
    "WEBP",
    save_all=True,
    append_images=images[1:],
    duration=durations,
    loop=0,
    method=3,
    **options,
  )
  return buffer.getvalue()
