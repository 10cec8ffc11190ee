"""Writes docs/configs.md: every field of every config.

  python -m docs.write_configs

Values are those of the config files, types those of `magvit3d.config`. What a
field means is the comment beside it; where there is none, what the docstring of
its section, or of the network that it goes to, says.
"""

import ast
import importlib
import io
import pathlib
import re
import tokenize
import types
import typing
from collections.abc import Iterator
from typing import Any

from configs import (
  extractors,
  future_prediction,
  persistence,
  phyworld,
  surprise,
  traj2d,
  traj3d,
  traj3d_multiview,
  world_model,
)
from data_gen.scenes.options import DatasetOptions
from magvit3d.config import run
from magvit3d.models import discriminator, encoder_decoder, quantizer
from magvit3d.models import tokenizer as tokenizer_module

ROOT = pathlib.Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "configs.md"
_UPSTREAM = (
  "vqgan2d_ucf101_config",
  "vqgan3d_ucf101_config",
  "vqgan3d_bair_config",
  "maskgvt_ucf101_config",
  "maskgvt_bair_config",
  "maskgvt_bair_multitask_config",
  "lmgvt_ucf101_config",
  "maskgit_imagenet256_tokenizer",
)
# Sources of comments, the first that has one first.
_COMMENTED = (
  "traj3d",
  "traj3d_cpu_base",
  "study_base",
  "extractors",
  "surprise",
  "persistence",
  "future_prediction",
  "traj2d",
  "phyworld",
  "world_model",
  "upstream_base",
  "traj3d_multiview",
  "maskgvt_bair_multitask_config",
  "maskgvt_bair_config",
  "lmgvt_ucf101_config",
  "maskgit_imagenet256_tokenizer",
)
# Networks whose docstrings say what fields of a section are.
_NETWORKS = {
  "vqvae": (
    quantizer.VectorQuantizer,
    encoder_decoder.BackboneOptions,
    encoder_decoder.Encoder,
    encoder_decoder.Decoder,
    tokenizer_module.Tokenizer,
  ),
  "discriminator": (
    discriminator.Discriminator,
    encoder_decoder.BackboneOptions,
  ),
}
_INTRODUCTION = """\
# Every field of every config

Made by `python -m docs.write_configs` from the config files and from
`magvit3d/config`, which has types, ranges and defaults; a fast test compares.

A field is changed on the command line, `--config.SECTION.FIELD=VALUE`, lists as
`"(1, 2)"`, no value as `None`. A misspelled field, a value of another type and
one out of range end the program with a sentence, before anything is computed:

```sh
python -m magvit3d.main --config=configs/traj3d.py:tiny --config.seed=1
```

```
10:13:17 1 CPU device(s) of 1 process(es): cpu.
10:13:18 Writing 1444 scenes in 15 shards to runs/traj3d_tiny/data.
...
10:14:11 The data set is complete: runs/traj3d_tiny/data/manifest.json
...
```

(and so on, as in [get_started.md](get_started.md).)

"Ours" marks what MAGVIT does not have.
"""


def comments(name: str) -> dict[str, str]:
  """Returns the comment of each field and section that a config file sets.

  Args:
    name: Of a file in configs/, without its end.
  """
  text = (ROOT / "configs" / f"{name}.py").read_text()
  lines = {
    token.start[0]: token.string.lstrip("# ")
    for token in tokenize.generate_tokens(io.StringIO(text).readline)
    if token.type == tokenize.COMMENT
  }
  alone = {
    number
    for number, line in enumerate(text.splitlines(), 1)
    if line.lstrip().startswith("#")
  }
  found: dict[str, str] = {}
  for function in ast.parse(text).body:
    if not isinstance(function, ast.FunctionDef):
      continue
    aliases = {"config": ""}
    for node in _assignments(function):
      paths = [_path(target, aliases) for target in node.targets]
      path = next((p for p in paths if p), None) or _path(node.value, aliases)
      if path is None:
        continue
      for target in node.targets:
        if isinstance(target, ast.Name):
          aliases[target.id] = path
      first = node.lineno
      while first - 1 in alone:
        first -= 1
      span = range(first, (node.end_lineno or node.lineno) + 1)
      words = " ".join(lines[i] for i in span if i in lines)
      if words and path not in found:
        found[path] = words
  return found


def _assignments(function: ast.FunctionDef) -> Iterator[ast.Assign]:
  """In the order of the text."""
  nodes = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
  yield from sorted(nodes, key=lambda node: node.lineno)


