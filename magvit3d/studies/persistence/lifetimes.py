"""The best that the law of lifetimes allows: who stays, after k frames?

An object that passes lives L frames, L = 1, 2, 3 equally likely, from a first
frame that is any of the T - L + 1 that leave it whole
(`data_gen.scenes.objects.draw_lifetime`); one that stays is there from the
first frame on. So whatever comes later, or has gone, passes. Of what was there
in all k frames so far nothing tells more than the law: it stays, unless more of
those that pass are like that. Beyond the third frame none are.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from data_gen.scenes.objects import MAX_TRANSIENT_FRAMES


@dataclasses.dataclass(frozen=True)
class Lifetimes:
  """Expected counts of a scene, by frames seen, k = 1..T.

  Attributes:
    stays: Objects that stay.
    passes: Objects that pass and have appeared.
    doubtful: Of these, those that were there in all k frames.
  """

  stays: int
  passes: Float[np.ndarray, " t"]
  doubtful: Float[np.ndarray, " t"]

  @property
  def best(self) -> Float[np.ndarray, " t"]:
    """Share of right decisions on those that have appeared."""
    right = np.maximum(self.stays, self.doubtful) + self.passes - self.doubtful
    return right / (self.stays + self.passes)

  @property
  def certainty(self) -> Float[np.ndarray, " t"]:
    """Probability that what was there in all k frames stays."""
    return self.stays / (self.stays + self.doubtful)


def expected(num_stays: int, num_passes: int, num_frames: int) -> Lifetimes:
  """Returns the counts in closed form.

  Args:
    num_stays: Objects of a scene that stay, 1 or more.
    num_passes: Objects that pass.
    num_frames: Of a clip.
  """
  lengths = np.arange(1, MAX_TRANSIENT_FRAMES + 1)
  starts = num_frames - lengths + 1
  seen = np.arange(1, num_frames + 1)[:, None]
  appeared = np.minimum(seen / starts, 1).mean(1)
  in_all = ((lengths >= seen) / starts).mean(1)
  return Lifetimes(num_stays, num_passes * appeared, num_passes * in_all)
