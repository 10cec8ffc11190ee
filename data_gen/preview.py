"""Looks at a data set: a scene as a page, figure or animation; an overview.

  python -m data_gen.preview --data=data/traj3d --scene=3 --output=scene.html
  python -m data_gen.preview --data=data/traj3d

Without --scene: a scene of each shape and motion, path lengths, visibility.
"""

import pathlib
import sys

from absl import app, flags

from data_gen import terminal
from data_gen.files import user_paths
from data_gen.records import shards

_SCENE_SUFFIXES = (".html", ".png", ".gif", ".webp")
_OVERVIEW_SUFFIXES = (".png", ".html")


def preview_scene(
  data_dir: str, split: str, index: int, output: str = "", fps: float = 8.0
) -> pathlib.Path:
  """Writes a page, a figure or an animation of a scene; returns its path.

  Args:
    data_dir: Folder of the data set.
    split: One of its splits.
    index: Number of the scene in the split.
    output: Its suffix says what to make: .html, .png, .gif or .webp. By
      default an .html file in the folder of the data set.
    fps: Frames a second of an animation.

  Raises:
    ValueError: A value is wrong, or the data are missing or damaged.
    OSError: The file cannot be written.
  """
  default = f"scene_{split}_{index:05d}.html"
  path = _output_path(output, data_dir, default, _SCENE_SUFFIXES)
  if not 0.1 <= fps <= 50:
    raise ValueError(f"--fps={fps} is out of range: give 0.1 to 50.")
  # Matplotlib, which making a data set does not need.
  from data_gen.previews import scene_animation, scene_figure, scene_page
  from data_gen.previews.data_set import DataSet

  data = DataSet(user_paths.read(data_dir), split)
  suffix = path.suffix.lower()
  if suffix == ".html":
    content = _encode(scene_page.make_page(data, index))
  elif suffix == ".png":
    content = scene_figure.make_figure(data, index)
  else:
    content = scene_animation.make_animation(data, index, suffix, fps)
  _write(path, content)
  return path


def preview_data(
  data_dir: str, split: str, output: str = "", max_scenes: int = 1000
) -> pathlib.Path:
  """Writes an overview of a data set; returns its path.

  Args:
    data_dir: Folder of the data set.
    split: One of its splits.
    output: A .png or .html file; overview.png in the folder by default.
    max_scenes: Scenes to read for the histograms.

  Raises:
    ValueError: A value is wrong, or the data are missing or damaged.
    OSError: The file cannot be written.
  """
  default = "overview.png" if split == "train" else f"overview_{split}.png"
  path = _output_path(output, data_dir, default, _OVERVIEW_SUFFIXES)
  if max_scenes < 1:
    raise ValueError(f"--max_scenes={max_scenes} must be at least 1.")
  from data_gen.previews import overview, overview_figure, overview_page
  from data_gen.previews.data_set import DataSet

  data = DataSet(user_paths.read(data_dir), split)
  found = overview.make_overview(data, max_scenes)
  if path.suffix.lower() == ".html":
    _write(path, _encode(overview_page.make_page(data, found)))
  else:
    _write(path, overview_figure.make_figure(data, found))
  return path


def _output_path(output, data_dir, default, suffixes):
  if not data_dir:
    raise ValueError("--data is missing: name the folder of a data set.")
  path = user_paths.read(output or pathlib.Path(data_dir) / default)
  if path.suffix.lower() not in suffixes:
    raise ValueError(
      f"--output={output} ends in none of {', '.join(suffixes)}, which say "
      "what to make."
    )
  if path.is_dir():
    raise ValueError(f"--output={output} is a folder: name a file.")
  return path


def _encode(page):
  return page.encode("utf-8", "backslashreplace")  # Names may be no UTF-8.


def _write(path, content):
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    shards.write_atomically(path, content)
  except OSError as error:
    raise OSError(
      f"--output={path} cannot be written ({error.strerror}): name a place "
      "that can."
    ) from error


def _define_flags() -> None:
  flags.DEFINE_string("data", "", "Folder of a data set.")
  flags.DEFINE_string("split", "train", "Which split to look at.")
  flags.DEFINE_integer(
    "scene",
    None,
    "Number of a scene in the split. Without it: an overview of the data set.",
  )
  flags.DEFINE_string(
    "output",
    "",
    "File to write. Of a scene: .html (a page), .png (a figure), .gif or .webp "
    "(an animation); by default an .html file in the folder of the data. Of a "
    "data set: .png or .html; by default overview.png in the folder.",
  )
  flags.DEFINE_integer(
    "max_scenes", 1000, "Scenes to read for an overview's histograms."
  )
  flags.DEFINE_float("fps", 8.0, "Frames a second of a .gif or .webp.")


def main(arguments: list[str]) -> None:
  """Makes what the flags say, and prints where it is."""
  if len(arguments) > 1:
    sys.exit(f"preview takes only flags, but got {arguments[1:]}.")
  terminal.set_up()
  values = flags.FLAGS
  try:
    if values.scene is None:
      path = preview_data(
        values.data, values.split, values.output, values.max_scenes
      )
    else:
      path = preview_scene(
        values.data, values.split, values.scene, values.output, values.fps
      )
  except (ValueError, OSError) as error:
    sys.exit(f"preview: {error}")
  except KeyboardInterrupt:
    sys.exit("preview: interrupted; nothing was written.")
  print(f"Wrote {path} ({path.stat().st_size / 1e6:.2f} MB).")


if __name__ == "__main__":
  _define_flags()
  app.run(main)
