"""A scene as a GIF or WebP animation: clips in step, and the 3D view."""

import io
import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_gen import schema
from data_gen.previews import data_set, facts, view3d
from data_gen.previews.data_set import DataSet, camera_name

FORMATS = {".gif": "GIF", ".webp": "WEBP"}
_TILE_PX = 256  # Frames are enlarged to this, or a little more.
_GAP_PX, _HEAD_PX, _FONT_PX = 8, 22, 14
_FINE = 2  # The 3D view is drawn this much larger, and reduced.
_PAPER, _INK = "#ffffff", "#1b1f24"
_ROLES = {  # Colour and width in pixels.
  "ground": ("#e3ded1", 1),
  "bounds": ("#b6bcc5", 1),
  "shadow": ("#c9ced6", 1),
  "path": ("#1d4ed8", 3),
  "clean": ("#1b1f24", 1),
  "camera": ("#5b636e", 2),
}


def make_animation(data: DataSet, index: int, suffix: str, fps: float) -> bytes:
  """Returns an animation that repeats.

  Args:
    data: Where the scene is.
    index: Its number.
    suffix: Key of FORMATS.
    fps: Frames a second; a GIF has whole hundredths of a second a frame.

  Raises:
    DataError: There is no such scene, or it is damaged.
  """
  scene = data.scene(index)
  things = facts.describe_objects(data, scene)
  clips = scene[schema.FRAMES]
  factor = -(-_TILE_PX // clips.shape[3])
  size_px = factor * clips.shape[3]
  space = _Space(data, scene, things, size_px)
  images = []
  for frame in range(clips.shape[1]):
    tiles = clips[:, frame].repeat(factor, axis=1).repeat(factor, axis=2)
    named = [
      (camera_name(view), Image.fromarray(tile))
      for view, tile in enumerate(tiles)
    ]
    named.append((f"frame {frame} of {clips.shape[1] - 1}", space.draw(frame)))
    images.append(_arrange(named, size_px))
  file = io.BytesIO()
  images[0].save(
    file,
    format=FORMATS[suffix],
    save_all=True,
    append_images=images[1:],
    duration=round(1000 / fps),
    loop=0,
    **({"lossless": True} if suffix == ".webp" else {}),
  )
  return file.getvalue()


class _Space:
  """The 3D view; what stands still is drawn once."""

  def __init__(self, data, scene, things, size_px):
    world = view3d.make_world(data, scene)
    self._size_px, self._things = size_px, things
    self._eye = view3d.make_eye(
      world.azimuth,
      world.elevation,
      world.distance,
      world.target,
      _FINE * size_px,
    )
    self._still = Image.new("RGB", (_FINE * size_px,) * 2, _PAPER)
    pen = ImageDraw.Draw(self._still)
    clean = scene[schema.TRAJECTORY_CLEAN]
    for stroke in view3d.draw(self._eye, world, things, clean):
      color, width = _ROLES[stroke.role]
      _draw_line(pen, stroke.points, stroke.color or color, _FINE * width)
    font = ImageFont.load_default(_FINE * 12)
    for place, name, color in view3d.camera_labels(self._eye, world):
      width = pen.textlength(name, font)
      x = min(place[0] + 8, _FINE * size_px - width - 4)
      pen.text((x, place[1] - _FINE * 16), name, color, font)

  def draw(self, frame: int) -> Image.Image:
    image = self._still.copy()
    pen = ImageDraw.Draw(image)
    for thing in reversed(self._things):
      point = thing.path[frame].astype(float)
      is_there = thing.first_frame <= frame <= thing.last_frame
      if is_there and np.isfinite(point).all():
        radius = _FINE * (7 if thing is self._things[0] else 5)
        place = tuple(self._eye.project(point))
        pen.circle(place, radius, thing.color or "#8a8f98", _INK, _FINE)
    return image.resize((self._size_px,) * 2, Image.Resampling.BOX)


def _draw_line(pen, points, color, width):
  """Draws a line (n, 2) through the known points."""
  for start, end in itertools.pairwise(points):
    if np.isfinite([start, end]).all():
      pen.line([*start, *end], color, width)


def _arrange(named, size_px):
  """One image of all, each below its name."""
  num_columns = data_set.num_columns(len(named))
  num_rows = -(-len(named) // num_columns)
  step_x, step_y = size_px + _GAP_PX, size_px + _HEAD_PX + _GAP_PX
  sheet = Image.new(
    "RGB",
    (num_columns * step_x + _GAP_PX, num_rows * step_y + _GAP_PX),
    _PAPER,
  )
  pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
  for number, (name, tile) in enumerate(named):
    x = _GAP_PX + number % num_columns * step_x
    y = _GAP_PX + number // num_columns * step_y
    pen.text((x, y + 2), name, _INK, font)
    sheet.paste(tile, (x, y + _HEAD_PX))
  return sheet
