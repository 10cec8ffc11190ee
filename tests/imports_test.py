"""Everything imports, from the checkout and from elsewhere."""

import ast
import pathlib
import pkgutil
import subprocess
import sys

import pytest
import shrunk

import configs
import data_gen
import magvit3d

pytestmark = pytest.mark.smoke


def _all_modules():
  names = []
  for package in (magvit3d, data_gen, configs):
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


def test_packages_import_in_one_direction():
  """Later packages may import earlier ones; the same rank is no package."""
  order = ("models", "data", "tokens", "evaluation", "upstream", "training")
  root = pathlib.Path(magvit3d.__file__).parent
  imports = []
  for path in sorted(root.rglob("*.py")):
    importer = path.relative_to(root).parts[0]
    for node in ast.walk(ast.parse(path.read_text())):
      if not isinstance(node, ast.ImportFrom) or importer not in order:
        continue
      parts = node.module.split(".")
      if parts[0] == "magvit3d" and len(parts) > 1 and parts[1] in order:
        imports.append((importer, parts[1], path.name))
  assert len(imports) > 30
  wrong = [
    found for found in imports if order.index(found[1]) > order.index(found[0])
  ]
  assert not wrong
