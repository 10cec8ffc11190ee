"""A signal is not lost where what a handler raises would be."""

import subprocess
import sys

import pytest
from small_data_sets import ROOT, make_options

# Of a `__del__`, Python prints what is raised, and goes on.
_PROGRAM = """
import signal
import sys

from data_gen import command_line
from data_gen.scenes import options


class Sender:
  def __del__(self):
    signal.raise_signal(signal.{name})


def report(count):
  Sender()


signal.signal(signal.{name}, signal.SIG_DFL)  # Not what `nohup` leaves.
options = options.DatasetOptions(**{options})
command_line.run(
  lambda: command_line.write_shards(options, [("train", 0)], report)
)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_in_a_finalizer_ends_the_program(tmp_path, name):
  options = vars(make_options(tmp_path, num_train=3, num_workers=1))
  done = subprocess.run(
    [sys.executable, "-c", _PROGRAM.format(name=name, options=options)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 130, done.stderr
  assert done.stderr.splitlines() == [
    "data_gen: interrupted. Finished shards are kept; the same command "
    "continues."
  ]
