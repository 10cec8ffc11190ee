"""Makes a data set: shards in parallel, then the manifest.

Shards are independent, and complete as soon as they have their names: what is
interrupted continues with the missing ones, to the same bytes.
"""

import pathlib
import tempfile
from collections.abc import Callable, Sequence

from data_gen import disk, manifest, schema, workers
from data_gen.disk import Shard
from data_gen.files import folder_lock
from data_gen.previews import contact_sheet
from data_gen.records import (
  array_records,
  manifest_types,
  shards,
  tfds_metadata,
)
from data_gen.scene_makers import SceneSet
from data_gen.scene_progress import SceneProgress

WriteShards = Callable[[SceneSet, Sequence[Shard], Callable[[int], None]], None]


def generate(
  options: SceneSet,
  log: Callable[[str], None] = print,
  *,
  shows_bar: bool = False,
  write_shards: WriteShards = workers.write_shards,
) -> pathlib.Path:
  """Makes a data set, or what is missing of it.

  Args:
    options: What to make. If it is all there already, nothing is done.
    log: Takes lines that tell of the progress.
    shows_bar: Whether to show the progress as a bar on stderr instead.
    write_shards: Writes the given shards, see `workers.write_shards`.

  Returns:
    The path of the manifest.

  Raises:
    ValueError: The folder holds a data set with other options, or the options
      allow no scene.
    OSError: The folder cannot be written, or the disk is too small.
  """
  folder = pathlib.Path(options.output_dir)
  path = folder / schema.MANIFEST_NAME
  header = check_options(options)
  if options.file_format == "array_record":
    array_records.import_array_record()
  found = manifest.read(path, manifest_types.Complete)
  missing = _missing_shards(options, folder, found)
  has_preview = (folder / schema.PREVIEW_NAME).is_file()
  if found and not missing and (has_preview or not options.preview):
    log(f"The data set is complete already: {path}")
    return path

  _make_writable(folder)
  with folder_lock.locked(folder, log):
    _make_missing(options, header, log, shows_bar, write_shards)
  log(f"The data set is complete: {path}")
  return path


def _make_missing(options, header, log, shows_bar, write_shards) -> None:
  """Makes what is missing of a data set, in a folder that is ours alone."""
  folder = pathlib.Path(options.output_dir)
  found = manifest.read(folder / schema.MANIFEST_NAME, manifest_types.Complete)
  missing = _missing_shards(options, folder, found)
  shards.remove_temporary_files(folder)
  estimate = disk.estimate_bytes(options, missing)
  disk.check_fits(estimate, missing)
  try:
    manifest.write(folder / manifest.PARTIAL_NAME, header)
    if missing:
      _write_missing(options, missing, log, shows_bar, write_shards)
    _finish(options, folder, header, found)
  except OSError as error:
    if not disk.is_full(error):
      raise
    missing = _missing_shards(options, folder, found)
    raise OSError(disk.describe_full(error, estimate, missing)) from error
  finally:
    shards.remove_temporary_files(folder)


def check_options(options: SceneSet) -> dict:
  """Returns the manifest's header for some options.

  Raises:
    ValueError: The folder holds a data set with other options, or shards
      without a manifest.
  """
  header = manifest.make_header(options)
  folder = pathlib.Path(options.output_dir)
  for name in (schema.MANIFEST_NAME, manifest.PARTIAL_NAME):
    found = manifest.read(folder / name)
    if found is not None:
      manifest.check_same_options(folder / name, found, header)
      return header
  for split in options.splits:
    for shard in range(options.num_shards(split)):
      if (folder / options.shard_name(split, shard)).is_file():
        raise ValueError(
          f"--output_dir={folder} holds shards without a manifest, so nobody "
          "knows how they were made. Name another folder, or delete them."
        )
  return header


def _missing_shards(options, folder, found) -> list[Shard]:
  """Lists shards that are absent or, by the manifest, of another size.

  One without its index is absent too.
  """
  sizes = {}
  for split in (found or {"splits": {}})["splits"].values():
    sizes |= {shard["name"]: shard["bytes"] for shard in split["shards"]}
  missing = []
  for split in options.splits:
    for shard in range(options.num_shards(split)):
      path = folder / options.shard_name(split, shard)
      size = path.stat().st_size if path.is_file() else None
      is_there = size is not None and size == sizes.get(path.name, size)
      if options.file_format == "tfrecord":
        is_there = is_there and shards.index_path(path).is_file()
      if not is_there:
        missing.append((split, shard))
  return missing


def _make_writable(folder: pathlib.Path) -> None:
  try:
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
  except OSError as error:
    raise OSError(
      f"--output_dir={folder} cannot be written ({error.strerror}): name a "
      "folder that can."
    ) from error


def _write_missing(options, missing, log, shows_bar, write_shards) -> None:
  num_scenes = sum(len(options.shard_scenes(*shard)) for shard in missing)
  log(
    f"Writing {num_scenes} scenes in {len(missing)} shards to "
    f"{options.output_dir}."
  )
  progress = SceneProgress(num_scenes, log, shows_bar)
  try:
    write_shards(options, missing, progress.add)
  finally:
    progress.close()


def _finish(options, folder, header, found) -> None:
  """Writes what describes the shards; the manifest last."""
  if options.preview:
    with shards.complete_or_absent(folder / schema.PREVIEW_NAME) as temporary:
      contact_sheet.write(options, temporary)
  header["splits"] = {
    split: manifest.describe_split(options, split, folder)
    for split in options.splits
  }
  _check_same_shards(found, header)
  if options.file_format in tfds_metadata.FILE_FORMATS:
    tfds_metadata.write(folder, header)
  manifest.write(folder / schema.MANIFEST_NAME, header)
  (folder / manifest.PARTIAL_NAME).unlink()


def _check_same_shards(found: dict | None, made: dict) -> None:
  """Checks that what was made again is what the old manifest promises."""
  for split, old in (found or {"splits": {}})["splits"].items():
    if old["shards"] != made["splits"][split]["shards"]:
      raise ValueError(
        f"The {split} shards made now differ from those in the manifest of "
        f"{made['arguments']}: other versions of Python, NumPy or zlib made "
        "them. Delete the folder, and make the data set anew."
      )
