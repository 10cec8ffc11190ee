"""What programs that use a trained run have in common: flags and errors."""

import argparse
import pathlib
from collections.abc import Callable, Sequence

from data_gen.files import user_paths
from magvit3d.cli import environment
from magvit3d.cli.command_line import fail, stop


def make_parser(
  description: str | None,
  output_help: str,
  data_help: str | None = None,
  *,
  output_is_required: bool = True,
) -> argparse.ArgumentParser:
  """Returns a parser with --run and --output, and --data if it has a help.

  Args:
    description: What the program does.
    output_help: What becomes of --output.
    data_help: What --data is for.
    output_is_required: Whether --output must be given.
  """
  parser = argparse.ArgumentParser(
    description=description,
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "--run",
    type=user_paths.argument,
    required=True,
    metavar="DIR",
    help="work folder of a run, a folder that save_pretrained wrote, or the "
    "name of a model that comes with magvit3d",
  )
  parser.add_argument(
    "--output",
    type=user_paths.argument,
    required=output_is_required,
    metavar="DIR",
    help=output_help,
  )
  if data_help:
    parser.add_argument(
      "--data", type=user_paths.argument, metavar="DIR", help=data_help
    )
  return parser


def add_format(parser: argparse.ArgumentParser, name: str) -> None:
  """Adds --format; `name` is the recording's."""
  parser.add_argument(
    "--format",
    choices=["rrd"],
    help=f"rrd also writes {name}, a recording of cameras, videos and paths "
    "for the Rerun viewer (pip install 'magvit3d[rerun]')",
  )


def run(
  function: Callable[[], None],
  advice: str = "",
  outputs: Sequence[pathlib.Path | None] = (),
) -> int:
  """Calls a function; returns the exit status of a program that does just that.

  Args:
    function: Its errors of the user's are printed without a traceback.
    advice: What to do after Ctrl-C.
    outputs: What it writes. No run may write meanwhile where these lie in its
      work folder.
  """
  # Here, so that mistakes in the flags are told at once.
  from data_gen.errors import DataError
  from magvit3d.cli import console
  from magvit3d.errors import UserError
  from magvit3d.files import work_folder, write_errors

  environment.set_up()
  console.use_streams()
  console.set_up()
  try:
    with work_folder.owned_around(outputs):
      function()
  except (UserError, DataError) as error:
    return fail(str(error))
  except OSError as error:
    if error.errno not in write_errors.NUMBERS:
      raise
    path = error.filename or "A file"
    told = write_errors.WriteError(path, error, "read or written")
    return fail(str(told))
  except KeyboardInterrupt:
    return stop(f"Interrupted. {advice}".strip())
  return 0
