"""What the law of the lifetimes alone tells of an object seen so far.

The law (`data_gen.objects.draw_lifetime`): an object that stays is there in all
T frames. One that passes is there for a length of 1, 2 or 3 frames, each as
likely, from a first frame that is uniform among those that fit. So

  P(first = 0, length >= k) = sum over lengths L >= k of 1/3 / (T - L + 1)
  P(first < k) = sum over L of 1/3 * min(k, T - L + 1) / (T - L + 1).

After frame k an object that came late, or is gone, passes for certain. One that
was there in all k frames may be either: nothing in a lifetime tells more.
"""

import numpy as np
from jaxtyping import Bool, Float

LENGTHS = (1, 2, 3)


def best_accuracy(
  num_frames: int, num_stay: int, num_pass: int
) -> Float[np.ndarray, " t"]:
  """Returns the best accuracy after frames 1..T, of objects that came by then.

  A bound for those that know presence alone; what an object looks like, or how
  it moves, is not in it. Expected right answers over expected objects.

  Args:
    num_frames: T, above the longest lifetime.
    num_stay: Objects of a scene that stay.
    num_pass: Objects of a scene that pass.
  """
  k = np.arange(1, num_frames + 1)
  starts = {length: num_frames - length + 1 for length in LENGTHS}
  share = num_pass / len(LENGTHS)
  alike = sum(share * (length >= k) / n for length, n in starts.items())
  came = num_stay + sum(share * np.minimum(k, n) / n for n in starts.values())
  return 1 - np.minimum(num_stay, alike) / came


def so_far(seen: Bool[np.ndarray, "*n t"]) -> Bool[np.ndarray, "*n t"]:
  """Returns whether an object was seen in all frames up to each."""
  return np.logical_and.accumulate(seen, axis=-1)


def has_come(seen: Bool[np.ndarray, "*n t"]) -> Bool[np.ndarray, "*n t"]:
  """Returns whether an object was seen in any frame up to each."""
  return np.logical_or.accumulate(seen, axis=-1)
