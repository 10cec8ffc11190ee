"""Prints what kills and faults came to, as docs/reliability.md has it.

python -m tests.torture.table kills.json faults.json
"""

import json
import pathlib
import sys

_HEADS = (
  "Command",
  "Commit",
  "Minutes",
  "Failpoints reached",
  "Counts",
  "Wrong",
)


def main() -> int:
  """Returns the exit status."""
  rows = [_HEADS, ("---",) * len(_HEADS)]
  for name in sys.argv[1:]:
    found = json.loads(pathlib.Path(name).read_text())
    counts = {**found["counts"]}
    counts.pop("wrong", None)
    texts = (f"{kind}: {count}" for kind, count in counts.items())
    rows.append(
      (
        f"`{_without_files(found['command'])}`",
        found["commit"],
        str(found["minutes"]),
        ", ".join(
          f"{kind} {number} of {found['failpoints']}"
          for kind, number in found["reached"].items()
        ),
        ", ".join(texts),
        str(len(found["wrong"])),
      )
    )
  for row in rows:
    print(f"| {' | '.join(row)} |")
  return 0


def _without_files(command: str) -> str:
  words = command.split()
  return " ".join(word for word in words if not word.startswith("--output="))


if __name__ == "__main__":
  sys.exit(main())
