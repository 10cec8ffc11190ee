"""A figure of a whole data set; see `overview`."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data_gen.previews.data_set import DataSet
from data_gen.previews.figure_png import make_png
from data_gen.previews.overview import (
  NUM_TILE_FRAMES,
  Overview,
  describe_visibility,
  make_strip,
)
from data_gen.previews.overview_page import (
  describe_motion,
  describe_reading,
  lengths_note,
)

_TILE = 0.92  # Inches a frame.
_SOFT, _BAR = "#5b636e", "#1d4ed8"
_MARGIN = 0.35  # Inches.


def make_figure(data: DataSet, found: Overview) -> bytes:
  """Returns a PNG: a scene of each class, and histograms."""
  columns = data.num_class_columns
  rows = math.ceil(len(found.tiles) / columns)
  width = max(2 * _MARGIN + columns * (NUM_TILE_FRAMES * _TILE + 0.15), 11)
  num_motions = max(len(found.lengths_m), 1)
  num_shares = len(found.tiles)
  below = max(1.0 * num_motions, 0.17 * num_shares, 3.6) + 1.1
  row = _TILE + 0.42
  height = 0.75 + rows * row + below
  figure = Figure((width, height), dpi=100)
  left, right = _MARGIN / width, 1 - _MARGIN / width
  figure.text(
    left,
    1 - 0.18 / height,
    f"{data.name}: {data.split} split",
    fontsize=15,
    weight="bold",
    va="top",
  )
  figure.text(
    left,
    1 - 0.47 / height,
    describe_reading(data, found),
    fontsize=10,
    color=_SOFT,
    va="top",
  )
  grid = figure.add_gridspec(
    rows,
    columns,
    left=left,
    right=right,
    top=1 - 1.05 / height,
    bottom=below / height,
    wspace=0.04,
    hspace=0.42 / _TILE,
  )
  for number, tile in enumerate(found.tiles):
    _draw_tile(figure.add_subplot(grid[divmod(number, columns)]), tile)
  lower = figure.add_gridspec(
    1,
    3,
    left=left + 0.3 / width,
    right=right,
    top=(below - 0.75) / height,
    bottom=0.5 / height,
    wspace=0.3,
  )
  _draw_lengths(figure, lower[0], found)
  _draw_visibility(figure.add_subplot(lower[1]), found)
  _draw_shares(figure.add_subplot(lower[2]), found)
  return make_png(figure)


def _draw_tile(axes, tile):
  axes.axis("off")
  axes.set_title(tile.class_name, fontsize=10, weight="bold", loc="left", pad=3)
  if tile.frames is None:
    axes.text(
      0.5,
      0.5,
      "no scene in this split",
      transform=axes.transAxes,
      ha="center",
      va="center",
      fontsize=9,
      color=_SOFT,
    )
    axes.set(xlim=(0, NUM_TILE_FRAMES), ylim=(0, 1), aspect="equal")
    axes.axis("on")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
      spine.set(color="#dfe3e8", linestyle="--")
    return
  axes.imshow(make_strip(tile.frames), interpolation="nearest")
  axes.set_title(f"scene {tile.index}", fontsize=8, loc="right", color=_SOFT)


def _draw_lengths(figure, place, found):
  if not found.lengths_m:
    axes = figure.add_subplot(place)
    _say_unknown(axes, "path lengths: no scene read has a path")
    return
  counts, edges = found.length_histograms()
  panels = place.subgridspec(len(counts), 1, hspace=0.55)
  for number, (name, heights) in enumerate(counts.items()):
    axes = figure.add_subplot(panels[number])
    axes.stairs(heights, edges, fill=True, color=_BAR)
    lengths = found.lengths_m[name]
    axes.set_title(
      f"{describe_motion(name)}: n = {len(lengths)}, "
      f"median {np.median(lengths):.2f} {found.unit}",
      fontsize=8.5,
      loc="left",
      pad=2,
    )
    _style(axes)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    axes.set_xlim(edges[0], edges[-1])
    axes.tick_params(labelbottom=number == len(counts) - 1)
    if number == 0:
      axes.annotate(
        "Path lengths",
        (0, 1),
        (0, 20),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=11,
        weight="bold",
      )
    if number == len(counts) - 1:
      axes.set_xlabel(lengths_note(found), fontsize=8.5)


def _draw_visibility(axes, found):
  axes.set_title(
    "Visible pixels", fontsize=11, weight="bold", loc="left", pad=19
  )
  if found.visibility is None:
    _say_unknown(axes, "visible pixels: all masks are empty")
    return
  axes.stairs(*found.visibility.histogram(), fill=True, color=_BAR)
  _style(axes)
  axes.yaxis.set_major_locator(MaxNLocator(integer=True))
  axes.set_xlim(left=0)
  axes.set_ylim(top=1.5 * axes.get_ylim()[1])  # Room for the text.
  axes.set_xlabel("pixels of the object in a frame of a camera", fontsize=8.5)
  text = "\n".join(
    f"{name}: {value}" for name, value in describe_visibility(found.visibility)
  )
  axes.text(
    0.98,
    0.97,
    text,
    transform=axes.transAxes,
    ha="right",
    va="top",
    fontsize=8,
    linespacing=1.5,
  )


def _draw_shares(axes, found):
  total = max(sum(tile.count for tile in found.tiles), 1)
  shares = np.array([tile.count / total for tile in found.tiles])
  places = np.arange(len(shares))
  axes.barh(places, 100 * shares, color=_BAR, height=0.7)
  axes.set_yticks(places, [tile.class_name for tile in found.tiles])
  axes.invert_yaxis()
  axes.set_title(
    "Scenes by class", fontsize=11, weight="bold", loc="left", pad=19
  )
  axes.set_xlabel("% of the split", fontsize=8.5)
  _style(axes)
  for place, tile, share in zip(places, found.tiles, shares, strict=True):
    axes.text(100 * share, place, f" {tile.count:,}", fontsize=8, va="center")
  axes.set_xlim(0, 112 * max(shares.max(), 1e-3))


def _style(axes):
  axes.tick_params(labelsize=8)
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)


def _say_unknown(axes, text):
  axes.axis("off")
  axes.text(
    0.5,
    0.5,
    f"unknown {text}",
    transform=axes.transAxes,
    ha="center",
    fontsize=10,
    color=_SOFT,
    wrap=True,
  )
