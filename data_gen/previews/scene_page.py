"""A page to look at one scene: one HTML file that needs no network."""

import html
import importlib.resources
import json
import string

import numpy as np

from data_gen import schema
from data_gen.previews import charts, data_set, facts, pictures, view3d
from data_gen.previews.data_set import DataSet, camera_name
from data_gen.previews.facts import ObjectFacts

_AXIS_NAMES = "xyz"
_SWITCHES = {"outlines": "outlines (main object red)", "path": "path"}


def make_page(data: DataSet, index: int) -> str:
  """Returns the page of a scene.

  Raises:
    DataError: There is no such scene, or it is damaged.
  """
  scene = data.scene(index)
  things = facts.describe_objects(data, scene)
  world = view3d.make_world(data, scene)
  shown, notes = _pictures(scene)
  has_path = bool(np.isfinite(scene[schema.TRAJECTORY]).any())
  is_on = {"outlines": things[0].visible_px is not None, "path": has_path}
  return fill(
    "scene.html",
    title=f"{data.name} {data.split} {index}",
    heading=html.escape(scene[schema.CAPTION] or "no caption"),
    lead=_lead(data, index, scene),
    last_frame=data.source.num_frames - 1,
    picture_options=_options(shown, shown),
    switches="".join(
      f'<label><input type="checkbox" id="{name}"> {text}</label>'
      for name, text in _SWITCHES.items()
      if is_on[name]
    ),
    num_columns=data_set.num_columns(data.source.num_views),
    clips=_clips(data, things[0]),
    eye_options=_options(
      range(data.source.num_views), map(camera_name, range(len(world.frusta)))
    ),
    unit="metres" if data.unit == "m" else data.unit,
    space_note=_space_note(data, has_path),
    path_charts=_path_charts(data, scene) if has_path else _no_path(),
    visible_chart=_visible_chart(things[0]),
    facts=_facts(facts.describe_scene(data, scene, things), things[0]),
    objects=_objects_table(data, things) if len(things) > 1 else "",
    data=as_script(_content(data, scene, things, world, shown, notes)),
    script="".join(map(read_text, ("geometry.js", "space.js", "scene.js"))),
  )


def fill(template: str, **values: object) -> str:
  """Returns a page: the template with the style and the values."""
  text = read_text(template)
  return string.Template(text).substitute(
    values, style=read_text("preview.css")
  )


def read_text(name: str) -> str:
  """Returns a file that lies beside this one."""
  package = importlib.resources.files("data_gen.previews")
  return package.joinpath(name).read_text(encoding="utf-8")


def _content(data, scene, things, world, shown, notes):
  """What the script needs, as for JSON."""
  masks = scene[schema.MASKS] if things[0].visible_px is not None else None
  return {
    "numFrames": data.source.num_frames,
    "size": data.source.image_size,
    "names": [camera_name(view) for view in range(data.source.num_views)],
    "colors": [
      view3d.camera_color(view) for view in range(data.source.num_views)
    ],
    "pictures": {
      kind: [pictures.data_uris(clip) for clip in clips]
      for kind, clips in shown.items()
    },
    "notes": notes,
    "masks": None
    if masks is None
    else [pictures.data_uris(clip) for clip in masks],
    "intrinsics": scene[schema.INTRINSICS].tolist(),
    "cameraFromWorld": scene[schema.CAMERA_FROM_WORLD].tolist(),
    "path": _points(scene[schema.TRAJECTORY]),
    "world": world.as_json(),
    "objects": [
      {
        "color": thing.color,
        "first": thing.first_frame,
        "last": thing.last_frame,
        "path": _points(thing.path),
      }
      for thing in things
    ],
  }


def _pictures(scene):
  """What the clips can show, uint8 (V, T, H, W, 3), and a note on each."""
  shown, notes = {"colour": scene[schema.FRAMES]}, {"colour": ""}
  if schema.DEPTHS in scene:
    shown["depth"], near, far = pictures.color_depths(scene[schema.DEPTHS])
    notes["depth"] = (
      f"Yellow is {near:.2f} m away, dark blue {far:.2f} m, grey nothing."
    )
  if schema.FLOWS in scene:
    shown["flow"], fastest = pictures.color_flows(scene[schema.FLOWS])
    notes["flow"] = (
      "Red moves right, green-yellow down, cyan left, violet up; the brightest "
      f"by {fastest:.1f} px a frame."
    )
  return shown, notes


