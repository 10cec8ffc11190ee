"""The report's paths in 3D: true and estimated, in a plot that turns.

The numbers are embedded as JSON in whole millimetres; `report_paths.js` draws
them with the scripts of data_gen's previews.
"""

import html
import string
from collections.abc import Collection, Mapping

import numpy as np

from data_gen.previews import scene_page, view3d
from data_gen.previews.data_set import camera_name
from data_gen.scenes import motions
from magvit3d.report import page_texts

MAX_SCENES = 200  # About 0.6 MB with 16 frames of five sources.
# The first is the prediction, and has the colour of predicted frames.
_COLORS = (
  "#ea580c", "#2563eb", "#15803d", "#9333ea", "#0e7490", "#be185d", "#a16207",
)  # fmt: skip
_TRUE_COLOR = "#1b1f24"
_KEYS = (
  "scene_id", "captions", "shape", "motion", "given_frames", "truth",
  "intrinsics", "camera_from_world", "image_size", "names", "positions",
  "is_found", "ade",
)  # fmt: skip

Arrays = Mapping[str, np.ndarray]


def problem(paths: Arrays) -> str:
  """Returns why the arrays of `evaluation/paths.npz` cannot be shown, or ""."""
  absent = [key for key in _KEYS if key not in paths]
  if absent:
    return (
      f"evaluation/paths.npz has no {', '.join(absent)}. The evaluate stage "
      "writes it."
    )
  if paths["truth"].ndim != 3 or not paths["truth"].size:
    return "evaluation/paths.npz holds no scenes."
  num_scenes, num_frames, _ = paths["truth"].shape
  num_sources, num_views = len(paths["names"]), paths["intrinsics"].shape[1]
  wanted = {
    "scene_id": (num_scenes,),
    "captions": (num_scenes,),
    "shape": (num_scenes,),
    "motion": (num_scenes,),
    "truth": (num_scenes, num_frames, 3),
    "intrinsics": (num_scenes, num_views, 3, 3),
    "camera_from_world": (num_scenes, num_views, 3, 4),
    "positions": (num_sources, num_scenes, num_frames, 3),
    "is_found": (num_sources, num_scenes, num_frames),
    "ade": (num_sources, num_scenes),
  }
  for key, shape in wanted.items():
    if paths[key].shape != shape:
      return (
        f"evaluation/paths.npz is broken: {key} has the shape "
        f"{paths[key].shape}, not {shape}. Run the evaluate stage anew."
      )
  return ""


def choose_scenes(paths: Arrays, wanted_ids: Collection[int]) -> np.ndarray:
  """Returns which scenes are shown, as rows in order.

  Args:
    paths: Arrays without a problem.
    wanted_ids: Scenes that come before others where there are too many.
  """
  is_wanted = np.isin(paths["scene_id"], list(wanted_ids))
  order = np.argsort(~is_wanted, kind="stable")
  return np.sort(order[:MAX_SCENES])


def section(
  paths: Arrays, rows: np.ndarray, first_id: int | None = None
) -> str:
  """Returns the plot of some scenes, its controls and its data.

  Args:
    paths: Arrays without a problem.
    rows: See `choose_scenes`.
    first_id: Scene that is shown first; None: the first one.
  """
  given = int(paths["given_frames"])
  num_scenes, num_frames, _ = paths["truth"].shape
  names = [str(name).replace("_", " ") for name in paths["names"]]
  left_out = num_scenes - len(rows)
  content = _content(paths, rows, names)
  ids = paths["scene_id"][rows].tolist()
  content["first"] = ids.index(first_id) if first_id in ids else 0
  num_views = max(len(rig["matrices"]) for rig in content["rigs"])
  eyes = "".join(
    f'<option value="{view}">{camera_name(view)}</option>'
    for view in range(num_views)
  )
  notes = [
    f"Thin: the {given} given frames; thick, with dots: the frames after "
    "them. A ring is the last given frame."
    if given
    else "No frames of these are given.",
    "A cross: the object was not found in two views there.",
    "Drag to turn, scroll or pinch to zoom.",
  ]
  if left_out:
    notes.append(f"{left_out} more scenes are in evaluation/paths.npz.")
  template = string.Template(page_texts.read_text("report_paths.html"))
  return template.substitute(
    scenes=_options(content),
    last_frame=num_frames - 1,
    eyes=eyes,
    sources=_sources(names),
    notes=" ".join(notes),
    data=scene_page.as_script(content),
  )


def script() -> str:
  """Returns what draws the section, as JavaScript."""
  shared = map(scene_page.read_text, ("geometry.js", "space.js"))
  return "".join([*shared, page_texts.read_text("report_paths.js")])


def _sources(names):
  rows = [("true path", _TRUE_COLOR)]
  rows += zip(names, _cycle(len(names)), strict=True)
  return "".join(
    f'<tr><th><label><input type="checkbox"{" checked" if row < 2 else ""}>'
    f'<i style="background:{color}"></i>{html.escape(name)}</label></th>'
    "<td></td><td></td></tr>"
    for row, (name, color) in enumerate(rows)
  )


def _cycle(count):
  return [_COLORS[i % len(_COLORS)] for i in range(count)]


def _options(content):
  options = []
  for row, scene in enumerate(content["scenes"]):
    text = f"{scene['id']}: {html.escape(scene['kind'])}"
    if scene["ade"]:
      text += f", {page_texts.metres_text(scene['ade'][0])}"
    options.append(f'<option value="{row}">{text}</option>')
  return "".join(options)


def _content(paths, rows, names):
  """What the script needs, as for JSON."""
  size = int(paths["image_size"])
  rigs, numbers, scenes = [], {}, []
  for row in rows:
    cameras = paths["intrinsics"][row], paths["camera_from_world"][row]
    key = b"".join(array.tobytes() for array in cameras)
    if key not in numbers:
      numbers[key] = len(rigs)
      rigs.append(_rig(*cameras, size))
    scenes.append(
      {
        "id": int(paths["scene_id"][row]),
        "caption": str(paths["captions"][row]),
        "kind": f"{paths['shape'][row]} {paths['motion'][row]}",
        "rig": numbers[key],
        "truth": _millimetres(paths["truth"][row]),
        "paths": [_millimetres(path) for path in paths["positions"][:, row]],
        "found": [
          "".join("01"[int(is_found)] for is_found in path)
          for path in paths["is_found"][:, row]
        ],
        "ade": [
          round(float(value), 4) if np.isfinite(value) else None
          for value in paths["ade"][:, row]
        ],
      }
    )
  return {
    "numFrames": paths["truth"].shape[1],
    "given": int(paths["given_frames"]),
    "imageSize": size,
    "box": motions.BOUNDS["traj3d"].tolist(),
    "colors": [_TRUE_COLOR, *_cycle(len(names))],
    "rigs": rigs,
    "scenes": scenes,
  }


def _rig(intrinsics, camera_from_world, image_size):
  world = view3d.place_world(
    motions.BOUNDS["traj3d"],
    intrinsics,
    camera_from_world,
    image_size,
    path=np.zeros((0, 3)),
  )
  return {
    "intrinsics": intrinsics.tolist(),
    "matrices": camera_from_world.tolist(),
    "names": [camera_name(view) for view in range(len(intrinsics))],
    "world": world.as_json(),
  }


def _millimetres(path):
  """Positions (T, 3) in whole millimetres; None where they are unknown."""
  return [
    np.rint(1000 * p.astype(float)).astype(int).tolist()
    if np.isfinite(p).all()
    else None
    for p in path
  ]
