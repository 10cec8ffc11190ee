"""Arrays as pictures: depth and flow in colours, and data URIs."""

import base64

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb

from data_gen.files import png


def color_depths(depths: np.ndarray) -> tuple[np.ndarray, float, float]:
  """Colours depth maps from near (bright) to far (dark); nothing is grey.

  Args:
    depths: (..., H, W), metres, 0 where there is nothing.

  Returns:
    pictures: uint8 (..., H, W, 3).
    near, far: The least and the greatest depth, metres; 0 if all is nothing.
  """
  known = depths[depths > 0]
  near, far = (known.min(), known.max()) if known.size else (0.0, 0.0)
  share = (far - depths) / max(far - near, 1e-6)
  pictures = colormaps["viridis"](share, bytes=True)[..., :3]
  return (
    np.where(depths[..., None] > 0, pictures, np.uint8(70)),
    float(near),
    float(far),
  )


def color_flows(flows: np.ndarray) -> tuple[np.ndarray, float]:
  """Colours optical flow: the hue is the direction, the brightness the speed.

  Args:
    flows: (..., H, W, 2), pixels, x to the right and y down.

  Returns:
    pictures: uint8 (..., H, W, 3); red is to the right.
    fastest: Pixels a frame that are as bright as can be.
  """
  speed = np.linalg.norm(flows, axis=-1)
  fastest = float(speed.max(initial=0))
  hue = np.arctan2(flows[..., 1], flows[..., 0]) / (2 * np.pi) % 1
  value = np.sqrt(speed / max(fastest, 1e-6))  # Slow motion shows, too.
  pictures = hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], -1))
  return np.rint(255 * pictures).astype(np.uint8), fastest


def data_uris(images: np.ndarray) -> list[str]:
  """Returns images (N, H, W, 3) or (N, H, W), uint8, as PNG data URIs."""
  return [
    "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    for data in png.encode_pngs(images)
  ]


def outline(mask: np.ndarray) -> np.ndarray:
  """Returns which pixels of masks (..., H, W) lie at an edge of an object."""
  is_edge = np.zeros(mask.shape, bool)
  for axis in (-2, -1):
    differs = np.diff(mask.astype(int), axis=axis) != 0
    before, after = [(0, 0)] * mask.ndim, [(0, 0)] * mask.ndim
    before[axis], after[axis] = (0, 1), (1, 0)
    is_edge |= np.pad(differs, before) | np.pad(differs, after)
  return is_edge & (mask > 0)