def _points(path):
  """Positions (T, 3) as for JSON; None where they are unknown."""
  return [p.tolist() if np.isfinite(p).all() else None for p in path]


def as_script(content):
  """Returns JSON that no HTML parser takes for the end of the script."""
  return json.dumps(content, allow_nan=False).replace("<", "\\u003c")


def _lead(data, index, scene):
  class_name = data.class_name(scene[schema.CLASS])
  return (
    f"Class <b>{html.escape(class_name)}</b>; scene {index} of "
    f"{len(data.source)} (from 0) of the {html.escape(data.split)} split of "
    f"{html.escape(data.name)}."
  )


def _options(values, texts):
  return "".join(
    f'<option value="{value}">{html.escape(str(text))}</option>'
    for value, text in zip(values, texts, strict=True)
  )


def _clips(data, main):
  size, figures = data.source.image_size, []
  for view in range(data.source.num_views):
    count = ""
    if main.visible_px is not None:
      values = json.dumps(main.visible_px[view].tolist())
      count = f'<span><span data-values="{values}"></span> px</span>'
    figures.append(
      f'<figure class="clip" style="--camera: {view3d.camera_color(view)}">'
      f"<figcaption>{camera_name(view)}{count}</figcaption>"
      f'<div class="stack"><canvas width="{size}" height="{size}"></canvas>'
      "<canvas></canvas></div></figure>"
    )
  return "".join(figures)


def _space_note(data, has_path):
  notes = []
  if data.bounds is not None:
    limits = "square" if data.is_flat else "box"
    notes.append(f"The {limits} is where objects may be.")
  if not has_path:
    notes.append("The path is unknown.")
  return " ".join(notes)


def _no_path():
  return charts.say_missing("The path is unknown: the record has no track.")


def _path_charts(data, scene):
  path, clean = scene[schema.TRAJECTORY], scene[schema.TRAJECTORY_CLEAN]
  parts = []
  for axis, name in enumerate(_AXIS_NAMES):
    series = [charts.Series("", path[:, axis], "var(--accent)")]
    if facts.has_noise(scene):
      series = [
        charts.Series("without noise", clean[:, axis], "var(--soft)", True),
        charts.Series("with noise", path[:, axis], "var(--accent)"),
      ]
    parts.append(charts.line_chart(name, data.unit, series))
  return "".join(parts)


def _visible_chart(main):
  if main.visible_px is None:
    return charts.say_missing("Unknown: the masks of this record are empty.")
  return charts.line_chart(
    "main object",
    "px",
    [
      charts.Series(camera_name(view), counts, view3d.camera_color(view))
      for view, counts in enumerate(main.visible_px)
    ],
  )


def _facts(found, main):
  parts = []
  for name, text in found.items():
    swatch = _swatch(main) if name == "colour" else ""
    parts.append(
      f"<div><dt>{html.escape(name)}</dt>"
      f"<dd>{swatch}{html.escape(text)}</dd></div>"
    )
  return "".join(parts)


def _swatch(thing: ObjectFacts) -> str:
  if thing.color is None:
    return ""
  return f'<i class="swatch" style="--swatch: {thing.color}"></i>'


def _objects_table(data, things):
  num_frames = data.source.num_frames
  rows = []
  for number, thing in enumerate(things):
    start = thing.first_frame / num_frames
    end = (thing.last_frame + 1) / num_frames
    visible = thing.visible_range_px
    cells = (
      f'<td class="text">{number + 1}</td>'
      f'<td class="text">{_swatch(thing)}{html.escape(thing.name)}</td>'
      f'<td class="text"><div class="life" style="--start: {start:.4f}; '
      f'--end: {end:.4f}"><i></i></div></td>'
      f"<td>{thing.first_frame} to {thing.last_frame}</td>"
      f'<td class="text">{thing.kind}</td><td>{thing.size:.2f}</td>'
      f"<td>{f'{visible[0]} to {visible[1]}' if visible else 'unknown'}</td>"
    )
    rows.append(f"<tr>{cells}</tr>")
  heads = (
    '<th class="text">id</th><th class="text">object</th>'
    '<th class="text">lifetime</th><th>frames</th>'
    '<th class="text">kind</th><th>size</th><th>visible px</th>'
  )
  return (
    '<section><h2>Objects</h2><div class="scroll"><table><thead><tr>'
    f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    '<p class="note">The id is the value in the masks. Pixels: least and most '
    "over the cameras and the frames of its lifetime.</p></section>"
  )
