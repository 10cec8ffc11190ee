"""Everything imports, from the checkout and from elsewhere."""

import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest
import shrunk

import configs
import data_gen
import launch
import magvit3d
from docs import draw_architecture

pytestmark = pytest.mark.smoke


def _all_modules():
  names = []
  for package in (magvit3d, data_gen, configs, launch):
    names.append(package.__name__)
    walked = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names += [module.name for module in walked]
  # `data_gen.__main__` and the like are programs: importing is running.
  return [name for name in names if not name.endswith("__main__")]


def _run(program, folder):
  found = subprocess.run(
    [sys.executable, "-W", "error", "-c", program],
    cwd=folder,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  return found.stdout.strip()


def test_every_module_imports_from_another_folder(tmp_path):
  modules = _all_modules()
  assert len(modules) > 50
  program = f"import importlib\nfor name in {modules}:\n"
  program += "  importlib.import_module(name)\nprint('fine')"
  assert _run(program, tmp_path) == "fine"


def test_importing_the_main_job_imports_neither_tensorflow_nor_jax(tmp_path):
  program = (
    "import sys, magvit3d.main\n"
    "print(sorted({'jax', 'tensorflow'} & set(sys.modules)))"
  )
  assert _run(program, tmp_path) == "[]"


def test_importing_the_experiment_does_not_import_tensorflow(tmp_path):
  program = (
    "import sys, magvit3d.experiment\nprint('tensorflow' in sys.modules)"
  )
  assert _run(program, tmp_path) == "False"


# Each imports only those before it: packages, and modules at the root. Programs
# come last, and nothing imports them.
_ORDER = (
  "errors",
  "config",
  "files",
  "parallel",
  "cli",
  "models",
  "media",
  "data",
  "tokens",
  "monitoring",
  "checkpoints",
  "upstream",
  "inference",
  "training",
  "evaluation",
  "run",
  "report",
  "pretrained",
  "api",
  "studies",
  "plan",
  "exports",
  "experiment",
  "programs",
)
_PROGRAMS = {
  "compare",
  "demo",
  "export",
  "generate",
  "main",
  "rollout",
  "score",
  "status",
  "tokenize",
  "video_metrics",
}


# Of `data_gen`.
_DATA_ORDER = (
  "errors",
  "schema",
  "shard_plan",
  "cores",
  "terminal",
  "files",
  "rendering",
  "scenes",
  "digits",
  "records",
  "footage",
  "scene_makers",
  "manifest",
  "shard_writer",
  "disk",
  "scene_progress",
  "workers",
  "command_line",
  "previews",
  "generate",
  "programs",
)


@pytest.mark.parametrize(
  "package, order", [("magvit3d", _ORDER), ("data_gen", _DATA_ORDER)]
)
def test_packages_import_in_one_direction(package, order):
  imports = draw_architecture.room_imports(package)
  assert imports.keys() == set(order)
  wrong = [
    f"{importer} imports {imported}"
    for importer, found in imports.items()
    for imported in found
    if order.index(imported) > order.index(importer)
  ]
  assert not wrong


def test_nothing_imports_a_program():
  imported = set().union(*draw_architecture.module_imports("magvit3d").values())
  assert not imported & {f"magvit3d.{program}" for program in _PROGRAMS}


@pytest.mark.parametrize("package", ["magvit3d", "data_gen", "launch"])
def test_no_imports_run_in_a_circle(package):
  imports = draw_architecture.module_imports(package)
  while True:
    # What imports nothing that is left is in no circle.
    free = {name for name, found in imports.items() if not found}
    if not free:
      break
    imports = {
      name: found - free for name, found in imports.items() if name not in free
    }
  assert not imports


def test_nothing_imports_what_launches_it():
  for package in ("magvit3d", "data_gen", "configs"):
    for path in (shrunk.ROOT / package).rglob("*.py"):
      assert not re.search(
        r"^\s*(from|import) launch\b", path.read_text(), re.M
      )


def test_the_root_has_what_a_user_types_or_imports():
  root = pathlib.Path(magvit3d.__file__).parent
  modules = {path.stem for path in root.glob("*.py")}
  assert draw_architecture.programs() == _PROGRAMS
  assert modules == {*_PROGRAMS, "__init__", "errors", "api", "experiment"}
  assert len(modules - {"__init__"}) <= 13


def test_the_picture_of_the_packages_is_of_today():
  """If not: `python docs/draw_architecture.py`."""
  assert draw_architecture.read_description() == draw_architecture.describe()


def test_the_way_to_read_is_short_and_connected():
  """The table of docs/architecture.md."""
  text = (draw_architecture.ROOT / "docs" / "architecture.md").read_text()
  paths = re.findall(r"^\| `(magvit3d/\S+\.py)`", text, re.M)
  assert 5 < len(paths) <= 20
  lines = [(shrunk.ROOT / path).read_text().count("\n") for path in paths]
  assert sum(lines) <= 2000
  imports = draw_architecture.module_imports("magvit3d")
  reached, found = set(), {"magvit3d.experiment"}
  while found:
    reached |= found
    found = set().union(*(imports[module] for module in found)) - reached
  names = {path.removesuffix(".py").replace("/", ".") for path in paths}
  assert names <= reached
  # Each is imported by another one of them, or imports one.
  for name in names - {"magvit3d.data.clips"}:
    assert imports[name] & names or any(name in imports[n] for n in names)
