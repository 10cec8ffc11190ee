"""The 3D view of a scene: what is drawn, and from where.

An eye that turns about a point of the scene is a pinhole camera like those of
the scene, so that both are projected by the same formula. `geometry.js` does
the same in the browser.
"""

import dataclasses

import numpy as np

from data_gen import schema
from data_gen.previews.data_set import DataSet, camera_name
from data_gen.previews.facts import ObjectFacts
from data_gen.rendering import cameras

FIELD_OF_VIEW = np.radians(30)
NEAR_M = 1e-3  # Nothing nearer to the eye is drawn.
_FILLED_SHARE = 0.86  # Of the picture; names of cameras need the rest.
_FRUSTUM_SHARE = 0.2  # Depth of a frustum, of the camera's own distance.
_NUM_GROUND_LINES = 9
# Ends of the edges of a box, as numbers of its corners.
_BOX_EDGES = (
  (0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3),
  (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7),
)  # fmt: skip
# From the centre (0) to the corners, and around the image.
FRUSTUM_EDGES = (
  (0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1),
)  # fmt: skip
_CAMERA_COLORS = (
  "#3b82f6", "#f97316", "#22a559", "#c054d8",
  "#0ea5b7", "#ca8a04", "#e5484d", "#8b7cf6",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class World:
  """What stands still in the 3D view, in metres.

  Attributes:
    bounds: Ends of lines of the box of all positions, (n, 2, 3).
    ground: Ends of lines on the ground, (n, 2, 3).
    floor_m: Height onto which paths are dropped.
    frusta: Centre and corners of the image (as `frustum`) of each camera,
      (V, 5, 3).
    target: The point that the eye turns about, (3,).
    distance: Of the eye from it, such that all is seen.
    azimuth, elevation: Of the eye at the start, radians.
  """

  bounds: np.ndarray
  ground: np.ndarray
  floor_m: float
  frusta: np.ndarray
  target: np.ndarray
  distance: float
  azimuth: float
  elevation: float

  def as_json(self) -> dict:
    """Returns what scripts draw it from."""
    return {
      "bounds": self.bounds.tolist(),
      "ground": self.ground.tolist(),
      "floor": self.floor_m,
      "frusta": self.frusta.tolist(),
      "frustumEdges": FRUSTUM_EDGES,
      "target": self.target.tolist(),
      "distance": self.distance,
      "azimuth": self.azimuth,
      "elevation": self.elevation,
      "fieldOfView": float(FIELD_OF_VIEW),
      "near": NEAR_M,
    }


@dataclasses.dataclass(frozen=True)
class Stroke:
  """A line in the picture of a 3D view.

  Attributes:
    points: (n, 2), pixels as in `data_gen.rendering.cameras`.
    role: "bounds", "ground", "shadow", "path", "clean" or "camera".
    color: "#rrggbb", or None for that of the role.
  """

  points: np.ndarray
  role: str
  color: str | None = None


@dataclasses.dataclass(frozen=True)
class Eye:
  """A camera that draws the 3D view.

  Attributes:
    intrinsics: (3, 3).
    camera_from_world: (3, 4).
  """

  intrinsics: np.ndarray
  camera_from_world: np.ndarray

  def project(self, points: np.ndarray) -> np.ndarray:
    """Projects points (..., 3) in front of the eye to pixels (..., 2)."""
    return cameras.project(points, self.intrinsics, self.camera_from_world)


def make_eye(
  azimuth: float,
  elevation: float,
  distance: float,
  target: np.ndarray,
  size_px: int,
) -> Eye:
  """Returns an eye on a sphere around `target`, which it faces.

  Args:
    azimuth: From the x axis to the y axis, radians.
    elevation: Above the plane z = target[2], radians, within +-pi/2.
    distance: Metres.
    target: (3,), metres.
    size_px: Height and width of the picture.
  """
  flat = np.cos(elevation)
  direction = np.array(
    [flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)]
  )
  return Eye(
    cameras.make_intrinsics(size_px, FIELD_OF_VIEW),
    cameras.look_at(target + distance * direction, target),
  )


def frustum(
  intrinsics: np.ndarray,
  camera_from_world: np.ndarray,
  image_size: int,
  depth_m: float,
) -> np.ndarray:
  """Returns a camera's centre and its image's corners at a depth, (5, 3).

  The corners are those of the outermost pixels, clockwise from the top left.
  """
  low, high = -0.5, image_size - 0.5
  pixels = np.array(
    [[low, low, 1], [high, low, 1], [high, high, 1], [low, high, 1]]
  )
  in_camera = depth_m * pixels @ np.linalg.inv(intrinsics).T
  in_camera = np.concatenate([np.zeros((1, 3)), in_camera])
  rotation, translation = camera_from_world[:, :3], camera_from_world[:, 3]
  return (in_camera - translation) @ rotation


def make_world(data: DataSet, scene: dict) -> World:
  """Returns what stands still in the 3D view of a scene."""
  return place_world(
    data.bounds,
    scene[schema.INTRINSICS],
    scene[schema.CAMERA_FROM_WORLD],
    data.source.image_size,
    path=scene[schema.TRAJECTORY],
    has_ground=data.has_ground,
    is_flat=data.is_flat,
  )


