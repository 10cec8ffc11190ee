"""Makes the traj3d data set: multi-view clips of solids in motion.

  python -m data_gen --output_dir=data/traj3d

Interrupted, the same command continues with the missing shards.
"""

import dataclasses
import sys

from absl import app, flags

from data_gen import generate
from data_gen.options import DatasetOptions


def _define_flags() -> None:
  define = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    int: flags.DEFINE_integer,
    str: flags.DEFINE_string,
  }
  for field in dataclasses.fields(DatasetOptions):
    help_text = field.metadata["help"]
    define[field.type](field.name, field.default, help_text)


def _log(line: str) -> None:
  print(line, flush=True)


def main(arguments: list[str]) -> None:
  """Makes the data set that the flags describe."""
  if len(arguments) > 1:
    sys.exit(f"data_gen takes only flags, but got {arguments[1:]}.")
  names = [field.name for field in dataclasses.fields(DatasetOptions)]
  try:
    generate.generate(
      DatasetOptions(**{name: flags.FLAGS[name].value for name in names}), _log
    )
  except (ValueError, OSError) as error:
    sys.exit(f"data_gen: {error}")
  except KeyboardInterrupt:
    sys.exit("data_gen: interrupted. The same command continues.")


if __name__ == "__main__":
  _define_flags()
  app.run(main)
