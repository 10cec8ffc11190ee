"""What users import keeps its names: a change here goes into CHANGELOG.md."""

import fnmatch
import inspect
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest
import shrunk
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from magvit3d import api, errors, experiment
from magvit3d.studies.world_model import WorldModel

_MAGVIT = {
  "choose_classes": ("shape", "motion", "num", "seed"),
  "choose_labels": ("shape", "motion", "num", "seed"),
  "class_names": None,
  "clip_shape": None,
  "codebook_size": None,
  "detokenize": ("tokens", "dtype"),
  "from_pretrained": ("name", "batch_size", "revision"),
  "from_run": ("workdir", "batch_size"),
  "generate": ("shape", "motion", "num", "seed", "cameras", "dtype"),
  "inpaint": ("video", "mask", "seed", "cameras", "shape", "motion"),
  "latent_shape": None,
  "predict": (
    "video",
    "given_frames",
    "seed",
    "cameras",
    "given_views",
    "shape",
    "motion",
  ),
  "predict_views": (
    "video",
    "cameras",
    "given_views",
    "seed",
    "shape",
    "motion",
  ),
  "reconstruct": ("video",),
  "push_to_hub": ("repo_id", "dtype", "license", "private", "message"),
  "sampler": None,
  "save_pretrained": ("folder", "dtype", "license"),
  "surprise": (
    "video",
    "cameras",
    "past_alone",
    "num_draws",
    "seed",
    "shape",
    "motion",
  ),
  "task_names": None,
  "tokenize": ("video",),
}
_WORLD_MODEL = {
  "example": ("number", "split"),
  "from_run": ("workdir", "batch_size"),
  "max_speed": None,
  "rollout": ("clips", "actions", "past_actions", "seed"),
}


@pytest.mark.parametrize(
  "owner, names",
  [
    (api.Magvit, _MAGVIT),
    (experiment.Experiment, {"run": (), "overfit": ()}),
    (WorldModel, _WORLD_MODEL),
  ],
  ids=["Magvit", "Experiment", "WorldModel"],
)
def test_public_names_and_arguments(owner, names):
  found = {}
  for name in dir(owner):
    member = getattr(owner, name)
    if name.startswith("_"):
      continue
    found[name] = None
    if callable(member):
      arguments = inspect.signature(member).parameters
      found[name] = tuple(key for key in arguments if key != "self")
  assert found == names


def test_the_modules_have_what_documents_name():
  assert callable(api.pretrained)
  assert issubclass(errors.UserError, Exception)
  arguments = inspect.signature(experiment.Experiment).parameters
  assert tuple(arguments) == ("config", "workdir", "profile", "stop_after")


def test_the_wheel_has_all_packages():
  project = tomllib.loads((shrunk.ROOT / "pyproject.toml").read_text())
  patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
  packages = {
    ".".join(path.parent.relative_to(shrunk.ROOT).parts)
    for top in ("magvit3d", "data_gen", "configs", "launch")
    for path in (shrunk.ROOT / top).rglob("__init__.py")
  }
  assert {"magvit3d.evaluation.metres", "configs", "launch"} <= packages
  for name in packages:
    assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


def test_the_constraints_fit_all_that_is_asked_for():
  """If not: the head of the file says how it is written."""
  project = tomllib.loads((shrunk.ROOT / "pyproject.toml").read_text())[
    "project"
  ]
  extras = project["optional-dependencies"]
  wanted = [*project["dependencies"]]
  for extra in ("dev", "docs", "hub", "rerun", "slurm", "video"):
    wanted += extras[extra]
  text = (shrunk.ROOT / "launch" / "constraints.txt").read_text()
  pinned: dict[str, list[Requirement]] = {}
  for line in text.splitlines():
    if not line.startswith("#"):
      found = Requirement(line)
      pinned.setdefault(canonicalize_name(found.name), []).append(found)
  for requirement in map(Requirement, wanted):
    if requirement.name == "magvit3d":
      continue
    versions = [
      specifier.version
      for found in pinned[canonicalize_name(requirement.name)]
      for specifier in found.specifier
    ]
    assert versions, requirement
    for version in versions:
      assert requirement.specifier.contains(version), (requirement, version)


def test_a_folder_of_the_same_name_is_not_taken_for_the_package(tmp_path):
  """As a checkout is, seen from the folder that it lies in."""
  (tmp_path / "magvit3d" / "data").mkdir(parents=True)
  done = subprocess.run(
    [
      sys.executable,
      "-c",
      "import magvit3d.data.clips as m; print(m.__file__)",
    ],
    cwd=tmp_path,
    env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert tmp_path not in pathlib.Path(done.stdout.strip()).parents
