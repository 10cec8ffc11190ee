"""PhyWorld's score: velocities found in videos of discs before white.

The error of a frame is |v - v*|, where v is what the centre of the disc moves
from the frame before to this one, over 0.1 s, as found in the pixels, and v*
the same of the true path (https://arxiv.org/abs/2411.02385). A frame counts if
the true discs are wholly inside the image in both frames, soft edges included.
A disc that is not found counts as one that does not move.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt8

from data_gen.scenes.phyworld_laws import FRAME_S, WORLD_WIDTH

# Of the darkest pixel, by how far it is from white: the smallest disc that is
# made shows 0.6 in images of 32 pixels.
_LEAST_DARKNESS = 0.25
_WINDOW_PX = 2  # Around pixels that are half as dark as the darkest one.
# Of each of two discs that may be on the wrong side of their border.
_MOST_WRONG = 0.5

Frames = UInt8[np.ndarray, "s t h w 3"]
Paths = Float[np.ndarray, "s d t 2"]


@dataclasses.dataclass(frozen=True)
class VelocityErrors:
  """Errors of S clips in T frames, of which the first has none.

  Attributes:
    errors: Units per second, mean over the discs of a clip, (S, T).
    is_scored: Whether they count.
    is_missing: Whether a disc was not found in the frame.
  """

  errors: Float[np.ndarray, "s t"]
  is_scored: Bool[np.ndarray, "s t"]
  is_missing: Bool[np.ndarray, "s t"]

  @property
  def counts(self) -> Float[np.ndarray, " s"]:
    """The frames of each clip that count."""
    return self.is_scored.sum(1).astype(float)

  @property
  def sums(self) -> Float[np.ndarray, " s"]:
    """The errors of each clip, summed over the frames that count."""
    return np.where(self.is_scored, self.errors, 0.0).sum(1)

  @property
  def missing(self) -> Float[np.ndarray, " s"]:
    """The frames of each clip that count and lack a disc."""
    return (self.is_missing & self.is_scored).sum(1).astype(float)

  @property
  def by_frame(self) -> Float[np.ndarray, " t"]:
    """The mean of each frame; NaN where it counts in no clip."""
    counts = self.is_scored.sum(0)
    sums = np.where(self.is_scored, self.errors, 0.0).sum(0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def score(
  clips: Frames,
  paths: Paths,
  radii: Float[np.ndarray, "s d"],
  given_frames: int,
) -> VelocityErrors:
  """Scores clips against the paths that they should show.

  Args:
    clips: With one disc or two.
    paths: Of their centres, from left to right, units.
    radii: Of the discs, units.
    given_frames: First frames, which do not count.
  """
  size = clips.shape[2]
  found = np.stack(
    [find_discs(clip, own) for clip, own in zip(clips, radii, strict=True)]
  )
  is_found = np.isfinite(found).all((1, 3))  # (s, t)
  velocities = np.diff(found, axis=2) / FRAME_S
  velocities = np.where(np.isfinite(velocities), velocities, 0.0)
  true = np.diff(paths, axis=2) / FRAME_S
  errors = np.linalg.norm(velocities - true, axis=-1).mean(1)
  is_inside = is_in_image(paths, radii, size)
  is_scored = is_inside.copy()
  is_scored[:, 1:] &= is_inside[:, :-1]
  is_scored[:, :given_frames] = False
  return VelocityErrors(np.pad(errors, ((0, 0), (1, 0))), is_scored, ~is_found)


def is_in_image(
  paths: Paths, radii: Float[np.ndarray, "s d"], image_size: int
) -> Bool[np.ndarray, "s t"]:
  """Whether all discs are inside the image, their soft edges included.

  Args:
    paths: Of their centres, units.
    radii: Of the discs, units.
    image_size: Height and width, pixels.
  """
  reach = radii[:, :, None, None] + WORLD_WIDTH / image_size
  return (np.abs(paths) + reach <= WORLD_WIDTH / 2).all((1, 3))


def find_discs(
  clip: UInt8[np.ndarray, "t h w 3"], radii: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "d t 2"]:
  """Returns the centres of one disc or two, from left to right, units.

  They are means of pixels, weighted by how far these are from white, around
  those that are dark. Two discs are parted at the brightest column near to
  where their areas part what is dark, and in it so that each has its share if
  it can.

  Args:
    clip: The frames.
    radii: Of one disc or two, from left to right, in any unit; that of one is
      not used.

  Returns:
    x to the right and y down, 0 in the middle; NaN where nothing is dark.
  """
  centers = np.full((len(radii), len(clip), 2), np.nan)
  share = float(radii[0] ** 2 / (radii**2).sum())
  places = np.arange(clip.shape[1])
  for time, frame in enumerate(darkness(clip)):
    parts = [frame]
    if len(radii) > 1:
      left = _left_disc(frame, share)
      parts = [frame * left, frame * (1 - left)]
    for number, part in enumerate(parts):
      if part.max() >= _LEAST_DARKNESS:
        both = np.array([part.sum(0) @ places, part.sum(1) @ places])
        centers[number, time] = both / part.sum()
  return (centers + 0.5) * WORLD_WIDTH / clip.shape[1] - WORLD_WIDTH / 2


def darkness(
  clip: UInt8[np.ndarray, "t h w 3"],
) -> Float[np.ndarray, "t h w"]:
  """Returns how far pixels are from white, in [0, 1], around dark ones.

  It is 0 farther than two pixels from the box of all that is half as dark as
  the darkest pixel of the frame, and everywhere where nothing is dark.
  """
  weights = 1 - clip.min(-1) / 255
  darkest = weights.max((1, 2), keepdims=True)
  is_dark = (weights > darkest / 2) & (darkest >= _LEAST_DARKNESS)
  rows, columns = _spans(is_dark.any(2)), _spans(is_dark.any(1))
  return weights * (rows[:, :, None] & columns[:, None, :])


def _spans(is_dark):
  """Whether places (t, n) are between dark ones, or near to them."""
  size = is_dark.shape[1]
  places = np.arange(size)
  low = np.where(is_dark, places, size).min(1, keepdims=True)
  high = np.where(is_dark, places, -size).max(1, keepdims=True)
  return (places >= low - _WINDOW_PX) & (places <= high + _WINDOW_PX)


def _left_disc(
  frame: Float[np.ndarray, "h w"], share: float
) -> Float[np.ndarray, " w"]:
  """Returns how much of each column belongs to the left one of two discs."""
  columns = frame.sum(0)
  total = columns.sum()
  if not total:
    return np.zeros_like(columns)
  before = np.cumsum(columns) - columns
  middle = (before + columns / 2) / total
  is_near = middle >= _MOST_WRONG * share
  is_near &= 1 - middle >= _MOST_WRONG * (1 - share)
  # All that is dark may be in one column.
  places = np.flatnonzero(is_near) if is_near.any() else np.arange(len(columns))
  border = places[columns[places].argmin()]
  left = (np.arange(len(columns)) < border).astype(float)
  missing = share * total - before[border]
  left[border] = np.clip(missing / max(columns[border], 1e-9), 0, 1)
  return left
