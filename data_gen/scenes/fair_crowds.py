"""Crowds in which what stays and what passes look alike, by law.

Elsewhere an object that does not fit is drawn anew, its shape, size and
lifetime too: those that fit more easily are then more frequent, and they are
others among objects that stay than among those that pass. Here all but place
and path is drawn before, and drawn anew only where five arrangements of it find
no room: of all objects of the scene then.
"""

import dataclasses
import functools

import numpy as np

from data_gen.scenes import objects
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.scenes import SceneMaker


@dataclasses.dataclass(frozen=True)
class FairCrowdOptions(DatasetOptions):
  """Options of such scenes."""

  def arguments(self) -> dict[str, int | float | bool | str]:
    """Returns the options that determine the records, as for JSON."""
    return super().arguments() | {"fair_crowds": True}


class FairCrowdMaker(SceneMaker):
  """Draws one scene; see `scenes.make_scene`."""

  def further_kinds(self, rng: np.random.Generator) -> list:
    """Returns what draws places and paths of objects that are drawn now."""
    options = self.options
    looks = [
      *(self.mover_looks(rng) for _ in range(options.num_objects - 1)),
      *(self.clutter_looks(rng) for _ in range(options.num_clutter)),
      *(self.mover_looks(rng) for _ in range(options.num_transients)),
    ]
    lifetimes = [None] * (len(looks) - options.num_transients) + [
      objects.draw_lifetime(rng, options.num_frames)
      for _ in range(options.num_transients)
    ]
    return [
      functools.partial(self.place, looks=look, lifetime=lifetime)
      for look, lifetime in zip(looks, lifetimes, strict=True)
    ]
