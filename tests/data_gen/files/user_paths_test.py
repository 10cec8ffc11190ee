"""A tilde is the home folder in every path that a user can name."""

import argparse
import dataclasses
import json
import pathlib
import types
import typing

import pytest
import shrunk
from small_data_sets import make_options

from data_gen import preview, verify
from data_gen.errors import DataError
from data_gen.files import user_paths
from data_gen.files.json_fields import JsonField
from data_gen.footage.footage import FootageOptions
from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.options import DatasetOptions
from magvit3d.config.reading import UserPath, UserPaths
from magvit3d.config.run import RunConfig, Sections
from magvit3d.data.videos.labelled_files import find_files
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment


@pytest.fixture
def home(tmp_path, monkeypatch):
  """A home that is not the folder where a program runs."""
  (tmp_path / "home").mkdir()
  (tmp_path / "elsewhere").mkdir()
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  monkeypatch.chdir(tmp_path / "elsewhere")
  yield tmp_path / "home"
  assert not list(pathlib.Path().iterdir())


def test_only_a_leading_tilde_is_the_home(home):
  assert user_paths.read("~/a b/c") == home / "a b/c"
  assert user_paths.read("~") == home
  for text in ("a/~/b", "a~", "gs://bucket/~/x", "/x", ""):
    assert user_paths.expanded(text) == text
  assert user_paths.expanded(pathlib.Path("~/x")) == str(home / "x")


def test_an_unknown_user_is_an_error_and_no_folder(home):
  with pytest.raises(DataError, match=r"~no-such-user/x: the home folder"):
    user_paths.read("~no-such-user/x")
  with pytest.raises(argparse.ArgumentTypeError, match="~no-such-user"):
    user_paths.argument("~no-such-user/x")
  with pytest.raises(ValueError, match="~no-such-user"):
    DatasetOptions(output_dir="~no-such-user/x")


def test_a_data_set_is_made_and_read_at_home(home):
  options = make_options("~/data", num_train=2, num_validation=1)
  manifest = generate(options, log=lambda line: None)
  assert manifest == home / "data/manifest.json"
  assert len(SceneSource("~/data", "train")) == 2
  verify.verify(user_paths.read("~/data"), log=lambda line: None)
  page = preview.preview_scene("~/data", "train", 0, "~/page.html")
  assert page == home / "page.html" and page.exists()


def test_footage_and_the_files_it_names_lie_at_home(home):
  options = FootageOptions(calibration="~/rig.json", output_dir="~/out")
  assert options.calibration == str(home / "rig.json")
  assert options.output_dir == str(home / "out")
  (home / "film.mkv").touch()
  field = JsonField("~/film.mkv", "recordings[0]", pathlib.Path("/x/rig.json"))
  assert field.file() == home / "film.mkv"


def test_folders_of_videos_lie_at_home(home):
  (home / "videos/train").mkdir(parents=True)
  (home / "videos/train/a.gif").touch()
  assert find_files("~/videos", "train", {".gif"}).paths == (
    home / "videos/train/a.gif",
  )


@pytest.mark.parametrize(
  ("section", "field"),
  [
    ("data", "data_dir"),
    ("vqgan", "perceptual_weights"),
    ("init_from", "checkpoint_path"),
    ("evaluation", "i3d_weights"),
    ("evaluation", "c3d_weights"),
    (None, "compilation_cache_dir"),
  ],
)
def test_paths_of_a_config_lie_at_home(home, section, field):
  document = shrunk.make_config()
  (document[section] if section else document)[field] = "~/there"
  config = RunConfig.from_dict(document)
  found = getattr(config, section) if section else config
  assert getattr(found, field) == str(home / "there")
  # What the user wrote stays, for config.json on another machine.
  assert config.document is document
  assert "~/there" in json.dumps(config.given)


def test_each_of_several_files_lies_at_home(home):
  document = shrunk.make_config(evaluation__lpips_weights="~/a.npz,~/b.npz")
  config = RunConfig.from_dict(document)
  assert config.evaluation.lpips_weights == f"{home / 'a.npz'},{home / 'b.npz'}"


def test_an_unknown_user_is_named_with_the_field(home):
  document = shrunk.make_config(data__data_dir="~no-such-user/x")
  with pytest.raises(UserError, match=r"config\.data\.data_dir=~no-such-user"):
    RunConfig.from_dict(document)


def test_a_work_folder_lies_at_home(home):
  Experiment(shrunk.make_config(stages="data"), pathlib.Path("~/runs/a"))
  assert (home / "runs/a").is_dir()


def _text_fields(cls, seen):
  """Fields of texts in a section and those in it."""
  if cls in seen:
    return
  seen.add(cls)
  for name, hint in typing.get_type_hints(cls, include_extras=True).items():
    kinds = (
      typing.get_args(hint)
      if typing.get_origin(hint) in (typing.Union, types.UnionType)
      else (hint, *typing.get_args(hint))
    )
    for kind in kinds:
      if dataclasses.is_dataclass(kind):
        yield from _text_fields(kind, seen)
      elif kind in (str, UserPath, UserPaths):
        yield cls.__name__, name, kind


def test_fields_that_are_called_like_paths_are_read_as_paths():
  found = list(_text_fields(Sections, set()))
  assert len(found) > 20
  # `pretrained` may also be a name.
  endings = ("_dir", "_path", "_weights", "_file", "_folder", "pretrained")
  for cls, name, kind in found:
    if (cls, name) != ("SceneDataConfig", "output_dir"):  # Of the run.
      assert (kind is not str) == name.endswith(endings), (cls, name)


def test_nobody_else_expands_a_tilde():
  found = [
    path.relative_to(shrunk.ROOT).as_posix()
    for folder in ("magvit3d", "data_gen", "benchmarks", "configs")
    for path in (shrunk.ROOT / folder).rglob("*.py")
    if "expanduser" in path.read_text()
  ]
  assert found == ["data_gen/files/user_paths.py"]
