"""Cues of PhyWorld: which of two attributes does a model go by?

In training two of them are tied, as in "what is red is a disc, what is blue is
a square". Given the first frames of split ood_cues, red squares and blue discs,
a model keeps one of the two, and changes the other to what went with it.
https://arxiv.org/abs/2411.02385, section 5.
"""

from data_gen.rendering import soft_figures
from data_gen.scenes import phyworld_laws
from data_gen.scenes.phyworld_laws import Intervals

CUES = ("color", "size", "velocity", "shape")
SPLIT = "ood_cues"
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
COLORS = (RED, BLUE)
# Radii in units and speeds in units per second, of the two values of a cue.
RADII: tuple[Intervals, ...] = (((0.7, 0.9),), ((1.2, 1.4),))
SPEEDS: tuple[Intervals, ...] = (((1.0, 1.75),), ((3.25, 4.0),))


def parse(text: str) -> tuple[str, ...]:
  """Returns the two names of a flag such as "color,shape"; () for none.

  Raises:
    ValueError: It names no two cues.
  """
  names = tuple(name.strip() for name in text.split(",")) if text else ()
  if names and (len(set(names)) != 2 or not set(names) <= set(CUES)):
    raise ValueError(
      f"--cues={text} are no two cues: give two of {', '.join(CUES)} with a "
      "comma, such as color,shape."
    )
  return names


def values_of_scene(text: str, split: str, index: int) -> dict[str, int]:
  """Returns the value, 0 or 1, that each cue has in a scene.

  Both have the same in every split but ood_cues, where they differ; the first
  one's is 0 in every other scene.
  """
  names = parse(text)
  if not names:
    return {}
  first = index % 2
  second = 1 - first if split == SPLIT else first
  return dict(zip(names, (first, second), strict=True))


def shape_of_scene(text: str, split: str, index: int) -> int:
  """Returns the number of a scene's shape in `soft_figures.SHAPES`."""
  return values_of_scene(text, split, index).get("shape", 0)


def looks(
  values: dict[str, int],
) -> tuple[str, tuple[float, float, float], Intervals, Intervals]:
  """Returns shape, colour, radii and speeds of the values of some cues."""
  return (
    soft_figures.SHAPES[values.get("shape", 0)],
    COLORS[values.get("color", 0)],
    RADII[values["size"]] if "size" in values else phyworld_laws.RADII,
    SPEEDS[values["velocity"]]
    if "velocity" in values
    else phyworld_laws.SPEEDS,
  )
