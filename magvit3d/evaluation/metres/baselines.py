"""What can be said of a scene's later frames without any network.

Clips are uint8 (v, t, h, w, 3), those of all cameras of a scene.
"""

import numpy as np
from jaxtyping import Float, UInt8

from data_gen.rendering import ground, renderer, rotations, solids
from data_gen.rendering.cameras import MIN_DEPTH_M, Cameras
from data_gen.rendering.rays import Solid
from magvit3d.evaluation.metres.scenes import ScoredScene

BACKGROUND_ONLY = "background_only"
COPY_FIRST, COPY_LAST = "copy_first", "copy_last"


def still_clips(
  scene: ScoredScene, given_frames: int
) -> dict[str, UInt8[np.ndarray, "v t h w 3"]]:
  """Returns clips in which nothing moves, by name.

  They are the background without the object, and the last given frame,
  repeated; the first frame where none is given.
  """
  last = max(given_frames - 1, 0)
  times = np.minimum(np.arange(scene.frames.shape[1]), last)
  background = np.rint(scene.background * 255).astype(np.uint8)
  return {
    BACKGROUND_ONLY: np.broadcast_to(background[:, None], scene.frames.shape),
    COPY_LAST if given_frames else COPY_FIRST: scene.frames[:, times],
  }


def render_path(
  scene: ScoredScene, path: Float[np.ndarray, "t 3"], first_frame: int
) -> UInt8[np.ndarray, "v t h w 3"]:
  """Returns the true clips, from `first_frame` on with the object on a path.

  It keeps its shape, size, colour and orientation. A camera that it passes, or
  comes too near to, no longer sees it from that frame on.
  """
  frames = scene.frames.copy()
  if first_frame >= len(path):
    return frames
  turned = rotations.matrix_from_quaternion(scene.solid.orientation)
  later = slice(first_frame, None)
  outline = solids.outline_points(scene.solid.shape) * scene.solid.size
  points = np.einsum("tij,nj->tni", turned[later], outline)
  points += path[later, None]
  for view in range(len(frames)):
    pose = scene.camera_from_world[view]
    depths = points @ pose[2, :3] + pose[2, 3]
    is_in_front = (depths > MIN_DEPTH_M).all(-1)
    num_seen = len(depths) if is_in_front.all() else int(is_in_front.argmin())
    solid = Solid(
      shape=scene.solid.shape,
      size=scene.solid.size,
      trajectory=path[later],
      rotations=turned[later],
      color=scene.color,
      last_frame=num_seen - 1,
    )
    frames[view, later] = _render_view(scene, view, solid)
  return frames


def _render_view(scene, view, solid) -> UInt8[np.ndarray, "t h w 3"]:
  camera = Cameras(
    scene.intrinsics[view : view + 1],
    scene.camera_from_world[view : view + 1],
    scene.frames.shape[2],
  )
  background = scene.background[view].astype(float)
  if background.shape[:2] == (1, 1):
    background = background[0, 0]
  else:
    background = ground.add_shadows(background[None], [solid], camera)
  return renderer.render([solid], camera, background).frames[0]