def place_world(
  bounds: np.ndarray | None,
  intrinsics: np.ndarray,
  camera_from_world: np.ndarray,
  image_size: int,
  *,
  path: np.ndarray,
  has_ground: bool = False,
  is_flat: bool = False,
) -> World:
  """Returns the world of a box and cameras, which the eye sees all of.

  Args:
    bounds: Largest |x|, |y| and |z| of positions, (3,), metres, if limited.
    intrinsics: Of the cameras, (V, 3, 3).
    camera_from_world: Of the cameras, (V, 3, 4).
    image_size: Height and width of their pictures, pixels.
    path: What shall be seen too, (n, 3), metres; NaN where unknown.
    has_ground: Whether there is a ground below the bounds.
    is_flat: Whether all is in the plane z = 0, and seen from below.
  """
  matrices = camera_from_world.astype(float)
  centres = -np.einsum("vij,vi->vj", matrices[:, :, :3], matrices[:, :, 3])
  path = path.astype(float)
  path = path[np.isfinite(path).all(-1)]
  lines = np.zeros((0, 2, 3))
  inner = path if len(path) else _seen_point(matrices, centres)
  if bounds is not None:
    corners = np.array(
      [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    )
    inner = corners * bounds
    lines = inner[np.array(_BOX_EDGES)]
  middle = (inner.min(0) + inner.max(0)) / 2
  depths = _FRUSTUM_SHARE * np.linalg.norm(centres - middle, axis=-1)
  frusta = np.stack(
    [
      frustum(*camera, image_size, depth)
      for *camera, depth in zip(
        intrinsics.astype(float), matrices, depths, strict=True
      )
    ]
  )
  points = np.concatenate([inner, path, frusta.reshape(-1, 3)])
  target = (points.min(0) + points.max(0)) / 2
  # The flat figures are seen from below, as their camera sees them.
  angles = np.radians(-62), np.radians(-40 if is_flat else 24)
  return World(
    bounds=lines,
    ground=_ground_lines(bounds) if has_ground else np.zeros((0, 2, 3)),
    floor_m=float(inner[:, 2].min()),
    frusta=frusta,
    target=target,
    distance=_fitting_distance(points, target, *angles),
    azimuth=float(angles[0]),
    elevation=float(angles[1]),
  )


def draw(
  eye: Eye, world: World, things: list[ObjectFacts], clean: np.ndarray
) -> list[Stroke]:
  """Returns the lines of a 3D view, those to draw first at the front.

  Args:
    eye: From where.
    world: What stands still.
    things: The objects, the main one first.
    clean: Path of the main one before the noise, (T, 3).
  """
  strokes = [Stroke(eye.project(line), "ground") for line in world.ground]
  strokes += [Stroke(eye.project(line), "bounds") for line in world.bounds]
  for view, corners in enumerate(world.frusta):
    color = camera_color(view)
    strokes += [
      Stroke(eye.project(corners[list(edge)]), "camera", color)
      for edge in FRUSTUM_EDGES
    ]
  for thing in things:
    path = thing.path[thing.first_frame : thing.last_frame + 1].astype(float)
    dropped = np.column_stack([path[:, :2], np.full(len(path), world.floor_m)])
    strokes.append(Stroke(eye.project(dropped), "shadow"))
    strokes.append(Stroke(eye.project(path), "path", thing.color))
  strokes.append(Stroke(eye.project(clean.astype(float)), "clean"))
  return strokes


def camera_color(view: int) -> str:
  """Returns the colour of a camera in all pictures."""
  return _CAMERA_COLORS[view % len(_CAMERA_COLORS)]


def camera_labels(eye: Eye, world: World) -> list[tuple[np.ndarray, str, str]]:
  """Returns place (2,), name and colour of each camera in the picture."""
  return [
    (
      eye.project(corners[0]),
      camera_name(view),
      camera_color(view),
    )
    for view, corners in enumerate(world.frusta)
  ]


def _fitting_distance(points, target, azimuth, elevation):
  """How far the eye must be to see all points (n, 3), metres."""
  eye = make_eye(azimuth, elevation, 1.0, target, 1)
  # Moving the eye back adds to the depth of all points, and to nothing else.
  relative = (points - target) @ eye.camera_from_world[:, :3].T
  across = np.abs(relative[:, :2]).max(-1)
  share = _FILLED_SHARE * np.tan(FIELD_OF_VIEW / 2)
  return max(float((across / share - relative[:, 2]).max()), 10 * NEAR_M)


def _seen_point(matrices, centres):
  """The point nearest to all lines of sight, or before the camera, (1, 3)."""
  forward = matrices[:, 2, :3]
  across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
  # A little weight on points 1 m ahead, for cameras that look in parallel.
  ahead = centres + forward
  total = across.sum(0) + 1e-3 * len(centres) * np.eye(3)
  wanted = np.einsum("vij,vj->i", across, centres) + 1e-3 * ahead.sum(0)
  return np.linalg.solve(total, wanted)[None]


def _ground_lines(bounds):
  """A grid below the bounds, (n, 2, 3)."""
  x, y, z = bounds
  lines = [
    [[s, -y, -z], [s, y, -z]] for s in np.linspace(-x, x, _NUM_GROUND_LINES)
  ]
  lines += [
    [[-x, s, -z], [x, s, -z]] for s in np.linspace(-y, y, _NUM_GROUND_LINES)
  ]
  return np.array(lines)
