"""Ends with an error where a run has not learned what it must.

  python .ci/check_scores.py WORKDIR NEED [NEED ...]

NEED is how the name of a check begins that must hold, by its target; with
" < BOUND" or " > BOUND" after it, its value must lie within that bound instead.
evaluation/scores.json has all checks. Those that do not hold are printed.
Whatever NEED says, each check must have a value, and the prediction must be
better than a copy of the last frame.
"""

import json
import pathlib
import re
import sys


def main(workdir: str, *needs: str) -> None:
  """Checks."""
  path = pathlib.Path(workdir, "evaluation", "scores.json")
  scores = json.loads(path.read_text())
  missed = [check["name"] for check in scores["checks"] if not check["passed"]]
  print("Missed:", *missed, sep="\n  ")
  if scores["warning"]:
    sys.exit(scores["warning"])
  for check in scores["checks"]:
    if check["value"] is None:
      sys.exit(f"No value: {check['name']}")
  for need in needs:
    name, sign, bound = re.fullmatch(r"(.+?) ?([<>]?) ?([\d.]*)", need).groups()
    found = [c for c in scores["checks"] if c["name"].startswith(name)]
    if not any(_holds(check, sign, bound) for check in found):
      values = [f"{check['name']}: {check['value']:.3g}" for check in found]
      sys.exit(f"Must hold and does not: {need}. {'; '.join(values)}")


def _holds(check, sign, bound):
  if not sign:
    return check["passed"]
  return (check["value"] < float(bound)) == (sign == "<")


if __name__ == "__main__":
  main(*sys.argv[1:])
