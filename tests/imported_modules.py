"""Which modules a program imports, in a process of its own."""

import subprocess
import sys

import shrunk


def after(program: str, names: set[str]) -> tuple[str, set[str]]:
  """Runs a program; its output, and which of some modules it imported.

  Warnings are errors.
  """
  report = f"print(*({names!r} & set(sys.modules)))"
  found = subprocess.run(
    [sys.executable, "-W", "error", "-c", f"import sys\n{program}\n{report}"],
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  *output, last = found.stdout.splitlines()
  return "\n".join(output), set(last.split())
