"""Points in space from where several cameras see them.

Linear first (Hartley and Zisserman, Multiple View Geometry, 2nd ed., 12.2: the
direct linear transform), then one Gauss-Newton step on the sum of the squared
reprojection errors. A view that contradicts the others is left out, if enough
others remain to tell.

Conventions: see `data_gen.cameras`.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from data_gen.cameras import MIN_DEPTH_M

# A view is left out where all views together miss by more than this, and
# without it the miss is less than this share of what it was.
OUTLIER_RESIDUAL_PX = 3.0
OUTLIER_SHARE = 1 / 3


@dataclasses.dataclass(frozen=True)
class Points:
  """Points in space, one a frame.

  Attributes:
    positions: Metres; NaN where there is none.
    residual_px: Root mean square over the used views of the distance between
      the point's projection and what was seen, pixels; NaN where there is none.
    is_found: Whether there is one: two views or more, and in front of them.
    is_used: Which views it comes from.
  """

  positions: Float[np.ndarray, "t 3"]
  residual_px: Float[np.ndarray, " t"]
  is_found: Bool[np.ndarray, " t"]
  is_used: Bool[np.ndarray, "v t"]


def triangulate(
  pixels: Float[np.ndarray, "v t 2"],
  is_seen: Bool[np.ndarray, "v t"],
  intrinsics: Float[np.ndarray, "v 3 3"],
  camera_from_world: Float[np.ndarray, "v 3 4"],
) -> Points:
  """Returns the points that v cameras see; views may be left out.

  Args:
    pixels: Where they see them, x and y; of no meaning where they do not.
    is_seen: Whether a camera sees the point of a frame.
    intrinsics: Of the cameras, pixels.
    camera_from_world: Rotation and translation, metres.
  """
  projections = np.einsum(
    "vij,vjk->vik", intrinsics.astype(float), camera_from_world.astype(float)
  )
  pixels = np.where(is_seen[..., None], pixels, 0.0)
  is_used = is_seen.copy()
  best = _solve(pixels, is_used, projections)
  for _ in range(len(pixels) - 2):
    # All frames are solved without each view in turn: few views, cheap.
    is_open = (is_used.sum(0) >= 3) & ~(best[1] <= OUTLIER_RESIDUAL_PX)
    if not is_open.any():
      break
    trials = np.repeat(is_used[None], len(pixels), axis=0)
    trials[np.arange(len(pixels)), np.arange(len(pixels))] = False
    found = [_solve(pixels, trial, projections) for trial in trials]
    residuals = np.stack([residual for _, residual in found])
    residuals = np.where(is_used, residuals, np.nan)
    residuals = np.where(np.isnan(residuals), np.inf, residuals)
    view = residuals.argmin(0)
    least = residuals.min(0)
    before = np.where(np.isnan(best[1]), np.inf, best[1])
    is_better = is_open & np.isfinite(least)
    is_better &= ~(least > OUTLIER_SHARE * before)
    for frame in np.flatnonzero(is_better):
      is_used[view[frame], frame] = False
    if not is_better.any():
      break
    best = _solve(pixels, is_used, projections)
  positions, residual_px = best
  is_found = ~np.isnan(residual_px)
  return Points(positions, residual_px, is_found, is_used & is_found)


def project(
  positions: Float[np.ndarray, "t 3"],
  intrinsics: Float[np.ndarray, "v 3 3"],
  camera_from_world: Float[np.ndarray, "v 3 4"],
) -> Float[np.ndarray, "v t 2"]:
  """Returns where v cameras see points, pixels (x, y)."""
  projections = intrinsics.astype(float) @ camera_from_world.astype(float)
  return _reproject(positions, projections)[0]


def _solve(pixels, is_used, projections):
  """Returns positions (t, 3) and residuals (t,); NaN where there are none."""
  with np.errstate(all="ignore"):
    positions = _linear(pixels, is_used, projections)
    positions = _refine(positions, pixels, is_used, projections)
    predicted, depths = _reproject(positions, projections)
    squares = ((predicted - pixels) ** 2).sum(-1)
    total = np.where(is_used, squares, 0).sum(0)
    count = is_used.sum(0)
    residual_px = np.sqrt(total / np.maximum(count, 1))
    is_in_front = ((depths > MIN_DEPTH_M) | ~is_used).all(0)
  is_good = (count >= 2) & is_in_front & np.isfinite(residual_px)
  is_good &= np.isfinite(positions).all(-1)
  positions = np.where(is_good[:, None], positions, np.nan)
  return positions, np.where(is_good, residual_px, np.nan)


def _linear(pixels, is_used, projections):
  """The direct linear transform, (t, 3)."""
  # Two equations a view: (x p3 - p1) X = 0 and (y p3 - p2) X = 0. In units of
  # the focal length, so that all rows weigh about the same.
  rows = (
    pixels[..., None] * projections[:, None, None, 2] - projections[:, None, :2]
  )
  focal_px = np.linalg.norm(projections[:, 0, :3], axis=-1)
  rows = rows / focal_px[:, None, None, None] * is_used[..., None, None]
  v, t = is_used.shape
  system = rows.transpose(1, 0, 2, 3).reshape(t, 2 * v, 4)
  homogeneous = np.linalg.svd(system)[2][:, -1]
  return homogeneous[:, :3] / homogeneous[:, 3:]


def _refine(positions, pixels, is_used, projections):
  """One Gauss-Newton step on the squared reprojection errors."""
  predicted, depths = _reproject(positions, projections)
  # d(a/c) = (da - (a/c) dc) / c.
  jacobian = (
    projections[:, None, :2, :3]
    - predicted[..., None] * projections[:, None, None, 2, :3]
  ) / depths[..., None, None]
  jacobian = np.where(is_used[..., None, None], jacobian, 0)
  errors = np.where(is_used[..., None], pixels - predicted, 0)
  normal = np.einsum("vtij,vtik->tjk", jacobian, jacobian)
  right = np.einsum("vtij,vti->tj", jacobian, errors)
  is_regular = np.isfinite(normal).all((1, 2)) & np.isfinite(right).all(1)
  is_regular &= np.linalg.cond(np.where(np.isfinite(normal), normal, 0)) < 1e12
  normal = np.where(is_regular[:, None, None], normal, np.eye(3))
  right = np.where(is_regular[:, None], right, 0)
  return positions + np.linalg.solve(normal, right[..., None])[..., 0]


def _reproject(positions, projections):
  """Returns pixels (v, t, 2) and depths (v, t)."""
  homogeneous = (
    np.einsum("vij,tj->vti", projections[:, :, :3], positions)
    + projections[:, None, :, 3]
  )
  return homogeneous[..., :2] / homogeneous[..., 2:], homogeneous[..., 2]
