"""Converts a checkpoint of google-research/magvit's format into this one's.

  python -m magvit3d.upstream --checkpoint=DIR/checkpoint_1000 \
    --config=configs/traj3d.py --output=converted --inflation='2d->3d'
"""

import pathlib
from collections.abc import Mapping

from absl import app, flags

from data_gen import terminal
from data_gen.files import user_paths
from magvit3d.cli import command_line, console
from magvit3d.errors import UserError
from magvit3d.files import new_folder
from magvit3d.upstream import checkpoint, conversion, layouts, matching
from magvit3d.upstream.inflation import MODES

_CHECKPOINT = flags.DEFINE_string(
  "checkpoint",
  None,
  "checkpoint_<step> file or Orbax folder, or the folder that holds them, of "
  "which the newest is taken; local, gs://, s3://.",
)
_CONFIG = command_line.define_config(
  "Config whose networks the checkpoint has to fit: configs/traj3d.py:B."
)
_OUTPUT = flags.DEFINE_string(
  "output", None, "Folder to write; it must not exist, or be empty."
)
_INFLATION = flags.DEFINE_enum(
  "inflation",
  None,
  list(MODES),
  "Make 3D kernels of 2D ones: in the middle slice in time, or averaged.",
)
_ALLOW = flags.DEFINE_string(
  "allow",
  "",
  "Mismatches that are no error, as CATEGORY:PATTERN with commas between: "
  "missing:decoder/Conv_2/*,unexpected:d_params/*,shape:PATTERN. Missing "
  "parameters and those of another shape get fresh initial values.",
)
_KIND = flags.DEFINE_enum(
  "kind",
  None,
  layouts.KINDS,
  "What the checkpoint must hold; told by its keys unless given.",
)
# Of mismatches that were allowed.
_CONSEQUENCES = {
  matching.MISSING: ": keeps a fresh initial value",
  matching.SHAPE: ": keeps a fresh initial value",
  matching.UNEXPECTED: ": dropped",
}


def main(argv: list[str]) -> int:
  """Converts; returns the exit status."""
  terminal.set_up()
  if len(argv) > 1:
    return command_line.fail(f"{argv[1]!r} is no flag; --help lists them.")
  for flag in (_CHECKPOINT, _CONFIG, _OUTPUT):
    if flag.value is None:
      return command_line.fail(f"--{flag.name} is missing; see --help.")
  try:
    config = _CONFIG.value.to_dict()
  except OSError as error:  # Only now does the flag tell of it.
    return command_line.fail(command_line.config_error(error))
  console.set_up()
  try:
    _convert(config, user_paths.read(_OUTPUT.value))
  except matching.MismatchError as error:
    _print_leaves(error.report, {})
    return command_line.fail(f"{error} Nothing was written.")
  except UserError as error:
    return command_line.fail(str(error))
  return 0


def _convert(config: dict, output: pathlib.Path) -> None:
  new_folder.check(output)
  loaded = checkpoint.load(_CHECKPOINT.value)
  print(f"File     {loaded.source}")
  print(f"SHA-256  {loaded.sha256}")
  print(f"Layout   {loaded.layout}: {', '.join(sorted(loaded.trees))}")
  print(f"Step     {'unknown' if loaded.step is None else loaded.step}")
  if _KIND.value not in (None, loaded.kind):
    raise UserError(
      f"--kind={_KIND.value}, but {loaded.source} holds a {loaded.kind}."
    )
  trees, report = conversion.convert(
    loaded, config, _INFLATION.value, _ALLOW.value
  )
  _print_leaves(report, _CONSEQUENCES)
  note = conversion.describe(
    loaded, config, report, _INFLATION.value, _ALLOW.value
  )
  conversion.write(output, trees, note)
  print(f"Not converted: {conversion.NOT_CONVERTED}.")
  print(f"Written to {output}")


def _print_leaves(
  report: matching.MatchReport, outcomes: Mapping[str, str]
) -> None:
  for leaf in report.leaves:
    print(f"{leaf.outcome:<10} {leaf}{outcomes.get(leaf.outcome, '')}")
  counts = (f"{number} {name}" for name, number in report.counts().items())
  print(f"Leaves: {', '.join(counts)}.")


if __name__ == "__main__":
  app.run(main, flags_parser=command_line.parse_flags)
