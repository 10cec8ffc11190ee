"""The solids and flat figures, as exact intersections of rays with them.

Solids stand in their local frame at scale 1: axis along z, origin at half
height, the cone's apex at the top. Metres. All are convex, so a ray is inside
for one interval of its parameter: it enters at the largest of the entries into
the bodies that bound the solid, and leaves at the smallest of the exits. Flat
figures lie in the plane z = 0 of their frame and are not shaded.
"""

from typing import NamedTuple

import numpy as np

CUBE_SIDE = 0.1
RADIUS = 0.05
HEIGHT = 0.2
_SLOPE = RADIUS / HEIGHT  # Of the cone: radius lost per metre of height.

# Flat figures: side of the square, radius of the circle, side of the triangle.
SQUARE_SIDE = 0.2
CIRCLE_RADIUS = 0.15
TRIANGLE_SIDE = 0.2
_TRIANGLE_INRADIUS = TRIANGLE_SIDE / np.sqrt(12)


class Hits(NamedTuple):
  """Where rays meet a solid; all arrays have the shape of the rays.

  Attributes:
    is_hit: Whether the ray meets the solid in front of its origin.
    face: Number of the face that it meets, int8; 0 where there is none.
    cosine: Cosine between the face's normal and the light, unclipped; of no
      meaning where there is no hit.
    distance: Multiple of the ray's direction up to the hit; of no meaning
      where there is no hit.
  """

  is_hit: np.ndarray
  face: np.ndarray
  cosine: np.ndarray
  distance: np.ndarray


def cast(shape: str, origins, directions, light) -> Hits:
  """Intersects rays with a solid at scale 1, all in its local frame.

  Args:
    shape: One of the shapes of `schema.PRESETS`.
    origins: x, y, z of the rays' origins: three arrays that broadcast.
    directions: x, y, z of the rays' directions, any length.
    light: x, y, z of the unit vector towards the light.
  """
  with np.errstate(divide="ignore", invalid="ignore"):
    return _CASTS[shape](origins, directions, light)


def outline_points(shape: str, num_rim_points: int = 64) -> np.ndarray:
  """Returns points (N, 3) whose convex hull is the solid at scale 1."""
  half = CUBE_SIDE / 2
  if shape == "cube":
    corners = np.meshgrid([-half, half], [-half, half], [-half, half])
    return np.stack(corners, -1).reshape(-1, 3)
  if shape == "square":
    half = SQUARE_SIDE / 2
    corners = [[-half, -half, 0], [half, -half, 0], [-half, half, 0]]
    return np.array([*corners, [half, half, 0]])
  if shape == "triangle":
    low, half = -_TRIANGLE_INRADIUS, TRIANGLE_SIDE / 2
    return np.array([[-half, low, 0], [half, low, 0], [0, -2 * low, 0]])
  angles = np.arange(num_rim_points) * 2 * np.pi / num_rim_points
  circle = np.stack([np.cos(angles), np.sin(angles), 0 * angles], -1)
  if shape == "circle":
    return circle * CIRCLE_RADIUS
  rim = circle * RADIUS
  up = np.array([0.0, 0.0, HEIGHT / 2])
  top = up[None] if shape == "cone" else rim + up
  return np.concatenate([top, rim - up])


def _slab(origin, direction, half):
  """Entry and exit of the layer between -half and half of one axis."""
  inverse = 1 / direction
  near = -origin * inverse
  reach = np.abs(half * inverse)
  return near - reach, near + reach


def _cast_cube(origins, directions, light):
  entry, exit_ = _slab(origins[0], directions[0], CUBE_SIDE / 2)
  face = np.zeros(entry.shape, np.int8)
  cosine = -np.sign(directions[0]) * light[0]
  for axis in (1, 2):
    next_entry, next_exit = _slab(
      origins[axis], directions[axis], CUBE_SIDE / 2
    )
    is_later = next_entry > entry
    entry = np.maximum(entry, next_entry)
    exit_ = np.minimum(exit_, next_exit)
    face[is_later] = axis
    cosine = np.where(
      is_later, -np.sign(directions[axis]) * light[axis], cosine
    )
  is_hit = (entry <= exit_) & (exit_ > 0)
  face = np.where(is_hit, face + 1, 0).astype(np.int8)
  return Hits(is_hit, face, cosine, entry)


def _cast_cylinder(origins, directions, light):
  (ox, oy, oz), (dx, dy, dz) = origins, directions
  a = dx * dx + dy * dy
  b = ox * dx + oy * dy
  c = ox * ox + oy * oy - RADIUS**2
  root = np.sqrt(b * b - a * c)  # NaN where the ray misses the side.
  side_entry, side_exit = (-b - root) / a, (-b + root) / a
  cap_entry, cap_exit = _slab(oz, dz, HEIGHT / 2)
  is_cap = cap_entry > side_entry
  entry = np.maximum(side_entry, cap_entry)
  exit_ = np.minimum(side_exit, cap_exit)
  is_hit = (entry <= exit_) & (exit_ > 0)
  x, y = ox + entry * dx, oy + entry * dy
  cosine = np.where(
    is_cap, -np.sign(dz) * light[2], (x * light[0] + y * light[1]) / RADIUS
  )
  face = np.where(is_hit, is_cap + 1, 0).astype(np.int8)
  return Hits(is_hit, face, cosine, entry)


