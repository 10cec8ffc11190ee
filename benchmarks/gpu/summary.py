"""Notes how a step of `launch/gpu_check.sh` ended, in summary.json.

python -m benchmarks.gpu.summary OUTPUT STEP STATUS SECONDS LIMIT LOG
"""

import json
import pathlib
import sys

from magvit3d.files import atomic_file

_TIMED_OUT = (124, 137)  # Of `timeout`: ended, or killed.
_LOG_CHARACTERS = 3000  # The end of what a step printed.


def main(
  output: str, step: str, status: str, seconds: str, limit: str, log: str
) -> None:
  """Adds a step."""
  path = pathlib.Path(output, "summary.json")
  content = json.loads(path.read_text()) if path.exists() else {}
  code = int(status)
  result = "over its limit" if code in _TIMED_OUT else "failed"
  content[step] = {
    "result": "done" if code == 0 else result,
    "status": code,
    "seconds": int(seconds),
    "limit_s": int(limit),
  }
  if code:
    text = pathlib.Path(log).read_text(errors="replace")
    content[step]["log"] = text[-_LOG_CHARACTERS:]
  atomic_file.write_text(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
  main(*sys.argv[1:])
