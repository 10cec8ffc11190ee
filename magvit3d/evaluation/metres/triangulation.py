"""Points in space from where several cameras see them.

Linear first (Hartley and Zisserman, Multiple View Geometry, 2nd ed., 12.2: the
direct linear transform), then one Gauss-Newton step on the sum of the squared
reprojection errors. Where three views or more contradict each other, those are
left out that do not agree with the most others.

Conventions: see `data_gen.rendering.cameras`.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Float

from data_gen.rendering.cameras import MIN_DEPTH_M

# Views are left out where all together miss by more than this, and the others
# then miss by less than this share of it.
OUTLIER_RESIDUAL_PX = 3.0
OUTLIER_SHARE = 1 / 3
_MAX_PAIRS = 100  # Of views, that are tried: bounds the time for many cameras.


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
  projections = intrinsics.astype(float) @ camera_from_world.astype(float)
  pixels = np.where(is_seen[..., None], pixels, 0.0)
  is_used = is_seen.copy()
  positions, residual_px = _solve(pixels, is_used, projections)
  is_doubtful = (is_seen.sum(0) >= 3) & ~(residual_px <= OUTLIER_RESIDUAL_PX)
  doubtful = np.flatnonzero(is_doubtful)
  if doubtful.size:
    parts = pixels[:, doubtful], is_seen[:, doubtful]
    agreeing = _largest_agreement(*parts, projections)
    solved = _solve(parts[0], agreeing, projections)
    before = np.nan_to_num(residual_px[doubtful], nan=np.inf)
    # False for NaN, too.
    is_better = solved[1] < OUTLIER_SHARE * before
    chosen = doubtful[is_better]
    is_used[:, chosen] = agreeing[:, is_better]
    positions[chosen] = solved[0][is_better]
    residual_px[chosen] = solved[1][is_better]
  is_found = ~np.isnan(residual_px)
  return Points(positions, residual_px, is_found, is_used & is_found)


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


def _largest_agreement(pixels, is_seen, projections) -> Bool[np.ndarray, "v t"]:
  """Returns the views that agree with each other, as many as possible.

  Every pair of views tells where the point is; the views that see it there
  within OUTLIER_RESIDUAL_PX agree with the pair. Of equally many views, the
  nearer ones count. Where no pair agrees with itself, no view is returned.
  """
  best = np.zeros(is_seen.shape, bool)
  best_error = np.full(is_seen.shape[1], np.inf)
  pairs = list(itertools.combinations(range(len(is_seen)), 2))
  for pair in pairs[:: len(pairs) // _MAX_PAIRS + 1]:
    is_pair = np.zeros(is_seen.shape, bool)
    is_pair[list(pair)] = is_seen[list(pair)].all(0)
    positions, _ = _solve(pixels, is_pair, projections)
    with np.errstate(all="ignore"):
      errors = np.linalg.norm(
        _reproject(positions, projections)[0] - pixels, axis=-1
      )
    agrees = is_seen & (errors <= OUTLIER_RESIDUAL_PX)
    count, best_count = agrees.sum(0), best.sum(0)
    error = np.where(agrees, errors, 0).sum(0)
    is_better = (count > best_count) | (
      (count == best_count) & (error < best_error)
    )
    is_better &= agrees[list(pair)].all(0)
    best = np.where(is_better, agrees, best)
    best_error = np.where(is_better, error, best_error)
  return best


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
  homogeneous = np.linalg.svd(system, full_matrices=False)[2][:, -1]
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
