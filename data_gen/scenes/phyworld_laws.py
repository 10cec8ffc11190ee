"""How the discs of PhyWorld move: evenly, falling, or into each other.

Kang et al., How Far is Video Generation from World Model: A Physical Law
Perspective (https://arxiv.org/abs/2411.02385), with formulas in the place of
their physics engine. The world is 10 x 10 units, x to the right and y down,
with 0 in its middle; a frame is 0.1 s.

A disc stays 0.4 units inside the image while it can. Along each axis, `room` is
what the image leaves beside it then, and `length` what it will travel. Its
distance from the near edge of the room, at the start, is uniform in
[0, room - length], or in [0, 1] where that is shorter: then it leaves the image
on the other side. Of discs that collide, both are in the room until they meet.
"""

import dataclasses

import numpy as np

LAWS = ("uniform", "parabola", "collision")
WORLD_WIDTH = 10.0  # Units.
FRAME_S = 0.1
NUM_FRAMES = 32
MARGIN = 0.4  # Units: soft edges are in images of 25 pixels or more.
GRAVITY = 2.5  # Units per s^2, downwards.
RADII = ((0.7, 1.4),)  # Units.
SPEEDS = ((1.0, 4.0),)  # Units per second.
# Of the splits out of distribution: from either interval equally often.
OOD_RADII = ((0.3, 0.6), (1.5, 2.0))
OOD_SPEEDS = ((0.0, 0.8), (4.5, 6.0))
# When discs collide: after the three frames that are given, and so that a third
# of the clip shows what comes of it.
_EARLIEST_S, _LATEST_SHARE = 0.4, 2 / 3
_LEAST_SLACK = 1.0  # Units.
_MAX_TRIES = 1000

Intervals = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Body:
  """A disc, or a square of its area.

  Attributes:
    radius: Of the disc, units.
    path: Of its centre, (T, 2), units.
  """

  radius: float
  path: np.ndarray


def draw(
  rng: np.random.Generator,
  law: str,
  num_frames: int,
  radii: Intervals = RADII,
  speeds: Intervals = SPEEDS,
) -> list[Body]:
  """Draws what moves in a scene: two discs that collide, else one.

  Args:
    rng: Source of randomness.
    law: One of `LAWS`.
    num_frames: T.
    radii: Intervals that they are drawn from, each equally often.
    speeds: The same of the speeds in the first frame.

  Raises:
    ValueError: In none of 1000 draws two discs fit into the image and meet
      when they shall.
  """
  times = FRAME_S * np.arange(num_frames)
  if law == "collision":
    return _draw_collision(rng, times, radii, speeds)
  radius, speed = draw_from(rng, radii), draw_from(rng, speeds)
  room = WORLD_WIDTH - 2 * (radius + MARGIN)
  x = speed * times
  x += _draw_gap(rng, room, x[-1]) - room / 2
  if rng.random() < 0.5:
    x = -x
  if law == "uniform":
    y = np.full_like(x, rng.uniform(-room / 2, room / 2))
  else:
    y = GRAVITY / 2 * times**2
    y += _draw_gap(rng, room, y[-1]) - room / 2
  return [Body(radius, np.stack([x, y], -1))]


def draw_from(rng: np.random.Generator, intervals: Intervals) -> float:
  """Draws a number from some intervals: uniformly, from each equally often."""
  low, high = intervals[rng.integers(len(intervals))]
  return float(np.float32(rng.uniform(low, high)))


def collide(
  masses: tuple[float, float], velocities: tuple[float, float]
) -> tuple[float, float]:
  """Returns velocities after an elastic collision on a line.

  Momentum and energy stay what they are.
  """
  (m, n), (u, v) = masses, velocities
  shared = 2 * (m * u + n * v) / (m + n)
  return shared - u, shared - v


def _draw_gap(rng, room, length) -> float:
  return rng.uniform(0, max(room - length, min(_LEAST_SLACK, room)))


def _draw_collision(rng, times, radii, speeds) -> list[Body]:
  for _ in range(_MAX_TRIES):
    left, right = draw_from(rng, radii), draw_from(rng, radii)
    before = draw_from(rng, speeds), -draw_from(rng, speeds)
    room = WORLD_WIDTH - 2 * (left + right + MARGIN)
    closing = before[0] - before[1]
    latest = _LATEST_SHARE * times[-1]
    latest = min(latest, room / closing) if closing else latest
    if latest > _EARLIEST_S:
      break
  else:
    raise ValueError(
      f"In none of {_MAX_TRIES} draws two discs fit into the image and meet "
      f"{_EARLIEST_S} s after the first frame, or later, in two thirds of a "
      f"clip of --num_frames={len(times)}. Make clips of 8 frames or more."
    )
  meeting = rng.uniform(_EARLIEST_S, latest)
  gap = closing * meeting
  start = rng.uniform(0, room - gap) - WORLD_WIDTH / 2 + MARGIN + left
  y = rng.uniform(-1, 1) * (WORLD_WIDTH / 2 - MARGIN - max(left, right))
  after = collide((left**2, right**2), before)
  bodies = []
  for radius, first, u, v in (
    (left, start, before[0], after[0]),
    (right, start + left + gap + right, before[1], after[1]),
  ):
    x = first + u * np.minimum(times, meeting)
    x += v * np.maximum(times - meeting, 0)
    bodies.append(Body(radius, np.stack([x, np.full_like(x, y)], -1)))
  return bodies
