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


def main(arguments: list[str]) -> None:
  """Makes the data set that the flags describe."""
  if len(arguments) > 1:
    sys.exit(f"data_gen takes only flags, but got {arguments[1:]}.")
  command_line.run(
    lambda: generate(
      command_line.make_scene_options(),
      command_line.log,
      shows_bar=sys.stderr.isatty(),
      write_shards=command_line.write_shards,
    )
  )


if __name__ == "__main__":
  command_line.define_scene_flags()
  flags.adopt_module_key_flags(command_line)  # So that --help lists them.
  app.run(main)
