"""Finds the object in every frame, from pixels and the known background alone.

Made for frames of a network, which are blurred, noisy, or show remains of the
object where it was:
  A pixel is the object's where some channel is off the background by more than
  MIN_DIFFERENCE, half of the least contrast that data_gen allows, so that dark
  faces count as well as bright ones; where a frame is noisy all over, by more
  than NOISE_FACTOR times the median difference of its pixels.
  Of the pieces that such pixels form (8 neighbours), the one with the largest
  sum of differences is the object: it is large and stands out, a faint trace
  of it elsewhere does not. With fewer than MIN_PIXELS pixels it is no object;
  nor if it touches all four edges of the image, for its centroid then tells
  where the camera looks. Noise all over a frame is not found, either.
  Its pixels count fully, those at its rim by the share that it covers, judged
  by the contrast just inside. So shading does not move the centroid, and what
  blurs or grows the object alike on all sides does not either.

Before a picture, what is the picture's colour times a factor in [MIN_SHADE, 1]
is a shadow, and no object.

Pixel (0, 0) is the centre of the top-left pixel; x to the right, y down.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

MIN_DIFFERENCE = 20 / 255
NOISE_FACTOR = 4.0
# Noise raises the threshold up to here: an object may fill most of a frame.
MAX_DIFFERENCE = 60 / 255
# Objects of data_gen have 9 pixels at least, whose rims may be lost.
MIN_PIXELS = 5
MIN_SHADE = 0.45  # Of data_gen's ground, in the deepest shadow.

_NEIGHBOURS = np.zeros((3, 3, 3), bool)
_NEIGHBOURS[1] = True  # Of the same frame.


@dataclasses.dataclass(frozen=True)
class FoundObject:
  """Where the object is in the frames of several views.

  Attributes:
    centroids: Of its silhouette, pixels (x, y); NaN where it was not found.
    is_found: Whether there is one.
    silhouettes: Pixels that it covers by half or more.
  """

  centroids: Float[np.ndarray, "v t 2"]
  is_found: Bool[np.ndarray, "v t"]
  silhouettes: Bool[np.ndarray, "v t h w"]


def find_object(
  frames: UInt8[np.ndarray, "v t h w 3"],
  background: Float[np.ndarray, "v _ _ 3"],
) -> FoundObject:
  """Finds the object; see the module.

  Args:
    frames: Of v cameras.
    background: What is behind it, in [0, 1]: colours (v, 1, 1, 3), or pictures
      (v, h, w, 3).
  """
  shape = frames.shape[:-1]
  difference = _differences(frames, background).reshape(-1, *shape[2:])
  piece = _largest_piece(difference > _thresholds(difference), difference)
  coverage = _coverage(piece, difference)
  total = coverage.sum((1, 2))
  is_found = total > 0
  safe = np.where(is_found, total, np.nan)
  x = coverage.sum(1) @ np.arange(shape[3]) / safe
  y = coverage.sum(2) @ np.arange(shape[2]) / safe
  return FoundObject(
    centroids=np.stack([x, y], -1).reshape(*shape[:2], 2),
    is_found=is_found.reshape(shape[:2]),
    silhouettes=(coverage >= 0.5).reshape(shape),
  )


def _differences(frames, background) -> Float[np.ndarray, "v t h w"]:
  """Largest difference from the background in any channel, in [0, 1]."""
  pixels = frames.astype(np.float32) / np.float32(255)
  behind = background[:, None].astype(np.float32)
  if behind.shape[2:4] != (1, 1):
    brightness = np.maximum((behind**2).sum(-1, keepdims=True), 1e-6)
    shade = (pixels * behind).sum(-1, keepdims=True) / brightness
    behind = np.clip(shade, MIN_SHADE, 1) * behind
  off = np.abs(pixels - behind)
  # Ten times as fast as .max(-1).
  return np.maximum(np.maximum(off[..., 0], off[..., 1]), off[..., 2])


def _thresholds(difference) -> Float[np.ndarray, "n 1 1"]:
  noise = np.median(difference, axis=(1, 2), keepdims=True)
  return np.clip(NOISE_FACTOR * noise, MIN_DIFFERENCE, MAX_DIFFERENCE)


def _largest_piece(is_object, difference) -> Bool[np.ndarray, "n h w"]:
  """The piece of each frame that counts; nothing where none is large enough."""
  labels, count = ndimage.label(is_object, structure=_NEIGHBOURS)
  place = np.nonzero(labels)
  number = labels[place]
  mass = np.bincount(number, difference[place], count + 1)
  mass[np.bincount(number, minlength=count + 1) < MIN_PIXELS] = 0
  frame_of = np.zeros(count + 1, int)
  frame_of[number] = place[0]
  best = np.full(len(labels), -1)  # No label.
  for label in np.argsort(mass):  # The largest of a frame comes last.
    if mass[label] > 0:
      best[frame_of[label]] = label
  piece = labels == best[:, None, None]
  edges = (piece[:, 0], piece[:, -1], piece[:, :, 0], piece[:, :, -1])
  is_all_over = np.all([edge.any(1) for edge in edges], axis=0)
  return piece & ~is_all_over[:, None, None]


def _coverage(piece, difference) -> Float[np.ndarray, "n h w"]:
  """Share of each pixel that the object covers, 0 away from it."""
  # Pixels at the image's edge are of the rim: how much of them the object
  # covers is only known from what they show.
  is_inside = ndimage.minimum_filter(
    piece, size=(1, 3, 3), mode="constant", cval=False
  )
  total = _sum_around(np.where(is_inside, difference, 0))
  count = _sum_around(is_inside.astype(np.float32))
  contrast = np.where(count > 0.5, total / np.maximum(count, 1), 0)
  # Where it is so thin that nothing is inside.
  outer = _largest_around(np.where(piece, difference, 0), 5)
  contrast = np.where(contrast > 0, contrast, outer)
  is_near = _largest_around(piece, 3)
  share = np.minimum(difference / np.maximum(contrast, 1e-6), 1)
  return np.where(is_inside, 1.0, np.where(is_near, share, 0.0))


def _largest_around(values, size):
  return ndimage.maximum_filter(
    values, size=(1, size, size), mode="constant", cval=0
  )


def _sum_around(values):
  rows = ndimage.correlate1d(values, np.ones(3), axis=1, mode="constant")
  return ndimage.correlate1d(rows, np.ones(3), axis=2, mode="constant")
