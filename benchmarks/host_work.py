"""Work of the host alone: drawing frames, and reading clips."""

import tempfile
from collections.abc import Callable

import numpy as np

from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource
from data_gen.rendering import cameras, renderer, rotations
from data_gen.rendering.rays import Solid
from data_gen.scenes import scenes
from data_gen.scenes.options import DatasetOptions
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import ClipSource

FRAMES_PER_SCENE = 48  # 3 cameras, 16 frames.
_BATCH_SIZE = 24


def draw_solids(options: DatasetOptions, count: int) -> list[Solid]:
  """Returns the objects of the first training scenes."""
  found = []
  for index in range(count):
    scene = scenes.make_scene(options, "train", index)
    found.append(
      Solid(
        options.shapes[scene["shape"]],
        scene["size"],
        scene["trajectory"],
        rotations.matrix_from_quaternion(scene["orientation"]),
        scene["color"],
      )
    )
  return found


def render(solids: list[Solid], rig: cameras.Cameras, **options) -> None:
  """Renders all frames of scenes of one object each."""
  for solid in solids:
    renderer.render([solid], rig, np.zeros(3), **options)


def rendering(num_frames: int) -> Callable[[], None]:
  """Returns what renders so many frames of 128 pixels, in one thread."""
  count = num_frames // FRAMES_PER_SCENE
  options = DatasetOptions(image_size=128, num_train=max(12, count))
  solids = draw_solids(options, count)
  rig = cameras.make_default_rig(128)
  return lambda: render(solids, rig)


def reading(num_clips: int) -> Callable[[], None]:
  """Returns what reads so many clips of 64 pixels, with one thread."""
  folder = tempfile.TemporaryDirectory()
  options = DatasetOptions(
    output_dir=folder.name,
    num_train=100,
    num_validation=0,
    num_test=0,
    image_size=64,
    preview=0,
  )
  generate(options, log=lambda line: None)
  source = ClipSource(SceneSource(folder.name, "train"))
  batches = make_batches(
    source, batch_size=_BATCH_SIZE, seed=0, num_threads=1, num_workers=0
  )

  def read():
    for _ in range(num_clips // _BATCH_SIZE):
      next(batches)
    return folder  # Lives as long as this function.

  return read
