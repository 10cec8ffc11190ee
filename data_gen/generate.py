"""Makes a data set: shards in parallel, then the manifest.

Shards are independent, and complete as soon as they have their names: what is
interrupted continues with the missing ones, to the same bytes.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool

from data_gen import manifest, preview, records, schema, shards
from data_gen.features import make_features
from data_gen.options import DatasetOptions
from data_gen.scenes import make_scene

_DISK_MARGIN = 1.1
_NUM_SAMPLES = 12  # Scenes whose bytes stand for all.

Shard = tuple[str, int]  # Split, and the shard's number in it.


def generate(
  options: DatasetOptions, log: Callable[[str], None] = print
) -> pathlib.Path:
  """Makes a data set, or what is missing of it.

  Args:
    options: What to make. If it is all there already, nothing is done.
    log: Takes lines that tell of the progress.

  Returns:
    The path of the manifest.

  Raises:
    ValueError: The folder holds a data set with other options, or the options
      allow no scene.
    OSError: The folder cannot be written, or the disk is too small.
  """
  folder = pathlib.Path(options.output_dir)
  path, partial = folder / schema.MANIFEST_NAME, folder / manifest.PARTIAL_NAME
  header = check_options(options)
  found = manifest.read(path)
  missing = _missing_shards(options, folder, found)
  if found and not missing:
    return path

  _make_writable(folder)
  _remove_leftovers(folder)
  manifest.write(partial, header)
  if missing:
    _check_disk(options, folder, missing)
    _write_all(options, missing, log)
  if options.preview:
    preview.write_preview(options, folder / schema.PREVIEW_NAME)
  header["splits"] = {
    split: manifest.describe_split(options, split, folder)
    for split in options.splits
  }
  _check_same_shards(found, header)
  manifest.write(path, header)
  partial.unlink()
  log(f"The data set is complete: {path}")
  return path


def check_options(options: DatasetOptions) -> dict:
  """Returns the manifest's header for some options.

  Raises:
    ValueError: The folder holds a data set with other options.
  """
  header = manifest.make_header(options)
  folder = pathlib.Path(options.output_dir)
  for name in (schema.MANIFEST_NAME, manifest.PARTIAL_NAME):
    found = manifest.read(folder / name)
    if found is not None:
      manifest.check_same_options(folder / name, found, header)
  return header


def write_shard(options: DatasetOptions, split: str, shard: int) -> int:
  """Renders and writes one shard; returns the number of its scenes."""
  indices = options.shard_scenes(split, shard)
  features = make_features(options)
  shards.write_shard(
    pathlib.Path(options.output_dir) / options.shard_name(split, shard),
    (
      records.encode_scene(make_scene(options, split, i), features)
      for i in indices
    ),
  )
  return len(indices)


def _missing_shards(options, folder, found) -> list[Shard]:
  """Lists shards that are absent or, by the manifest, of another size."""
  sizes = {}
  for split in (found or {"splits": {}})["splits"].values():
    sizes |= {shard["name"]: shard["bytes"] for shard in split["shards"]}
  missing = []
  for split in options.splits:
    for shard in range(options.num_shards(split)):
      path = folder / options.shard_name(split, shard)
      size = path.stat().st_size if path.is_file() else None
      if size is None or size != sizes.get(path.name, size):
        missing.append((split, shard))
  return missing


def _make_writable(folder: pathlib.Path) -> None:
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe.tmp{os.getpid()}"
    probe.touch()
    probe.unlink()
  except OSError as error:
    raise OSError(
      f"--output_dir={folder} cannot be written ({error.strerror}): name a "
      "folder that can."
    ) from error


def _remove_leftovers(folder: pathlib.Path) -> None:
  """Removes what a killed run left under temporary names."""
  for pattern in ("traj?d-*.tmp*", "manifest*.tmp*", ".probe.tmp*"):
    for path in folder.glob(pattern):
      path.unlink(missing_ok=True)


def _check_disk(options, folder, missing: list[Shard]) -> None:
  """Estimates the bytes of the missing shards from real scenes.

  Raises:
    OSError: They do not fit.
  """
  num_scenes = sum(len(options.shard_scenes(*shard)) for shard in missing)
  split = missing[0][0]
  indices = range(min(_NUM_SAMPLES, options.num_scenes(split)))
  features = make_features(options)
  samples = [
    records.encode_scene(make_scene(options, split, i), features)
    for i in indices
  ]
  mean = sum(map(len, samples)) / len(samples)
  needed = _DISK_MARGIN * mean * num_scenes
  free = shutil.disk_usage(folder).free
  if needed > free:
    raise OSError(
      f"--output_dir={folder} has {_as_text(free)} free, and {num_scenes} "
      f"scenes need {_as_text(needed)}. Free some space, name another "
      "folder, or lower --num_train, --image_size or --num_frames."
    )


def _as_text(num_bytes: float) -> str:
  if num_bytes < 1e8:
    return f"{num_bytes / 1e6:.3f} MB"
  return f"{num_bytes / 1e9:.2f} GB"


def _write_all(options, missing: list[Shard], log) -> None:
  """Writes the missing shards, and logs how it goes."""
  total = sum(len(options.shard_scenes(*shard)) for shard in missing)
  num_workers = min(options.num_workers or os.cpu_count() or 1, len(missing))
  log(
    f"Writing {total} scenes in {len(missing)} shards to {options.output_dir} "
    f"with {num_workers} processes."
  )
  start, num_done = time.monotonic(), 0
  counts = _written_counts(options, missing, num_workers)
  with contextlib.closing(counts):  # An interruption in here stops the rest.
    for count in counts:
      num_done += count
      rate = num_done / (time.monotonic() - start)
      log(
        f"{num_done}/{total} scenes ({num_done / total:.0%}), {rate:.1f} "
        f"scenes/s, {(total - num_done) / rate:.0f} s left"
      )


def _written_counts(options, missing, num_workers) -> Iterator[int]:
  """Writes shards in this process or in others; yields scenes of each."""
  if num_workers == 1:
    for shard in missing:
      yield write_shard(options, *shard)
    return
  # Not "fork": the caller may have threads, such as JAX's.
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(
    num_workers, context, initializer=_ignore_ctrl_c
  ) as pool:
    try:
      tasks = [pool.submit(write_shard, options, *shard) for shard in missing]
      for task in concurrent.futures.as_completed(tasks):
        yield task.result()
    except BrokenProcessPool as error:
      raise ChildProcessError(
        "A process that renders ended unexpectedly: killed for its memory, or "
        'started by a script without `if __name__ == "__main__"`. Run the '
        f"same again, with less than --num_workers={num_workers} if memory is "
        "short, or with 1 to render in one process."
      ) from error
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      raise


def _ignore_ctrl_c() -> None:
  """Leaves Ctrl-C, which all processes get, to the one that started them."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_same_shards(found: dict | None, made: dict) -> None:
  """Checks that what was made again is what the old manifest promises."""
  for split, old in (found or {"splits": {}})["splits"].items():
    if old["shards"] != made["splits"][split]["shards"]:
      raise ValueError(
        f"The {split} shards made now differ from those in the manifest of "
        f"{made['arguments']}: other versions of Python, NumPy or zlib made "
        "them. Delete the folder, and make the data set anew."
      )
