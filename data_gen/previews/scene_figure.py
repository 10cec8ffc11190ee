"""A figure of one scene, for papers and slides."""

import numpy as np
from matplotlib.figure import Figure

from data_gen import schema
from data_gen.previews import facts, view3d
from data_gen.previews.data_set import DataSet, camera_name
from data_gen.previews.figure_png import make_png

_NUM_SHOWN = 8
_SPACE_PX = 420
_INK, _SOFT = "#1b1f24", "#5b636e"
_ROLES = {  # Colour and width in points.
  "ground": ("#e3ded1", 0.7),
  "bounds": ("#b6bcc5", 0.8),
  "shadow": ("#c9ced6", 0.9),
  "path": ("#1d4ed8", 2.2),
  "clean": ("#1b1f24", 0.6),
  "camera": ("#5b636e", 1.2),
}


def make_figure(data: DataSet, index: int) -> bytes:
  """Returns a PNG: cameras by frames, the 3D view, and the path by axis.

  Raises:
    DataError: There is no such scene, or it is damaged.
  """
  scene = data.scene(index)
  things = facts.describe_objects(data, scene)
  num_views, num_frames = scene[schema.FRAMES].shape[:2]
  chosen = np.unique(
    np.rint(np.linspace(0, num_frames - 1, _NUM_SHOWN)).astype(int)
  )
  row, below, head = 1.42, 4.3, 0.75  # Inches.
  height = head + row * num_views + below
  figure = Figure((12.2, height), dpi=110)
  figure.text(
    0.03, 1 - 0.2 / height, _title(scene), fontsize=13, weight="bold", va="top"
  )
  figure.text(
    0.03,
    1 - 0.47 / height,
    _subtitle(data, index, scene, things),
    fontsize=9,
    color=_SOFT,
    va="top",
  )
  clips = figure.add_gridspec(
    num_views,
    len(chosen),
    left=0.055,
    right=0.985,
    top=1 - (head + 0.15) / height,
    bottom=below / height,
    wspace=0.03,
    hspace=0.03,
  )
  _draw_clips(figure, clips, scene[schema.FRAMES][:, chosen], chosen)
  lower = figure.add_gridspec(
    3,
    2,
    left=0.03,
    right=0.985,
    top=(below - 0.35) / height,
    bottom=0.5 / height,
    width_ratios=(1, 1.35),
    wspace=0.14,
    hspace=0.16,
  )
  _draw_space(figure.add_subplot(lower[:, 0]), data, scene, things)
  _draw_path([figure.add_subplot(lower[i, 1]) for i in range(3)], data, scene)
  return make_png(figure)


def _title(scene):
  caption = scene[schema.CAPTION] or "no caption"
  return caption if len(caption) < 100 else caption[:97] + "..."


def _subtitle(data, index, scene, things):
  found = facts.describe_scene(data, scene, things)
  keys = ("class", "size", "colour", "path length", "position noise", "visible")
  listed = ", ".join(f"{key} {found[key]}" for key in keys)
  return f"{data.name}, {data.split} split, scene {index}: {listed}"


def _draw_clips(figure, grid, frames, chosen):
  for view, clip in enumerate(frames):
    for column, frame in enumerate(clip):
      axes = figure.add_subplot(grid[view, column])
      axes.imshow(frame, interpolation="nearest")
      axes.set_xticks([])
      axes.set_yticks([])
      for spine in axes.spines.values():
        spine.set_visible(False)
      if view == 0:
        axes.set_title(f"frame {chosen[column]}", fontsize=8.5, pad=3)
      if column == 0:
        axes.set_ylabel(
          camera_name(view), fontsize=9, color=view3d.camera_color(view)
        )


def _draw_space(axes, data, scene, things):
  world = view3d.make_world(data, scene)
  eye = view3d.make_eye(
    world.azimuth, world.elevation, world.distance, world.target, _SPACE_PX
  )
  for stroke in view3d.draw(eye, world, things, scene[schema.TRAJECTORY_CLEAN]):
    color, width = _ROLES[stroke.role]
    axes.plot(*stroke.points.T, color=stroke.color or color, linewidth=width)
  for place, name, color in view3d.camera_labels(eye, world):
    axes.annotate(
      name, place, (4, 4), textcoords="offset points", fontsize=8, color=color
    )
  start = things[0].path[0].astype(float)
  axes.plot(*eye.project(start), "o", markersize=5, color=_INK)
  axes.set_aspect("equal")
  axes.margins(0.12, 0.06)  # For the names of the cameras.
  axes.invert_yaxis()
  axes.axis("off")
  axes.set_title("paths and cameras; the dot is frame 0", fontsize=9, pad=10)


def _draw_path(panels, data, scene):
  path, clean = scene[schema.TRAJECTORY], scene[schema.TRAJECTORY_CLEAN]
  for axis, (axes, name) in enumerate(zip(panels, "xyz", strict=True)):
    if facts.has_noise(scene):
      axes.plot(
        clean[:, axis], "--", color=_SOFT, linewidth=1, label="without noise"
      )
    axes.plot(path[:, axis], color="#1d4ed8", linewidth=1.5, label="path")
    axes.set_ylabel(f"{name} ({data.unit})", fontsize=9)
    axes.tick_params(labelsize=8, labelbottom=axis == 2)
    axes.grid(color="#e6e9ed")
    axes.set_xlim(0, max(len(path) - 1, 1))
    for side in ("top", "right"):
      axes.spines[side].set_visible(False)
    if not np.isfinite(path[:, axis]).any():
      axes.text(
        0.5, 0.5, "unknown", transform=axes.transAxes, ha="center", color=_SOFT
      )
  panels[0].legend(
    fontsize=8,
    loc="lower right",
    bbox_to_anchor=(1, 1),
    borderpad=0,
    ncols=2,
    frameon=False,
  )
  panels[2].set_xlabel("frame", fontsize=9)
