"""Clips a second that are read, beside what a tokenizer's training takes.

  python benchmarks/input_pipeline.py
  python benchmarks/input_pipeline.py --data_dir=DIR --config=configs/FILE.py

Without --data_dir it makes small data sets of 64 and 128 pixels, which then lie
in the system's file cache. The tokenizer is that of the config, at the size of
the frames, on this machine's device; reading and training are timed one after
the other, not at once. Medians of some repeats, which alternate.
"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from absl import app, flags

from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.options import DatasetOptions
from magvit3d.cli import command_line
from magvit3d.config.run import RunConfig
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import ClipSource
from magvit3d.data.scene_clips import SceneClips
from magvit3d.training.tokenizer_stage import TokenizerStage

_DATA_DIR = flags.DEFINE_string("data_dir", None, "A rendered data set.")
_CONFIG = command_line.define_config("Tokenizer; configs/traj3d.py:tiny.")

_SIZES = (64, 128)  # Pixels.
_READERS = ((0, 1), (0, 2), (0, 4), (1, 1), (2, 1))  # Processes, threads.
_CLIPS = 24  # Of a batch.
_REPEATS = 3
_WARM_UP, _MIN_S = 8, 1.0  # Batches; seconds of a measurement.


def clips_per_second(take, num_clips: int) -> float:
  """Returns the rate of calls that give `num_clips` each."""
  start, count = time.perf_counter(), 0
  while time.perf_counter() - start < _MIN_S:
    take()
    count += num_clips
  return count / (time.perf_counter() - start)


def reading_rate(source: Any, num_workers: int, num_threads: int) -> float:
  """Returns the clips that are read per second."""
  per_sample = getattr(source, "views_per_sample", 1)
  batches = make_batches(
    source,
    batch_size=_CLIPS // per_sample,
    seed=0,
    num_threads=num_threads,
    num_workers=num_workers,
  )
  with contextlib.closing(batches):
    for _ in range(_WARM_UP):
      next(batches)
    return clips_per_second(
      lambda: next(batches), _CLIPS // per_sample * per_sample
    )


def training_rate(config: Mapping[str, Any], source: ClipSource) -> float:
  """Returns the clips that training takes per second, all losses on."""
  batch_size = config["train_tokenizer"]["batch_size"]
  stage = TokenizerStage(
    RunConfig.from_dict(config), 1000, source[0]["frames"].shape
  )
  batches = make_batches(source, batch_size=batch_size, seed=0, num_threads=1)
  with contextlib.closing(batches):
    batch = jax.device_put(next(batches))
  step = jax.jit(stage.train_step, donate_argnums=0)
  state, _ = step(jax.jit(stage.init_state)(), batch, stage.frozen)

  def take():
    nonlocal state
    state, _ = jax.block_until_ready(step(state, batch, stage.frozen))

  take()
  return statistics.median(
    clips_per_second(take, batch_size) for _ in range(_REPEATS)
  )


@contextlib.contextmanager
def scene_sources() -> Iterator[list[SceneSource]]:
  """Gives the data set that is asked for, or small ones."""
  if _DATA_DIR.value:
    yield [SceneSource(_DATA_DIR.value, "train")]
    return
  with tempfile.TemporaryDirectory() as folder:
    sources = []
    for size in _SIZES:
      options = DatasetOptions(
        output_dir=f"{folder}/{size}",
        num_train=100,
        num_validation=0,
        num_test=0,
        image_size=size,
        preview=0,
      )
      generate(options, log=lambda line: None)
      sources.append(SceneSource(options.output_dir, "train"))
    yield sources


def print_table(config: Mapping[str, Any], scenes: SceneSource) -> None:
  """Prints the rates for one data set."""
  views, size = scenes.num_views, scenes.image_size
  training = training_rate(config, ClipSource(scenes))
  print(
    f"\n{size} x {size} pixels, {scenes.num_frames} frames, {views} cameras. "
    f"Training takes {training:.1f} clips/s."
  )
  print("processes  threads  sample    clips/s  ratio to training")
  sources = {"view": ClipSource(scenes), "scene": SceneClips(scenes)}
  rates = {}
  for _ in range(_REPEATS):
    for name, source in sources.items():
      for reader in _READERS:
        rate = reading_rate(source, *reader)
        rates.setdefault((name, reader), []).append(rate)
  for (name, (workers, threads)), found in rates.items():
    rate = statistics.median(found)
    ratio = rate / training
    print(f"{workers:9}  {threads:7}  {name:6}  {rate:9.0f}  {ratio:17.1f}")


def main(argv: list[str]) -> None:
  """Prints a table for each data set."""
  del argv
  config = _CONFIG.value.to_dict()
  # As late in training, when everything is at work.
  config["vqgan"]["discriminator_start_step"] = 0
  config["vqgan"]["quantizer_start_step"] = 0
  device = jax.devices()[0].device_kind
  print(f"{device}; {config['experiment_name']}; medians of {_REPEATS}.")
  with scene_sources() as sources:
    for scenes in sources:
      print_table(config, scenes)


if __name__ == "__main__":
  flags.FLAGS.set_default("config", "configs/traj3d.py:tiny")
  app.run(main, flags_parser=command_line.parse_flags)
