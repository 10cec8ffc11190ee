"""Makes the traj3d data set: multi-view clips of solids in motion.

  python -m data_gen --output_dir=data/traj3d

With --violations, pairs of clips in one of which the impossible happens; with
--moving_cameras, scenes that are filmed in passing.
Interrupted, the same command continues with the missing shards.
"""

import sys

from absl import app, flags

from data_gen import command_line
from data_gen.generate import generate
from data_gen.scenes.moving_cameras import MovingCameraOptions
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.violations import ViolationOptions

_VIOLATIONS = flags.DEFINE_bool(
  "violations",
  False,
  "Makes pairs of clips, equal until in one of them the object vanishes, "
  "jumps, changes its shape or colour, stops or turns back; or views disagree.",
)
_MOVING_CAMERAS = flags.DEFINE_bool(
  "moving_cameras",
  False,
  "Moves all cameras together, up to 0.06 m a frame along each axis. Paths are "
  "told as they see them; records have `camera_path` besides.",
)


def main(arguments: list[str]) -> None:
  """Makes the data set that the flags describe."""
  if len(arguments) > 1:
    sys.exit(f"data_gen takes only flags, but got {arguments[1:]}.")
  command_line.run(
    lambda: generate(
      command_line.make_options(_kind()),
      command_line.log,
      shows_bar=sys.stderr.isatty(),
      write_shards=command_line.write_shards,
    )
  )


def _kind() -> type[DatasetOptions]:
  if _VIOLATIONS.value and _MOVING_CAMERAS.value:
    raise ValueError("--violations and --moving_cameras exclude each other.")
  if _MOVING_CAMERAS.value:
    return MovingCameraOptions
  return ViolationOptions if _VIOLATIONS.value else DatasetOptions


if __name__ == "__main__":
  command_line.define_flags()
  flags.adopt_module_key_flags(command_line)  # So that --help lists them.
  app.run(main)
