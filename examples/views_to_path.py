"""From a predicted clip of several cameras to a path in 3D, in metres.

  python examples/views_to_path.py --output=path

Renders a scene that the model has not seen, shows it the first 8 frames of each
of three cameras, finds the object in the frames that it predicts, triangulates
it, and compares with the true path. Writes path.csv and path.png.
"""

import argparse
import pathlib
import sys
import tempfile

import matplotlib
import numpy as np

from magvit3d.api import Magvit
from magvit3d.cli import program
from magvit3d.evaluation.metres import trajectories
from magvit3d.exports import fresh_scenes

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_GIVEN = 8


def find_path(model: str, seed: int, output: pathlib.Path) -> None:
  """Writes the true and the predicted path of a scene."""
  magvit = Magvit.from_pretrained(model)
  with tempfile.TemporaryDirectory() as folder:
    scenes = fresh_scenes.render(magvit.trained, pathlib.Path(folder), 1, seed)
  scene = {key: values[0] for key, values in scenes.samples.items()}
  label = scenes.class_names[scene["labels"]]

  clips = magvit.predict(
    scene["frames"], given_frames=_GIVEN
  )  # (v, t, h, w, 3)
  points = trajectories.estimate(
    clips,
    np.zeros((len(clips), 1, 1, 3)),  # The background: black.
    scene["intrinsics"],
    scene["camera_from_world"],
  )
  path = np.where(points.is_found[:, None], points.positions, np.nan)
  truth = scene["trajectory"]
  errors = np.linalg.norm(path - truth, axis=1)

  print(f"{label}, {len(clips)} cameras, {_GIVEN} of {len(path)} frames given")
  print("frame     true x, y, z, m        found x, y, z, m     apart, m")
  for t in range(_GIVEN, len(path)):
    numbers = "".join(f"{x:8.3f}" for x in (*truth[t], *path[t], errors[t]))
    print(f"{t + 1:5}{numbers}")
  print(f"Mean: {np.nanmean(errors[_GIVEN:]):.3f} m")

  output.mkdir(parents=True, exist_ok=True)
  np.savetxt(
    output / "path.csv",
    np.column_stack([np.arange(1, len(path) + 1), truth, path]),
    fmt="%.5g",
    delimiter=",",
    header="frame,true_x,true_y,true_z,x,y,z",
    comments="",
  )
  axes = plt.figure(figsize=(6, 5)).add_subplot(projection="3d")
  axes.plot(*truth.T, color="black", label="true")
  axes.plot(*path[:_GIVEN].T, "o", color="gray", ms=3, label="given frames")
  axes.plot(*path[_GIVEN:].T, "o-", color="tab:orange", label="predicted")
  axes.set(xlabel="x, m", ylabel="y, m", zlabel="z, m", title=label)
  axes.locator_params(nbins=4)
  axes.legend()
  axes.figure.savefig(output / "path.png", dpi=120)
  print(f"Written: {output / 'path.csv'} and {output / 'path.png'}")


def main() -> int:
  """Reads the flags; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--model", default="traj3d-small", help="(%(default)s)")
  parser.add_argument("--seed", type=int, default=2, help="of the scene")
  parser.add_argument("--output", type=pathlib.Path, default="path")
  flags = parser.parse_args()
  return program.run(lambda: find_path(flags.model, flags.seed, flags.output))


if __name__ == "__main__":
  sys.exit(main())
