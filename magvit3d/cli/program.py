"""What programs that use a trained run have in common: flags and errors."""

import argparse
import pathlib
from collections.abc import Callable, Sequence

from data_gen.files import user_paths
from magvit3d.cli import environment
from magvit3d.cli.command_line import fail, stop


class Parser(argparse.ArgumentParser):
  """Flags of a program, named in full; its docstring is the help, as it is.

  Args:
    description: The docstring.
    prog: How the program is called, where not by its file.
  """

  def __init__(self, description: str | None, prog: str | None = None):
    super().__init__(
      prog=prog,
      description=description,
      allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
    )

  def add_path(
    self, name: str, metavar: str, help_text: str, *, required: bool = True
  ) -> None:
    """Adds a flag whose value is a path, as users write them."""
    self.add_argument(
      name,
      type=user_paths.argument,
      required=required,
      metavar=metavar,
      help=help_text,
    )


def make_parser(
  description: str | None,
  output_help: str,
  data_help: str | None = None,
  *,
  output_is_required: bool = True,
) -> Parser:
  """Returns a parser with --run and --output, and --data if it has a help.

  Args:
    description: What the program does.
    output_help: What becomes of --output.
    data_help: What --data is for.
    output_is_required: Whether --output must be given.
  """
  parser = Parser(description)
  parser.add_path(
    "--run",
    "DIR",
    "work folder of a run, a folder that save_pretrained wrote, or the name of "
    "a model that comes with magvit3d",
  )
  parser.add_path("--output", "DIR", output_help, required=output_is_required)
  if data_help:
    parser.add_path("--data", "DIR", data_help, required=False)
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
