"""Colours of objects: drawn at random, and always visible after shading.

RGB values are in [0, 1]. A face's colour is the object's colour times a shade
in [AMBIENT, 1] (see `data_gen.rendering.renderer`).
"""

import colorsys

import numpy as np

AMBIENT = 0.4
# Least difference from the background in some channel of a face; the last
# 1/255 is for the rounding to whole levels.
MIN_CONTRAST = 41 / 255
SHAPE_COLORS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
RANDOM_BACKGROUND = "random"

# Every 30 degrees, from red on.
_HUE_NAMES = (
  "red", "orange", "yellow", "lime", "green", "mint",
  "cyan", "azure", "blue", "violet", "magenta", "pink",
)  # fmt: skip
_SHADES = np.linspace(AMBIENT, 1, 64)[:, None]


def parse_background(text: str) -> np.ndarray:
  """Returns the colour (3,) that a flag such as "0,0,0.5" gives.

  Raises:
    ValueError: It is no colour.
  """
  try:
    color = np.array([float(part) for part in text.split(",")])
  except ValueError:
    color = np.zeros(0)
  if color.shape != (3,) or not ((color >= 0) & (color <= 1)).all():
    raise ValueError(
      f"--background={text} is no colour: give three numbers from 0 to 1, such "
      f"as 0,0,0.5, or {RANDOM_BACKGROUND}."
    )
  return color


def is_visible(color: np.ndarray, backgrounds: np.ndarray) -> bool:
  """Whether every shade of `color` differs from all `backgrounds` (B, 3)."""
  contrast = np.abs(_SHADES * color - backgrounds[:, None]).max(-1)
  return bool(contrast.min() >= MIN_CONTRAST)


def make_palette(num_colors: int) -> np.ndarray:
  """Returns `num_colors` saturated colours of evenly spaced hues, (N, 3)."""
  hues = np.arange(num_colors) / num_colors
  return np.array([colorsys.hsv_to_rgb(hue, 1.0, 1.0) for hue in hues]).reshape(
    -1, 3
  )


def draw_color(
  rng: np.random.Generator, backgrounds: np.ndarray, num_colors: int
) -> np.ndarray:
  """Draws a visible colour (3,): any one, or one of a palette.

  Args:
    rng: Source of randomness.
    backgrounds: Those that it must differ from, (B, 3).
    num_colors: Size of the palette; 0 for any colour.
  """
  if num_colors:
    return make_palette(num_colors)[rng.integers(num_colors)]
  while True:
    color = rng.uniform(size=3)
    if is_visible(color, backgrounds):
      return color


def name_color(color: np.ndarray) -> str:
  """Returns the English name of the nearest hue, or "gray"."""
  hue, saturation, _ = colorsys.rgb_to_hsv(*np.asarray(color, float))
  if saturation < 0.2:
    return "gray"
  return _HUE_NAMES[int(np.floor(hue * 12 + 0.5)) % 12]