def _cast_cone(origins, directions, light):
  (ox, oy, oz), (dx, dy, dz) = origins, directions
  below = HEIGHT / 2 - oz  # Distance of the origin below the apex.
  a = dx * dx + dy * dy - (_SLOPE * dz) ** 2
  b = ox * dx + oy * dy + _SLOPE**2 * below * dz
  c = ox * ox + oy * oy - (_SLOPE * below) ** 2
  root = np.sqrt(b * b - a * c)  # NaN where the ray misses both nappes.
  first, second = (-b - root) / a, (-b + root) / a
  # a > 0: inside one nappe between the two. a < 0 (first >= second): inside
  # the lower nappe after `first` going down, before `second` going up.
  side_entry = np.where((a < 0) & (dz > 0), -np.inf, first)
  side_exit = np.where(
    a < 0, np.where(dz > 0, second, np.inf + 0 * root), second
  )
  cap_entry, cap_exit = _slab(oz, dz, HEIGHT / 2)
  is_base = cap_entry > side_entry
  entry = np.maximum(side_entry, cap_entry)
  exit_ = np.minimum(side_exit, cap_exit)
  is_hit = (entry <= exit_) & (exit_ > 0)
  x, y = ox + entry * dx, oy + entry * dy
  radius = _SLOPE * (below - entry * dz)
  slanted = (x * light[0] + y * light[1]) / radius + _SLOPE * light[2]
  cosine = np.where(is_base, -light[2], slanted / np.sqrt(1 + _SLOPE**2))
  face = np.where(is_hit, is_base + 1, 0).astype(np.int8)
  return Hits(is_hit, face, cosine, entry)


def contains(shape: str, points: np.ndarray) -> np.ndarray:
  """Whether points (..., 3) lie inside a solid at scale 1, in its frame."""
  x, y, z = np.moveaxis(points, -1, 0)
  if shape == "cube":
    return np.abs(points).max(-1) <= CUBE_SIDE / 2
  if shape not in _CASTS or shape in _FIGURES:
    raise ValueError(f"{shape!r} is no solid.")
  radius = RADIUS if shape == "cylinder" else _SLOPE * (HEIGHT / 2 - z)
  return (np.abs(z) <= HEIGHT / 2) & (x * x + y * y <= radius * radius)


def inner_points(shape: str, num_heights: int = 9) -> np.ndarray:
  """Returns points (N, 3) on the surface and the axis of a solid at scale 1."""
  share = np.linspace(-1, 1, num_heights)[:, None, None]
  half = (CUBE_SIDE if shape == "cube" else HEIGHT) / 2
  if shape == "cube":
    ring = outline_points("square") * (CUBE_SIDE / SQUARE_SIDE)
    # The middles of the sides too.
    ring = np.concatenate([ring, (ring + ring[[1, 3, 0, 2]]) / 2])
  else:
    ring = outline_points("circle", 12) * (RADIUS / CIRCLE_RADIUS)
  ring = np.concatenate([ring, ring / 2, np.zeros((1, 3))])
  width = (1 - share) / 2 if shape == "cone" else 1.0
  return (ring * width + share * np.array([0, 0, half])).reshape(-1, 3)


def _cast_figure(is_inside):
  """Makes the cast of a flat figure from a test of x and y."""

  def cast_figure(origins, directions, light):
    del light
    distance = -origins[2] / directions[2]
    x = origins[0] + distance * directions[0]
    y = origins[1] + distance * directions[1]
    is_hit = is_inside(x, y) & (distance > 0)
    return Hits(is_hit, is_hit.astype(np.int8), np.ones_like(x), distance)

  return cast_figure


def _is_in_square(x, y):
  return np.maximum(np.abs(x), np.abs(y)) <= SQUARE_SIDE / 2


def _is_in_circle(x, y):
  return x * x + y * y <= CIRCLE_RADIUS**2


def _is_in_triangle(x, y):
  slanted = (np.sqrt(3) * np.abs(x) + y) / 2
  return np.maximum(slanted, -y) <= _TRIANGLE_INRADIUS


_FIGURES = {
  "square": _cast_figure(_is_in_square),
  "circle": _cast_figure(_is_in_circle),
  "triangle": _cast_figure(_is_in_triangle),
}
_CASTS = {
  "cube": _cast_cube,
  "cylinder": _cast_cylinder,
  "cone": _cast_cone,
} | _FIGURES
