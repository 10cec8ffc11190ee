"""Draws docs/architecture.png: the packages of magvit3d and who imports whom.

  python docs/draw_architecture.py [OUTPUT]

All of it is read off the code. The picture carries what it shows as text;
tests/imports_test.py compares that with the code of today.
"""

import ast
import collections
import pathlib
import sys
import textwrap

import matplotlib
from PIL import Image

matplotlib.use("Agg")
from matplotlib import patches
from matplotlib import pyplot as plt

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUTPUT = pathlib.Path(__file__).parent / "architecture.png"
_PROGRAMS = "programs"
_WIDTH, _HEIGHT, _GAP, _ROW = 2.0, 0.78, 0.34, 1.35


def module_imports(package: str) -> dict[str, set[str]]:
  """Returns the modules of a package, and those of its own that each imports.

  Imports within functions count too.

  Args:
    package: A folder of the checkout, such as 'magvit3d'.
  """
  paths = {}
  for path in sorted((ROOT / package).rglob("*.py")):
    parts = path.relative_to(ROOT).with_suffix("").parts
    paths[".".join(parts).removesuffix(".__init__")] = path
  imports = {}
  for name, path in paths.items():
    imports[name] = set()
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
      elif isinstance(node, ast.ImportFrom) and node.module:
        whole = {f"{node.module}.{alias.name}" for alias in node.names}
        found = (whole & paths.keys()) or {node.module}
      else:
        continue
      imports[name] |= found & paths.keys() - {name}
  return imports


def programs(package: str = "magvit3d") -> set[str]:
  """Returns the modules at a package's root that `python -m` runs."""
  return {
    path.stem
    for path in (ROOT / package).glob("*.py")
    if '\nif __name__ == "__main__"' in path.read_text()
  }


def room_imports(package: str = "magvit3d") -> dict[str, set[str]]:
  """Returns packages and modules at the root, and which of them each imports.

  All programs are one room.

  Args:
    package: See `module_imports`.
  """
  runs = programs(package)

  def room(module: str) -> str:
    name = module.split(".")[1]
    return _PROGRAMS if name in runs else name

  rooms = collections.defaultdict(set)
  for importer, found in module_imports(package).items():
    if importer != package:
      inside = {room(module) for module in found - {package}}
      rooms[room(importer)] |= inside - {room(importer)}
  return dict(rooms)


def purpose(room: str) -> str:
  """Returns the first sentence of a room's docstring."""
  if room == _PROGRAMS:
    return ", ".join(sorted(programs()))
  path = ROOT / "magvit3d" / room
  path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
  text = ast.get_docstring(ast.parse(path.read_text())) or ""
  return text.split("\n")[0].removesuffix(".")


def describe() -> str:
  """Returns all that the picture shows, as text."""
  return "\n".join(
    f"{room}: {purpose(room)} <- {' '.join(sorted(found))}"
    for room, found in sorted(room_imports().items())
  )


def read_description(path: pathlib.Path = OUTPUT) -> str:
  """Returns what a picture was drawn of."""
  with Image.open(path) as image:
    return image.info["Description"]


def draw(output: pathlib.Path) -> None:
  """Writes the picture."""
  imports = room_imports()
  shown = {room: _direct(room, imports) for room in imports}
  places = _places(imports, shown)
  columns = 1 + max(x for x, _ in places.values())
  rows = 1 + max(y for _, y in places.values())
  figure, axes = plt.subplots(
    figsize=(columns * (_WIDTH + _GAP) * 0.92, rows * _ROW * 0.82), dpi=110
  )
  for room, (x, y) in places.items():
    left, bottom = x * (_WIDTH + _GAP), y * _ROW
    for other in shown[room]:
      there = places[other]
      axes.annotate(
        "",
        (there[0] * (_WIDTH + _GAP) + _WIDTH / 2, there[1] * _ROW + _HEIGHT),
        (left + _WIDTH / 2, bottom),
        arrowprops={"arrowstyle": "-|>", "color": "#8a94a6", "lw": 0.9},
        zorder=1,
      )
    axes.add_patch(
      patches.FancyBboxPatch(
        (left, bottom),
        _WIDTH,
        _HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor="#eef2f8",
        edgecolor="#4a5a78",
        zorder=2,
      )
    )
    middle = left + _WIDTH / 2
    axes.text(
      middle, bottom + 0.61, room, ha="center", va="center", weight="bold",
      fontsize=9, zorder=3,
    )  # fmt: skip
    axes.text(
      middle,
      bottom + 0.25,
      "\n".join(textwrap.wrap(purpose(room), 36)[:3]),
      ha="center",
      va="center",
      fontsize=5.6,
      color="#333333",
      zorder=3,
    )
  axes.set_xlim(-_GAP, columns * (_WIDTH + _GAP))
  axes.set_ylim(-_GAP, rows * _ROW)
  axes.axis("off")
  figure.tight_layout(pad=0.2)
  figure.savefig(output, metadata={"Description": describe(), "Software": ""})
  plt.close(figure)


def _direct(room: str, imports: dict[str, set[str]]) -> set[str]:
  """What a room imports and reaches in no other way."""
  reached = set().union(
    *(_reachable(other, imports) for other in imports[room])
  )
  return imports[room] - reached


def _reachable(room: str, imports: dict[str, set[str]]) -> set[str]:
  found = set()
  for other in imports[room]:
    found |= {other} | _reachable(other, imports)
  return found


def _places(imports, shown) -> dict[str, tuple[float, int]]:
  """Column and row of each room; those that it imports lie below."""
  heights = {}

  def height(room: str) -> int:
    if room not in heights:
      heights[room] = 1 + max(map(height, imports[room]), default=-1)
    return heights[room]

  rows = collections.defaultdict(list)
  for room in sorted(imports):
    rows[height(room)].append(room)
  widest = max(map(len, rows.values()))
  places = {}
  for y in sorted(rows):
    # Near the middle of what they import.
    def middle(room: str) -> float:
      below = [places[other][0] for other in shown[room]]
      return sum(below) / len(below) if below else widest / 2

    ordered = sorted(rows[y], key=middle)
    start = (widest - len(ordered)) / 2
    for i, room in enumerate(ordered):
      places[room] = (start + i, y)
  return places


if __name__ == "__main__":
  draw(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT)
