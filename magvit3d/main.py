"""Runs an experiment: `python -m magvit3d.main --config=configs/traj3d.py`."""

import pathlib
import signal
import sys

from absl import app, flags
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Experiment, with a variant after a colon: configs/traj3d.py:tiny. "
  "Change a field by --config.FIELD=VALUE.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder for data, checkpoints, metrics and report; runs/EXPERIMENT_NAME "
  "unless given. If it holds a run already, finished stages are skipped and "
  "an interrupted one goes on from its last checkpoint.",
)
_INTERRUPTED = 130  # Exit status, as after Ctrl-C in a shell.


def main(argv: list[str]) -> int:
  """Runs the stages; returns the exit status."""
  if len(argv) > 1:
    return _fail(f"{argv[1]!r} is no flag; --help lists them.")
  if _CONFIG.value is None:
    return _fail("--config is missing, for example configs/traj3d.py:tiny.")
  try:
    config = _CONFIG.value.to_dict()
  except OSError as error:  # Only now does the flag tell of it.
    return _fail(f"--config cannot be loaded: {_last_line(error)}")
  # After the flags, so that a mistake in them is told at once.
  import jax

  from magvit3d import console
  from magvit3d.errors import UserError
  from magvit3d.training.loop import Interrupted

  if "model_class" in config:  # Upstream's configs are of one stage.
    from magvit3d.single_stage import SingleStage as Run
  else:
    from magvit3d.experiment import Experiment as Run

  console.set_up()
  cache = pathlib.Path("~/.cache/magvit3d/xla").expanduser()
  jax.config.update("jax_compilation_cache_dir", str(cache))
  workdir = pathlib.Path(_WORKDIR.value or f"runs/{config['experiment_name']}")
  # Training takes SIGTERM in its own way; elsewhere it is as Ctrl-C.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  try:
    result = Run(config, workdir.expanduser()).run()
  except UserError as error:
    return _fail(str(error))
  except Interrupted as error:
    return _fail(str(error), _INTERRUPTED)
  except KeyboardInterrupt:
    message = "interrupted; run the same command again to continue."
    return _fail(message, _INTERRUPTED)
  if result.exists():
    kind = "Report" if result.suffix == ".html" else "Scores"
    print(f"{kind}: {result.absolute()}")
  return 0


def _fail(message: str, status: int = 1) -> int:
  print(f"Error: {message}", file=sys.stderr)
  return status


def _last_line(error: Exception) -> str:
  return str(error).strip().splitlines()[-1].strip()


def parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a misspelled one ends the program with one sentence."""
  try:
    return flags.FLAGS(argv, known_only=False)
  except (flags.Error, AttributeError, KeyError, ValueError, OSError) as error:
    # The text of a config's own error is a traceback.
    text = _last_line(error) if "Traceback" in str(error) else str(error)
    if isinstance(error, KeyError):  # Its text is a representation.
      name, _, advice = str(error.args[0]).partition("\n")
      text = f"--config has no field {name}. {advice}"
    sys.exit(_fail(text, 2))


if __name__ == "__main__":
  app.run(main, flags_parser=parse_flags)
