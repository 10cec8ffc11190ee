"""The command `magvit3d`: its first word names one of the programs.

  magvit3d train --config=configs/traj3d.py:tiny
  magvit3d demo

Each is a module that `python -m` runs as well.
"""

import ast
import importlib.util
import pathlib
import re
import runpy
import sys

from magvit3d.cli.command_line import fail

PROGRAMS = {
  "train": "magvit3d.main",
  "demo": "magvit3d.demo",
  "status": "magvit3d.status",
  "compare": "magvit3d.compare",
  "sweep": "launch.sweep",
  "generate": "magvit3d.generate",
  "score": "magvit3d.score",
  "rollout": "magvit3d.rollout",
  "tokenize": "magvit3d.tokenize",
  "export": "magvit3d.export",
  "video_metrics": "magvit3d.video_metrics",
  "data": "data_gen",
  "preview": "data_gen.preview",
  "import_videos": "data_gen.import_videos",
}


def main() -> None:
  """Runs the program that the first argument names, with the others."""
  name = sys.argv[1] if len(sys.argv) > 1 else "--help"
  if name in ("-h", "--help", "help"):
    print(_help())
    sys.exit(0)
  if name not in PROGRAMS:
    known = ", ".join(PROGRAMS)
    sys.exit(fail(f"{name!r} is no program of magvit3d. Use {known}.", 2))
  sys.argv = [f"magvit3d {name}", *sys.argv[2:]]
  runpy.run_module(PROGRAMS[name], run_name="__main__", alter_sys=True)


def _help() -> str:
  lines = [
    f"  {name:14}{_first_line(module)}" for name, module in PROGRAMS.items()
  ]
  head = "magvit3d PROGRAM [FLAGS ...]; PROGRAM --help lists its flags.\n"
  return "\n".join([head, *lines])


def _first_line(module: str) -> str:
  """Of a module's docstring, which is not imported for it."""
  spec = importlib.util.find_spec(module)
  if spec is not None and spec.submodule_search_locations:
    spec = importlib.util.find_spec(f"{module}.__main__")
  assert spec is not None and spec.origin is not None
  tree = ast.parse(pathlib.Path(spec.origin).read_text(encoding="utf-8"))
  return re.split(r"[:.\n]", ast.get_docstring(tree) or "", maxsplit=1)[0]
