"""Decisions about objects, and what they are worth: all ratios over scenes.

An object is asked about once it has appeared, that is, once a pixel of it was
in sight. Frames are counted from 1: after frame k, k frames were seen.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from magvit3d.studies.ratios import Ratio


def appeared(is_seen: Bool[np.ndarray, "n o t"]) -> Bool[np.ndarray, "n o t"]:
  """Returns whether an object was in sight so far."""
  return np.logical_or.accumulate(is_seen, axis=-1)


def never_missed(
  is_seen: Bool[np.ndarray, "n o t"],
) -> Bool[np.ndarray, "n o t"]:
  """Returns whether it was in sight in all frames so far: a baseline."""
  return np.logical_and.accumulate(is_seen, axis=-1)


def accuracy(
  answers: Bool[np.ndarray, "n o"],
  stays: Bool[np.ndarray, "n o"],
  is_asked: Bool[np.ndarray, "n o"],
  num_views: int = 1,
) -> Ratio:
  """Returns the share of right answers of those that are asked.

  Args:
    answers: Whether each object stays.
    stays: The truth.
    is_asked: Others do not count.
    num_views: Clips of a scene, which follow each other.
  """
  right = (answers == stays) & is_asked
  return Ratio(_by_scene(right, num_views), _by_scene(is_asked, num_views))


def f1(
  answers: Bool[np.ndarray, "n o"],
  stays: Bool[np.ndarray, "n o"],
  is_asked: Bool[np.ndarray, "n o"],
  num_views: int = 1,
) -> Ratio:
  """Returns F1 of 'it stays': 2 TP / (2 TP + FP + FN); see `accuracy`."""
  hits = 2 * _by_scene(answers & stays & is_asked, num_views)
  misses = _by_scene((answers != stays) & is_asked, num_views)
  return Ratio(hits, hits + misses)


def log_loss(
  probabilities: Float[np.ndarray, "n o t"],
  stays: Bool[np.ndarray, "n o"],
  has_appeared: Bool[np.ndarray, "n o t"],
) -> float:
  """Returns the mean cross-entropy of all answers that are asked, nats."""
  of_truth = np.where(stays[..., None], probabilities, 1 - probabilities)
  least = np.finfo(np.float32).eps
  return float(-np.log(np.maximum(of_truth[has_appeared], least)).mean())


@dataclasses.dataclass(frozen=True)
class Early:
  """Answers that are taken once they are sure enough.

  Attributes:
    frame: After which each object's answer is taken, 1..t; t where it is
      never sure before the end.
    accuracy: Of the answers taken before the end, at their frame.
    share: Of objects whose answer is taken before the end.
    saved: Share of the clip's frames that come after the answer.
  """

  frame: Int[np.ndarray, "n o"]
  accuracy: Ratio
  share: Ratio
  saved: Ratio


def early(
  probabilities: Float[np.ndarray, "n o t"],
  stays: Bool[np.ndarray, "n o"],
  has_appeared: Bool[np.ndarray, "n o t"],
  confidence: float,
  num_views: int = 1,
) -> Early:
  """Returns when answers are taken, and what they are worth then.

  Args:
    probabilities: That each object stays, after each frame.
    stays: The truth.
    has_appeared: See `appeared`.
    confidence: Of an answer that is taken.
    num_views: See `accuracy`.
  """
  num_frames = probabilities.shape[-1]
  sure = np.maximum(probabilities, 1 - probabilities) >= confidence
  sure &= has_appeared
  sure[..., -1] = True
  frame = sure.argmax(-1) + 1
  taken = np.take_along_axis(probabilities, frame[..., None] - 1, -1)[..., 0]
  is_asked = has_appeared[..., -1]
  is_early = is_asked & (frame < num_frames)
  asked = _by_scene(is_asked, num_views)
  frames_left = np.where(is_asked, num_frames - frame, 0)
  return Early(
    frame,
    accuracy(taken > 0.5, stays, is_early, num_views),
    Ratio(_by_scene(is_early, num_views), asked),
    Ratio(_by_scene(frames_left, num_views), asked * num_frames),
  )


def attention_sums(
  weights: Float[Array, "b h n n"],
  is_seen: Bool[Array, "b o t"],
  stays: Bool[Array, "b o"],
  *,
  with_own: bool,
) -> Float[Array, "b 2"]:
  """Returns mean attention to a key that stays, and to one that passes.

  Each key is an object in a frame. For every query that may attend to keys of
  both kinds, weights are averaged over the keys of a kind, so that it does not
  count that those who stay have more frames; then these are summed over
  queries of objects in sight, and averaged over heads.

  Args:
    weights: Of a layer, rows sum to 1; entries as in `visible_keys`.
    is_seen: Whether objects are in sight.
    stays: The truth.
    with_own: Whether keys of the query's own object count.
  """
  count, num_objects, num_frames = is_seen.shape
  seen = is_seen.reshape(count, -1)
  objects = jnp.repeat(jnp.arange(num_objects), num_frames)
  frames = jnp.tile(jnp.arange(num_frames), num_objects)
  counts = frames[None] <= frames[:, None]
  if not with_own:
    counts &= objects[None] != objects[:, None]
  keys = seen[:, None, :] & counts[None]
  of_stayers = jnp.repeat(stays, num_frames, axis=1)[:, None, :]
  mean_weights = weights.mean(1)
  kinds = [keys & of_stayers, keys & ~of_stayers]
  is_fair = seen & kinds[0].any(-1) & kinds[1].any(-1)
  sums = [
    (
      (mean_weights * kind).sum(-1) / jnp.maximum(kind.sum(-1), 1) * is_fair
    ).sum(-1)
    for kind in kinds
  ]
  return jnp.stack(sums, axis=-1)


def attention_ratio(
  sums: Float[np.ndarray, "n 2"], num_views: int = 1
) -> Ratio:
  """Returns attention to what stays over that to what passes."""
  by_scene = sums.reshape(-1, num_views, 2).sum(1)
  return Ratio(by_scene[:, 0], by_scene[:, 1])


def _by_scene(values: np.ndarray, num_views: int) -> np.ndarray:
  return values.reshape(len(values) // num_views, -1).sum(1).astype(float)
