"""Small rendered data sets for tests, and the program that makes them."""

import dataclasses
import hashlib
import pathlib
import signal
import subprocess
import sys

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
  # A shell starts what it puts in the background with SIGINT ignored, and
  # children inherit that; a handler of ours becomes their default.
  old = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    return subprocess.Popen(
      [*command, *make_flags(options)],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      **kwargs,
    )
  finally:
    signal.signal(signal.SIGINT, old)


def hash_files(folder):
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(pathlib.Path(folder).iterdir())
  }
