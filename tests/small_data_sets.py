"""Small rendered data sets for tests, and the program that makes them."""

import dataclasses
import hashlib
import pathlib
import subprocess
import sys

import interruptible

from data_gen.options import DatasetOptions

ROOT = pathlib.Path(__file__).parents[1]


def make_options(folder, **changes):
  values = {
    "num_train": 26,
    "num_validation": 5,
    "num_test": 0,
    "image_size": 32,
    "num_frames": 5,
    "size_min": 2.5,
    "scenes_per_shard": 6,
    "num_workers": 1,
    "preview": 1,
  }
  return DatasetOptions(output_dir=str(folder), **(values | changes))


def make_flags(options):
  values = dataclasses.asdict(options)
  return [f"--{name}={value}" for name, value in values.items()]


def start(options, *command, **kwargs):
  """Starts `python -m data_gen`, or another command, with these options."""
  command = command or (sys.executable, "-m", "data_gen")
  return interruptible.start(
    [*command, *make_flags(options)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    **kwargs,
  )


def hash_files(folder):
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(pathlib.Path(folder).iterdir())
  }
