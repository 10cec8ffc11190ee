"""Programs go on where nobody takes what they print."""

import subprocess
import sys

import pytest
import shrunk

_PROGRAM = """
import contextlib, os, sys
from data_gen import terminal
terminal.set_up()
for _ in range(3):
  print("x" * 100_000, flush=True)
  print("é \\udce9", file=sys.stderr)
with open(sys.argv[1], "w") as file:
  assert file.fileno() > 2
  with contextlib.suppress(OSError):
    os.write(2, b"not into the file")
  file.write("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
@pytest.mark.parametrize(
  "streams",
  [
    ">&-",
    "2>&-",
    "<&- >&- 2>&-",
    "> /dev/full 2>&1",
    "2>&1 | true; exit ${PIPESTATUS[0]}",
  ],
)
def test_a_stream_that_fails_ends_no_program(tmp_path, streams):
  (tmp_path / "program.py").write_text(_PROGRAM)
  output = tmp_path / "output"
  command = f"{sys.executable} {tmp_path / 'program.py'} {output} {streams}"
  done = subprocess.run(
    ["bash", "-c", command],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert output.read_text() == "done"
  assert "Traceback" not in done.stderr and "ignored" not in done.stderr
