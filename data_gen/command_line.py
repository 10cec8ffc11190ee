"""Flags of the programs that make data sets, and how those programs end."""

import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from absl import flags

from data_gen import schema, terminal, workers
from data_gen.disk import Shard
from data_gen.scene_makers import SceneSet
from data_gen.scenes import phyworld_laws
from data_gen.scenes.moving_cameras import MovingCameraOptions
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.violations import ViolationOptions

Options = TypeVar("Options")
_INTERRUPTED = 130  # As shells say of programs that Ctrl-C has ended.
_SIGNALS = {"SIGTERM", "SIGINT", "SIGHUP"}

_is_interrupted = False
_is_looked_at = False


def define_flags(options: type = DatasetOptions) -> None:
  """Defines a flag for each field of a dataclass of options."""
  define = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
  }
  for field in dataclasses.fields(options):
    help_text = field.metadata["help"]
    define[field.type](field.name, field.default, help_text)


def define_scene_flags() -> None:
  """Defines those of `DatasetOptions`, and of the kinds of scenes."""
  define_flags()
  flags.DEFINE_bool(
    "violations",
    False,
    "Makes pairs of clips, equal until in one of them the object vanishes, "
    "jumps, changes its shape or colour, stops or turns back; or views "
    "disagree.",
  )
  flags.DEFINE_bool(
    "moving_cameras",
    False,
    "Moves all cameras together, up to 0.06 m a frame along each axis. Paths "
    "are told as they see them; records have `camera_path` besides.",
  )


def make_scene_options() -> DatasetOptions:
  """Returns what the flags of `define_scene_flags` say.

  Raises:
    ValueError: See `make_options`; or two kinds are asked for.
  """
  violations = flags.FLAGS["violations"].value
  if not flags.FLAGS["moving_cameras"].value:
    return make_options(ViolationOptions if violations else DatasetOptions)
  if violations:
    raise ValueError("--violations and --moving_cameras exclude each other.")
  return make_options(MovingCameraOptions)


def make_options(options: type[Options] = DatasetOptions) -> Options:
  """Returns what the flags of `define_flags` say.

  Raises:
    ValueError: A value is out of range; the message names the flag.
  """
  names = [field.name for field in dataclasses.fields(options)]
  values = {name: flags.FLAGS[name].value for name in names}
  if str(values.get("preset")).startswith(schema.PHYWORLD):
    if not flags.FLAGS["num_frames"].present:
      values["num_frames"] = phyworld_laws.NUM_FRAMES
  return options(**values)


def log(line: str) -> None:
  """Prints a line at once."""
  print(line, flush=True)


def run(function: Callable[[], object]) -> None:
  """Calls a function; errors of the user's end the program with a sentence.

  SIGTERM and SIGHUP count as Ctrl-C, and twice or thrice as once.
  """
  terminal.set_up()
  for name in _SIGNALS & signal.Signals.__members__.keys():
    number = signal.Signals[name]
    if signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, _interrupt)
  try:
    function()
  except (ValueError, OSError) as error:
    sys.exit(f"data_gen: {error}")
  except KeyboardInterrupt:
    print(
      "data_gen: interrupted. Finished shards are kept; the same command "
      "continues.",
      file=sys.stderr,
    )
    sys.exit(_INTERRUPTED)


def write_shards(
  options: SceneSet,
  missing: Sequence[Shard],
  report: Callable[[int], None],
) -> None:
  """Writes shards as `workers.write_shards` does; looks for signals meanwhile.

  What a handler raises in the midst of a callback of Python's would be lost.

  Raises:
    KeyboardInterrupt: A signal has come.
  """
  global _is_looked_at
  _is_looked_at = True
  try:
    workers.write_shards(options, missing, report, _check)
    _check()
  finally:
    _is_looked_at = False


def _check() -> None:
  if _is_interrupted:
    raise KeyboardInterrupt


def _interrupt(number, frame) -> None:
  """Another signal would end what cleans up after the first one."""
  global _is_interrupted
  del number, frame
  is_first, _is_interrupted = not _is_interrupted, True
  if is_first and not _is_looked_at:
    raise KeyboardInterrupt
