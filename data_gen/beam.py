"""Makes a data set with Apache Beam, on many machines: the same bytes.

  pip install -e '.[beam]'
  python -m data_gen.beam --output_dir=/shared/traj3d --runner=DirectRunner

Flags are those of `python -m data_gen`, and those of Beam's pipelines, such as
--runner and its options. All workers and this program must reach --output_dir
under the same path (a shared file system), and workers need data_gen installed.
Each element of the pipeline is a missing shard, which one worker writes; this
program waits and then writes the manifest. Run again, it continues.
"""

import argparse
import functools
import logging
import sys
from collections.abc import Callable, Sequence

from absl import app, flags

from data_gen import command_line
from data_gen.disk import Shard
from data_gen.generate import generate
from data_gen.records import shards
from data_gen.scenes.options import DatasetOptions
from data_gen.shard_writer import write_shard


def write_shards(
  pipeline_arguments: Sequence[str],
  options: DatasetOptions,
  missing: Sequence[Shard],
  report: Callable[[int], None],
) -> None:
  """Writes shards in a pipeline, and waits for it.

  Args:
    pipeline_arguments: Flags of Beam, such as "--runner=DirectRunner".
    options: Of the data set.
    missing: The shards to write.
    report: Not used; runners have their own ways to tell of the progress.

  Raises:
    OSError: The pipeline failed.
  """
  import apache_beam as beam
  from apache_beam.options.pipeline_options import PipelineOptions

  del report
  pipeline = beam.Pipeline(options=PipelineOptions(pipeline_arguments))
  _ = (
    pipeline
    | "Missing shards" >> beam.Create(list(missing))
    | "One by one" >> beam.Reshuffle()
    | "Write" >> beam.Map(functools.partial(_write, options))
  )
  try:
    pipeline.run().wait_until_finish()
  except RuntimeError as error:  # Beam's own kind, with a worker's traceback.
    raise shards.as_os_error(error, f"The pipeline failed: {error}") from error


def _write(options: DatasetOptions, shard: Shard) -> None:
  write_shard(options, *shard)


def check_arguments(arguments: Sequence[str]) -> None:
  """Checks that Beam knows what data_gen does not.

  Raises:
    ValueError: Beam is not installed, or an argument is nobody's.
  """
  try:
    from apache_beam.options import pipeline_options
  except ImportError as error:
    raise ValueError(
      f"python -m data_gen.beam needs Apache Beam ({error}): pip install -e "
      "'.[beam]', or use python -m data_gen."
    ) from error
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  for group in _all_subclasses(pipeline_options.PipelineOptions):
    if group.__module__ == pipeline_options.__name__:
      group._add_argparse_args(parser)
  _, unknown = parser.parse_known_args(list(arguments))
  if unknown:
    raise ValueError(
      f"{' '.join(unknown)}: neither data_gen nor Apache Beam has such a flag. "
      "See python -m data_gen.beam --help."
    )


def _all_subclasses(group: type) -> list[type]:
  found = []
  for subclass in group.__subclasses__():
    found += [subclass, *_all_subclasses(subclass)]
  return [
    subclass for subclass in found if "_add_argparse_args" in vars(subclass)
  ]


def main(arguments: list[str]) -> None:
  """Makes the data set that the flags describe."""
  pipeline_arguments = arguments[1:]

  def make() -> None:
    check_arguments(pipeline_arguments)
    generate(
      command_line.make_scene_options(),
      command_line.log,
      write_shards=functools.partial(write_shards, pipeline_arguments),
    )

  logging.getLogger().setLevel(logging.WARNING)
  command_line.run(make)


def _parse_flags(arguments: list[str]) -> list[str]:
  """Returns the program's name and what is for Beam."""
  try:
    return flags.FLAGS(arguments, known_only=True)
  except flags.Error as error:
    sys.exit(f"data_gen: {error}")


if __name__ == "__main__":
  command_line.define_scene_flags()
  flags.adopt_module_key_flags(command_line)  # So that --help lists them.
  app.run(main, flags_parser=_parse_flags)
