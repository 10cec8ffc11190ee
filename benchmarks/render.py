"""Speed and memory of rendering, and of writing a data set.

  python -m benchmarks.render

Prints frames a second, with nine rays a pixel where it matters, of rendering
alone and of the whole way to the disk, with one process and with two; then the
highest resident memory for two numbers of scenes. Where trimesh and embreex are
installed (`pip install trimesh embreex`), one ray a pixel through the same
scenes as triangle meshes is timed beside it.
"""

import argparse
import importlib.util
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks import host_work
from data_gen import generate
from data_gen.rendering import cameras, solids
from data_gen.rendering.rays import Solid
from data_gen.scenes.options import DatasetOptions

_DEFAULT_FRAMES = 384_000  # 8,000 scenes, 3 cameras, 16 frames.
_MEMORY_PROGRAM = """
import json, resource, sys
from data_gen import generate
from data_gen.scenes.options import DatasetOptions
generate.generate(DatasetOptions(**json.loads(sys.argv[1])), log=lambda _: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _seconds(function, repeats: int = 5) -> float:
  """Median time of a call, after one to warm up."""
  function()
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    function()
    times.append(time.perf_counter() - start)
  return statistics.median(times)


def _rendering_rate(drawn: list[Solid], rig: cameras.Cameras, **options):
  num_frames = len(drawn) * host_work.FRAMES_PER_SCENE
  return num_frames / _seconds(lambda: host_work.render(drawn, rig, **options))


def _writing_rate(image_size: int, num_workers: int, count: int) -> float:
  times = []
  for _ in range(3):
    with tempfile.TemporaryDirectory() as folder:
      options = _dataset(folder, image_size, num_workers, count)
      start = time.perf_counter()
      generate.generate(options, log=lambda line: None)
      times.append(time.perf_counter() - start)
  return count * host_work.FRAMES_PER_SCENE / statistics.median(times)


def _dataset(folder, image_size, num_workers, count) -> DatasetOptions:
  return DatasetOptions(
    output_dir=folder,
    num_train=count,
    num_validation=0,
    num_test=0,
    image_size=image_size,
    num_workers=num_workers,
    scenes_per_shard=max(1, count // 8),
    preview=0,
  )


def _peak_memory_mib(count: int) -> float:
  with tempfile.TemporaryDirectory() as folder:
    options = {
      "output_dir": folder,
      "num_train": count,
      "num_validation": 0,
      "num_test": 0,
      "scenes_per_shard": count,
      "num_workers": 1,
      "preview": 0,
    }
    found = subprocess.run(
      [sys.executable, "-c", _MEMORY_PROGRAM, json.dumps(options)],
      cwd=pathlib.Path(__file__).parents[1],
      capture_output=True,
      text=True,
      check=True,
    )
    return float(found.stdout)


def _trimesh_rate(drawn: list[Solid], rig: cameras.Cameras) -> float:
  """Frames a second of one ray a pixel of the boxes that hold a solid."""
  import trimesh

  def cast(solid, time_index, view):
    mesh = trimesh.convex.convex_hull(solids.outline_points(solid.shape, 64))
    matrix = np.eye(4)
    matrix[:3, :3] = solid.rotations[time_index] * solid.size
    matrix[:3, 3] = solid.trajectory[time_index]
    mesh.apply_transform(matrix)
    pixels = cameras.project(
      mesh.vertices, rig.intrinsics[view], rig.camera_from_world[view]
    )
    low, high = np.floor(pixels.min(0)), np.ceil(pixels.max(0))
    x, y = np.meshgrid(
      np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1)
    )
    rays = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], -1)
    rays = rays @ np.linalg.inv(rig.intrinsics[view]).T @ rig.rotations[view]
    origins = np.broadcast_to(rig.positions[view], rays.shape)
    mesh.ray.intersects_first(origins, rays)

  chosen = drawn[:3]

  def cast_all():
    for solid in chosen:
      for time_index in range(len(solid.trajectory)):
        for view in range(len(rig.intrinsics)):
          cast(solid, time_index, view)

  return len(chosen) * 48 / _seconds(cast_all, repeats=3)


def main() -> None:
  """Measures, and prints."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    "--scenes", type=int, default=96, help="Scenes to render (default: 96)."
  )
  count = parser.parse_args().scenes
  for image_size in (64, 128):
    options = DatasetOptions(image_size=image_size, num_train=max(count, 12))
    drawn = host_work.draw_solids(options, count)
    rig = cameras.make_default_rig(image_size)
    print(f"{image_size} x {image_size} pixels, {count} scenes of 48 frames")
    adaptive = _rendering_rate(drawn, rig)
    print(f"  rendering, 3 x 3 where it matters  {adaptive:8.0f} frames/s")
    full = _rendering_rate(drawn[: max(1, count // 8)], rig, is_adaptive=False)
    print(f"  rendering, 3 x 3 near the object   {full:8.0f} frames/s")
    if importlib.util.find_spec("trimesh"):
      rate = _trimesh_rate(drawn, rig)
      print(
        f"  trimesh, one ray a pixel           {rate:8.0f} frames/s: rendering "
        f"here is {adaptive / rate:.1f} times as fast"
      )
    for num_workers in (1, 2):
      rate = _writing_rate(image_size, num_workers, 10 * count)
      print(
        f"  written to the disk, {num_workers} process"
        f"{'es' if num_workers > 1 else '  '}     {rate:8.0f} frames/s: "
        f"{_DEFAULT_FRAMES / rate:.0f} s for 8,000 scenes"
      )
  for number in (count, 4 * count):
    mib = _peak_memory_mib(number)
    print(
      f"Highest resident memory, {number:4d} scenes in a shard: {mib:.0f} MiB"
    )


if __name__ == "__main__":
  main()
