"""Writes docs/troubleshooting.md: the sentences in which programs end.

  python -m docs.write_troubleshooting

They are read from the code: every error that a user can mend, with the names of
what is filled in.
"""

import ast
import pathlib
import re
import textwrap
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "troubleshooting.md"
# What the user can mend, and functions that end a program with a sentence.
_ERRORS = {"UserError", "DataError", "fail", "ArgumentTypeError", "error"}
# Files whose ValueErrors are turned into those.
_VALUE_ERRORS = ("configs/", "data_gen/", "magvit3d/config/")
# Subjects, by the places of their files; the first that fits; and pages.
_SUBJECTS = (
  (
    "Flags and config fields",
    ("magvit3d/config/", "configs/", "magvit3d/cli/", "magvit3d/main.py"),
    "configs.md",
  ),
  (
    "Making data: data_gen",
    (
      "data_gen/beam",
      "data_gen/command_line",
      "data_gen/cores",
      "data_gen/disk",
      "data_gen/files/folder_",
      "data_gen/generate",
      "data_gen/preview",
      "data_gen/rendering/",
      "data_gen/scenes/",
      "data_gen/shard",
      "data_gen/workers",
    ),
    "scenes.md",
  ),
  (
    "Your footage and its calibration",
    ("data_gen/footage/", "data_gen/import_"),
    "footage.md",
  ),
  ("Reading data sets", ("data_gen/",), "rendered_data.md"),
  (
    "Videos, pictures and batches",
    ("magvit3d/data/", "magvit3d/media/"),
    "datasets.md",
  ),
  (
    "Networks and training",
    (
      "magvit3d/models/",
      "magvit3d/tokens/",
      "magvit3d/training/",
      "magvit3d/run/",
      "magvit3d/experiment",
      "magvit3d/monitoring/",
    ),
    "monitoring.md",
  ),
  ("Checkpoints", ("magvit3d/checkpoints/",), "checkpoints.md"),
  ("Work folders and files", ("magvit3d/files/",), "reliability.md"),
  (
    "Devices, processes and plans",
    ("magvit3d/parallel/", "magvit3d/plan/"),
    "parallelism.md",
  ),
  (
    "Checkpoints in MAGVIT's format",
    ("magvit3d/upstream/",),
    "upstream_checkpoints.md",
  ),
  (
    "Published metrics",
    ("magvit3d/evaluation/published", "magvit3d/video_metrics"),
    "video_metrics.md",
  ),
  ("Scores", ("magvit3d/evaluation/", "magvit3d/score"), "scores.md"),
  ("Reports and comparisons", ("magvit3d/report/",), "comparison.md"),
  ("Everything that opens a trained model", ("magvit3d/",), "api.md"),
)
_INTRODUCTION = """\
# Troubleshooting, by error message

Made by `python -m docs.write_troubleshooting` from the code; a fast test
compares.

A program that cannot go on ends with one sentence, `Error: ...`, and status 1
(2 for a misspelled flag, 130 after Ctrl-C). Search this page for a few words of
it. ‹Names› stand for what is filled in: a path, a number, a field. What stands
behind the first sentence is what to do; the file that says it is named last.

Not an error, but not well either?

- A run stands still, or its loss is not finite: [monitoring.md](monitoring.md).
- A run was killed, or its disk is full: start the same command again,
  [reliability.md](reliability.md).
- The networks learn nothing: `--overfit_one_batch` says within minutes whether
  they can, [parallelism.md](parallelism.md#can-it-learn-at-all).
- The report says that predictions are worse than a copy of the last frame:
  [evaluation.md](evaluation.md#checks).
- A program ends with a traceback: that is a fault of ours,
  [CONTRIBUTING.md](../CONTRIBUTING.md).
"""


def _files() -> Iterator[pathlib.Path]:
  for folder in ("configs", "data_gen", "magvit3d"):
    yield from sorted((ROOT / folder).rglob("*.py"))


def _messages(path: pathlib.Path) -> Iterator[str]:
  """The sentences of a file, in its order."""
  place = path.relative_to(ROOT).as_posix()
  wanted = _ERRORS | (
    {"ValueError"} if place.startswith(_VALUE_ERRORS) else set()
  )
  tree = ast.parse(path.read_text())
  own = {
    node.name
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
    and any(getattr(base, "id", "") in wanted for base in node.bases)
  }
  calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
  for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name not in wanted | own or not call.args:
      continue
    text = " ".join(_text(call.args[0]).split())
    # Sentences; the others are parts of some.
    if len(re.sub("‹[^›]*›", "", text)) > 20 and text.endswith((".", ".)")):
      yield text


def _text(node: ast.expr) -> str:
  """A string with the names of what is filled in."""
  if isinstance(node, ast.Constant) and isinstance(node.value, str):
    return re.sub(r"([*<|\\])", r"\\\1", node.value)
  if isinstance(node, ast.JoinedStr):
    return "".join(
      _hole(part.value) if isinstance(part, ast.FormattedValue) else _text(part)
      for part in node.values
    )
  if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
    return _text(node.left) + _text(node.right)
  if isinstance(node, ast.IfExp):
    return _text(node.body)
  return _hole(node)


def _hole(node: ast.expr) -> str:
  """The name of what is filled in, in angles."""
  if isinstance(node, ast.Call):
    join = isinstance(node.func, ast.Attribute) and node.func.attr == "join"
    if (join and node.args) or (
      node.args and getattr(node.func, "id", "") in ("str", "repr", "len")
    ):
      return _hole(node.args[0])
    return _hole(node.func)
  if isinstance(node, ast.Attribute):
    name = node.attr
  elif isinstance(node, ast.Subscript):
    return _hole(node.value)
  elif isinstance(node, ast.GeneratorExp | ast.ListComp):
    return _hole(node.generators[0].iter)
  elif isinstance(node, ast.BinOp):
    return _hole(node.left)
  else:
    name = getattr(node, "id", "...")
  return f"‹{name.strip('_').replace('_', ' ').lower()}›"


def _entry(text: str, place: str) -> str:
  """A message as an item: first sentence in bold, then what to do."""
  parts = re.split(r"(?<=[.?!)])\s+(?=[A-Z‹])", text, maxsplit=1)
  first, rest = parts[0], parts[1] if len(parts) > 1 else ""
  lines = textwrap.wrap(
    f"**{first}** {rest}".strip() + f" `{place}`",
    84,
    initial_indent="- ",
    subsequent_indent="  ",
    break_long_words=False,
    break_on_hyphens=False,
  )
  return "\n".join(lines)


def messages() -> dict[str, list[tuple[str, str]]]:
  """Returns sentences and their files, by subject."""
  found: dict[str, list[tuple[str, str]]] = {
    name: [] for name, _, _ in _SUBJECTS
  }
  seen = set()
  for path in _files():
    place = path.relative_to(ROOT).as_posix()
    subject = next(
      name for name, places, _ in _SUBJECTS if place.startswith(places)
    )
    for text in _messages(path):
      if text not in seen:
        seen.add(text)
        found[subject].append((text, place))
  return found


def render() -> str:
  """Returns the page."""
  parts = [_INTRODUCTION]
  found = messages()
  for subject, _, page in _SUBJECTS:
    entries = sorted(_entry(*message) for message in found[subject])
    if entries:
      parts.append(f"## {subject}\n\nSee also [{page}]({page}).\n")
      parts.append("\n".join(entries) + "\n")
  return "\n".join(parts)


if __name__ == "__main__":
  OUTPUT.write_text(render())
