"""Packs videos of several calibrated cameras into the records of rendered data.

  python -m data_gen.import_videos --calibration=rig.json --output_dir=data/mine

The JSON is described in docs/footage.md. Needs PyAV: pip install -e '.[video]'.
Interrupted, the same command continues with the missing shards.
"""

import pathlib
import sys
from collections.abc import Callable

from absl import app, flags

from data_gen import command_line, workers
from data_gen.footage.footage import Footage, FootageOptions
from data_gen.generate import WriteShards, generate


def import_videos(
  options: FootageOptions,
  log: Callable[[str], None] = command_line.log,
  *,
  shows_bar: bool = False,
  write_shards: WriteShards = workers.write_shards,
) -> pathlib.Path:
  """Makes a data set of videos, or what is missing of it.

  Args:
    options: What to make. If it is all there already, nothing is done.
    log: Takes lines that tell of the progress.
    shows_bar: Whether to show the progress as a bar on stderr instead.
    write_shards: See `generate`.

  Returns:
    The path of the manifest.

  Raises:
    ValueError: The JSON or a file that it names is wrong, or the folder holds
      another data set.
    OSError: The folder cannot be written, or the disk is too small.
  """
  footage = Footage(options)
  for line in footage.notes():
    log(line)
  return generate(footage, log, shows_bar=shows_bar, write_shards=write_shards)


def main(arguments: list[str]) -> None:
  """Makes the data set that the flags describe."""
  if len(arguments) > 1:
    sys.exit(
      f"data_gen.import_videos takes only flags, but got {arguments[1:]}."
    )
  command_line.run(
    lambda: import_videos(
      command_line.make_options(FootageOptions),
      shows_bar=sys.stderr.isatty(),
      write_shards=command_line.write_shards,
    )
  )


if __name__ == "__main__":
  command_line.define_flags(FootageOptions)
  flags.adopt_module_key_flags(command_line)  # So that --help lists them.
  app.run(main)
