"""Clips of digits that move and bounce, one of them driven by actions.

After Moving MNIST (Srivastava et al., https://arxiv.org/abs/1502.04681,
section 4.1): digits move on a black frame and turn back at its borders. Ours:
velocities are whole pixels; the first digit, the ego, changes its velocity at
random times, and its displacement is told as the action. So actions tell of the
future what the past does not.

Clips are made when they are asked for, each from a seed of its own: there are
no files, and clip i of a split is always the same.
"""

import dataclasses
from typing import SupportsIndex

import numpy as np

from data_gen.digits import digit_images

# Of Moving MNIST: digits of 28 in frames of 64 pixels.
_DIGIT_SHARE = 28 / 64


def digit_size(image_size: int) -> int:
  """Returns the side of a digit, pixels."""
  return round(image_size * _DIGIT_SHARE)


def turn_back(
  position: np.ndarray, velocity: np.ndarray, limit: int
) -> np.ndarray:
  """Returns the velocity, turned back on axes on which it would leave.

  Args:
    position: Of the top left pixel, (x, y), in [0, limit].
    velocity: Pixels a frame, (x, y).
    limit: Largest position.
  """
  after = position + velocity
  return np.where((after < 0) | (after > limit), -velocity, velocity)


@dataclasses.dataclass(frozen=True)
class MovingDigits:
  """Clips of a split, as a random-access source.

  Attributes:
    split: 'train', 'validation' or 'test': other digits, other motions.
    num_clips: Clips.
    num_frames: Of a clip.
    image_size: Pixels a side.
    num_digits: In each clip; the first is the ego.
    max_speed: Largest velocity on each axis, pixels a frame.
    turn_rate: Chance of a new velocity of the ego, each frame.
    seed: Of all.
    folder: With MNIST's files; None: the package's digits.
    images: Of the split's digits, float32 (n, s, s) in [0, 1].
  """

  split: str
  num_clips: int
  num_frames: int
  image_size: int
  num_digits: int
  max_speed: int
  turn_rate: float
  seed: int
  folder: str | None = None
  images: np.ndarray = dataclasses.field(init=False, repr=False, compare=False)

  def __post_init__(self):
    images = digit_images.load(
      self.split, digit_size(self.image_size), self.folder
    )
    object.__setattr__(self, "images", images)

  def __len__(self) -> int:
    return self.num_clips

  def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
    """Returns a clip.

    Returns:
      frames: Uint8 (t, h, w).
      actions: Float32 (t, 2): by how many pixels the ego came right and down
        since the frame before; 0 in the first.
      positions: Float32 (t, 2): of the ego's middle, (x, y).
    """
    number = int(index)
    if not 0 <= number < self.num_clips:
      raise IndexError(number)
    key = (self.seed, digit_images.SPLITS.index(self.split), number)
    rng = np.random.default_rng(key)
    images = self.images[rng.integers(len(self.images), size=self.num_digits)]
    paths = [
      self._path(rng, self.turn_rate if digit == 0 else 0.0)
      for digit in range(self.num_digits)
    ]
    frames = np.stack(
      [draw(images, at, self.image_size) for at in np.stack(paths, axis=1)]
    )
    return {
      "frames": frames,
      "actions": np.diff(paths[0], axis=0, prepend=paths[0][:1]).astype(
        np.float32
      ),
      "positions": (paths[0] + (images.shape[1] - 1) / 2).astype(np.float32),
    }

  def _path(self, rng: np.random.Generator, turn_rate: float) -> np.ndarray:
    """Positions of a digit's top left pixel, int (t, 2)."""
    limit = self.image_size - digit_size(self.image_size)
    position = rng.integers(limit + 1, size=2)
    velocity = self._velocity(rng)
    path = [position]
    for _ in range(self.num_frames - 1):
      if rng.random() < turn_rate:
        velocity = self._velocity(rng)
      velocity = turn_back(position, velocity, limit)
      position = position + velocity
      path.append(position)
    return np.stack(path)

  def _velocity(self, rng: np.random.Generator) -> np.ndarray:
    """Whole pixels, not both 0, all equally likely."""
    while True:
      velocity = rng.integers(-self.max_speed, self.max_speed + 1, size=2)
      if velocity.any():
        return velocity


def draw(images: np.ndarray, places: np.ndarray, image_size: int) -> np.ndarray:
  """Returns a frame, uint8 (h, w): the brightest of the digits in each pixel.

  Args:
    images: Of the digits, float (d, s, s) in [0, 1].
    places: Of their top left pixels, (x, y), int (d, 2); inside the frame.
    image_size: Pixels a side.
  """
  frame = np.zeros((image_size, image_size), np.float32)
  size = images.shape[1]
  for image, (x, y) in zip(images, places, strict=True):
    part = frame[y : y + size, x : x + size]
    np.maximum(part, image, out=part)
  return np.round(frame * 255).astype(np.uint8)
