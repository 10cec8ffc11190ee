"""Captions of scenes, such as "a green cone on a helix"."""

from collections.abc import Sequence

from data_gen import schema
from data_gen.rendering import colors
from data_gen.scenes.objects import SceneObject
from data_gen.scenes.options import DatasetOptions

_PATHS = {
  "linear": "on a line",
  "circular": "on a circle",
  "helical": "on a helix",
  "parabolic": "on a parabola",
  "sine": "on a sine",
  schema.RANDOM: "on a random path",
}


def make_caption(
  options: DatasetOptions, objects: Sequence[SceneObject]
) -> str:
  """Describes the moving objects of a scene, the main one first."""
  return " and ".join(
    _describe(options, thing) for thing in objects if thing.is_moving
  )


def _describe(options, thing):
  name = colors.name_color(thing.solid.color)
  article = "an" if name[0] in "aeiou" else "a"
  shape = options.shapes[thing.shape]
  return f"{article} {name} {shape} {_PATHS[options.motions[thing.motion]]}"
