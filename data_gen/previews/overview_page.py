"""A page to look at a whole data set; see `overview`."""

import html

import numpy as np

from data_gen.previews import charts, pictures
from data_gen.previews.data_set import UNKNOWN, DataSet
from data_gen.previews.overview import (
  NUM_TILE_FRAMES,
  Overview,
  describe_visibility,
  make_strip,
)
from data_gen.previews.scene_page import fill

TILES_NOTE = (
  f"{NUM_TILE_FRAMES} frames of the first camera, the first and the last "
  "among them."
)


def make_page(data: DataSet, found: Overview) -> str:
  """Returns the page."""
  title = f"{data.name}: {data.split} split"
  return fill(
    "overview.html",
    title=html.escape(title),
    heading=html.escape(title),
    lead=html.escape(describe_reading(data, found)),
    tiles_note=TILES_NOTE,
    num_columns=data.num_class_columns,
    tiles="".join(map(_tile, found.tiles)),
    lengths_note=lengths_note(found) + _unknown_note(found),
    lengths=_lengths(found),
    visibility=_visibility(found),
    shares=_shares(found),
  )


def describe_reading(data: DataSet, found: Overview) -> str:
  """Returns a sentence on what was read, and its form."""
  source = data.source
  return (
    f"{len(source):,} scenes, {found.num_read:,} of them read; "
    f"{source.num_views} cameras, {source.num_frames} frames of "
    f"{source.image_size} px."
  )


def describe_motion(name: str) -> str:
  """Returns the title of the path lengths of a motion."""
  return "motion unknown" if name == UNKNOWN else name


def _tile(tile):
  name = html.escape(tile.class_name)
  if tile.frames is None:
    return (
      f'<figure><figcaption>{name}</figcaption><p class="missing">This split '
      "has no scene of this class.</p></figure>"
    )
  uri = pictures.data_uris(make_strip(tile.frames)[None])[0]
  return (
    f'<figure><figcaption>{name}</figcaption><img alt="{name}" src="{uri}">'
    f'<span class="note">scene {tile.index}: {html.escape(tile.caption)}</span>'
    "</figure>"
  )


def lengths_note(found: Overview) -> str:
  """Returns what the lengths of paths are."""
  unit = "Metres" if found.unit == "m" else "Units"
  return f"{unit} along the path, without position noise."


def _lengths(found):
  if not found.lengths_m:
    return charts.say_missing("Unknown: no scene read has a path.")
  counts, edges = found.length_histograms()
  parts = []
  for name, lengths in found.lengths_m.items():
    note = (
      f"n = {len(lengths)}, {lengths.min():.2f} to {lengths.max():.2f} "
      f"{found.unit}, median {np.median(lengths):.2f} {found.unit}"
    )
    title = describe_motion(name)
    parts.append(charts.bar_chart(title, found.unit, counts[name], edges, note))
  return "".join(parts)


def _unknown_note(found):
  if not (found.num_unknown_lengths and found.lengths_m):
    return ""
  return f" {found.num_unknown_lengths} of the scenes read have no known path."


def _visibility(found):
  if found.visibility is None:
    return charts.say_missing("Unknown: the masks of all scenes are empty.")
  facts = "".join(
    f"<div><dt>{name}</dt><dd>{value}</dd></div>"
    for name, value in describe_visibility(found.visibility)
  )
  chart = charts.bar_chart(
    "frames of a camera by visible pixels",
    "px",
    *found.visibility.histogram(),
    "",
  )
  return f'<dl class="facts">{facts}</dl><div class="columns">{chart}</div>'


def _shares(found):
  total = sum(tile.count for tile in found.tiles)
  return "".join(
    f'<tr><td class="text">{html.escape(tile.class_name)}</td>'
    f"<td>{tile.count:,}</td><td>{tile.count / max(total, 1):.2%}</td></tr>"
    for tile in found.tiles
  )