def _path(node: ast.expr, aliases: dict[str, str]) -> str | None:
  """The field that an expression is, such as 'vqvae.filters'."""
  if isinstance(node, ast.Name):
    return aliases.get(node.id) or None
  if isinstance(node, ast.Subscript):
    return "tasks.*"
  if isinstance(node, ast.Attribute) and isinstance(
    node.value, ast.Name | ast.Attribute | ast.Subscript
  ):
    root = node.value
    known = isinstance(root, ast.Name) and aliases.get(root.id) == ""
    parent = "" if known else _path(root, aliases)
    if parent is not None:
      return f"{parent}.{node.attr}".lstrip(".")
  return None


def fields(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Returns the values of all fields of a config, by path."""
  found: dict[str, Any] = {}
  for name, value in config.items():
    if isinstance(value, dict):
      found |= fields(value, f"{prefix}{name}.")
    else:
      found[prefix + name] = value
  return found


def _sections(path: str) -> list[type]:
  """The dataclasses of the section that a field is in."""
  kinds: list[type] = [run.Sections]
  for name in re.sub(r"^tasks\.\w+", "tasks", path).split(".")[:-1]:
    hints = [typing.get_type_hints(kind).get(name) for kind in kinds]
    kinds = [kind for hint in hints for kind in _classes(hint)]
  return kinds


def _classes(hint: Any) -> list[type]:
  if typing.get_origin(hint) is dict:
    return _classes(typing.get_args(hint)[1])
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    return [kind for part in typing.get_args(hint) for kind in _classes(part)]
  return [hint] if hasattr(hint, "__dataclass_fields__") else []


def kind_of(path: str, value: Any) -> str:
  """Returns the type of a field in words, as `magvit3d.config` has it."""
  hints = [typing.get_type_hints(kind) for kind in _sections(path)]
  name = path.split(".")[-1]
  hint = next((hint[name] for hint in hints if name in hint), type(value))
  parts = [hint]
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    parts = list(typing.get_args(hint))
  return " or ".join(_word(part) for part in parts)


def _word(hint: Any) -> str:
  if hint is type(None):
    return "None"
  if typing.get_origin(hint) is typing.Literal:
    return " or ".join(f"`{value!r}`" for value in typing.get_args(hint))
  if typing.get_origin(hint) is tuple or hint is tuple:
    inner = [a for a in typing.get_args(hint) if a is not ...]
    return f"list of {_word(inner[0])}" if inner else "list"
  name = getattr(hint, "__name__", str(hint))
  return {"UserPath": "path"}.get(name, name)


def _documented(kind: type) -> dict[str, str]:
  """What the `Attributes:` of a docstring say, by name."""
  found: dict[str, str] = {}
  for base in reversed(kind.__mro__):
    _, _, text = (base.__doc__ or "").partition("Attributes:\n")
    text = re.split(r"\n\s*\n", text)[0]
    for name, words in re.findall(
      r"^    (\w+): (.*(?:\n      .*)*)", text, re.M
    ):
      found[name] = " ".join(words.split())
  return found


def meaning(path: str, beside: dict[str, str]) -> str:
  """Returns what a field is, or ''.

  Args:
    path: Of the field.
    beside: Comments of config files.
  """
  section, _, name = path.rpartition(".")
  general = re.sub(r"^tasks\.\w+", "tasks.*", path)
  comment = beside.get(path) or beside.get(general, "")
  words = ""
  for kind in (*_sections(path), *_NETWORKS.get(section, ())):
    words = words or _documented(kind).get(name, "")
  if section == "data" and name in DatasetOptions.__dataclass_fields__:
    words = DatasetOptions.__dataclass_fields__[name].metadata["help"]
  chosen = max(words, comment, key=len)  # The one that says more.
  is_ours = comment.startswith("Ours") and not chosen.startswith("Ours")
  return f"Ours: {chosen}" if is_ours else chosen


def _value(value: Any) -> str:
  if isinstance(value, tuple):
    value = [round(x, 4) if isinstance(x, float) else x for x in value]
  elif isinstance(value, float):
    value = float(f"{value:.4g}")
  return f"`{value!r}`"


def _cell(text: str) -> str:
  return text.replace("|", "\\|") or "–"


def _tables(rows: list[tuple[str, ...]], head: str, level: str, beside) -> str:
  """A table a section; rows start with the path."""
  lines, last = [], None
  for path, *cells in rows:
    section = path.rpartition(".")[0]
    top = section.split(".")[0]
    if top != last:
      lines += [f"\n{level} {f'config.{top}' if top else 'The run'}\n"]
      if top in beside:
        lines += [f"{beside[top]}\n"]
      lines += [head, "|" + "---|" * (head.count("|") - 1)]
      last = top
    name = path.removeprefix(f"{top}.") if top else path
    lines += [f"| `{name}` | {' | '.join(map(_cell, cells))} |"]
  return "\n".join(lines) + "\n"


def _ordered(paths) -> list[str]:
  """Fields outside sections first, then section by section."""
  sections = {path.split(".")[0] if "." in path else "": 0 for path in paths}
  places = {name: i for i, name in enumerate(sorted(sections))}
  return sorted(
    paths, key=lambda path: places[path.split(".")[0] if "." in path else ""]
  )


def render() -> str:
  """Returns the page."""
  beside: dict[str, str] = {}
  for name in _COMMENTED:
    beside = comments(name) | beside
  of = {v: fields(traj3d.get_config(v).to_dict()) for v in traj3d.VARIANTS}
  rows = []
  for path in _ordered(of["B"]):
    value = of["B"][path]
    others = [
      f"`:{v}` {_value(of[v][path])}" for v in of if of[v][path] != value
    ]
    kind = kind_of(path, value)
    words = meaning(path, beside)
    rows.append((path, ", ".join([_value(value), *others]), kind, words))
  head = "| field | default (`:B`), others | type | what it is |"
  parts = [_INTRODUCTION, "## configs/traj3d.py\n"]
  parts.append(_tables(rows, head, "###", beside))

  parts += [
    _differing(module, of["B"], beside)
    for module in (
      traj3d_multiview,
      extractors,
      surprise,
      persistence,
      future_prediction,
      traj2d,
      phyworld,
      world_model,
    )
  ]
  parts.append(_upstream(beside))
  return "\n".join(parts)


def _differing(
  module: types.ModuleType, base: dict[str, Any], beside: dict[str, str]
) -> str:
  """The section of a config that has other values, or other fields."""
  found = fields(module.get_config().to_dict())
  rows = [
    (path, _value(value), kind_of(path, value), meaning(path, beside))
    for path, value in found.items()
    if value != base.get(path, found)
  ]
  lines = ["| field | default | type | what it is |", "|---|---|---|---|"]
  lines += [
    f"| `{p}` | {' | '.join(map(_cell, cells))} |" for p, *cells in rows
  ]
  name = module.__name__.replace(".", "/")
  text = "\n".join(lines)
  return f"## {name}.py\n\nWhere it differs:\n\n{text}\n"


def _upstream(beside: dict[str, str]) -> str:
  all_values: dict[str, dict[str, list[str]]] = {}
  kinds: dict[str, str] = {}
  for name in _UPSTREAM:
    document = importlib.import_module(f"configs.{name}").get_config()
    for path, value in fields(document.to_dict()).items():
      files = all_values.setdefault(path, {}).setdefault(_value(value), [])
      files.append(name.removesuffix("_config"))
      kinds[path] = type(value).__name__.replace("NoneType", "None")
  rows = []
  for path in _ordered(all_values):
    values = all_values[path]
    text = "; ".join(
      value if len(values) == 1 else f"{value} {', '.join(files)}"
      for value, files in values.items()
    )
    words = meaning(path, beside) or meaning(_ours(path), beside)
    rows.append((path, text, words))
  head = "| field | default (`:B`) | what it is |"
  return (
    "## MAGVIT's configs\n\nFiles under its names; a value without a name is "
    "that of all files that have the field.\n"
  ) + _tables(rows, head, "###", beside)


def _ours(path: str) -> str:
  """Where a field of MAGVIT's is described, if it has another name there."""
  section, _, name = path.partition(".")
  if section == "transformer":
    section = "training" if name == "label_smoothing" else "maskgvt"
  places = {
    "": "run",
    "bug_patches": "maskgvt",
    "crop": "train_tokenizer.crop",
    "dataset_configs": "videos",
    "maskgvt": "maskgvt",
    "optimizer": "train_transformer.optimizer",
    "sampling": "maskgvt.sampling",
    "training": "train_transformer",
  }
  return f"{places.get(section, section)}.{name}"


if __name__ == "__main__":
  OUTPUT.write_text(render())
