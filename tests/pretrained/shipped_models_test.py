"""Models that come with the package: scores, cards, names, damage, packing."""

import json
import pathlib
import shutil
import tomllib

import numpy as np
import pytest
import small_run

from configs import traj3d, traj3d_multiview
from magvit3d import api
from magvit3d.api import Magvit
from magvit3d.checkpoints import identity
from magvit3d.cli import console
from magvit3d.errors import UserError
from magvit3d.evaluation import evaluate
from magvit3d.evaluation.tables import Cell, Column, Row, Table
from magvit3d.exports import (
  demo_run,
  model_card,
  opened_models,
  ship,
  shipped_check,
  shipping,
)
from magvit3d.pretrained import shipped as shipped_models
from magvit3d.run.data import RunData

_NAMES = shipped_models.names()
_COMMAND = "python -m magvit3d.main --config=configs/traj3d.py:tiny"


@pytest.fixture(scope="module")
def scored_run(trained_run, tmp_path_factory):
  """The small run with scores, as the evaluate stage writes them."""
  folder = tmp_path_factory.mktemp("scored") / "run"
  small_run.without(trained_run, folder, "evaluation")
  trained = Magvit.from_run(folder).trained
  data = RunData(trained.config, folder)
  key = identity.evaluation_key(
    trained.config.given,
    data.cut(),
    data.splits(),
    trained.tokenizer_params,
    trained.transformer_params,
    evaluate.VERSION,
  )
  scores = {
    "key": key,
    "run": {
      "date": "2026-01-01T00:00:00+00:00",
      "code": {"commit": "c0ffee", "is_dirty": True},
      "parameters": {"tokenizer": 80_000, "transformer": 30_000},
    },
    "schema_version": 2,
    "tables": [
      Table(
        title,
        "",
        "test",
        4,
        (Column("ADE", "m", "lower"),),
        (
          Row.of("predicted", "model", [Cell(0.1234, 0.1111, 0.1357)]),
          Row.of("copy last", "baseline", [None]),
        ),
      ).to_json()
      for title in ("Predicted paths", "Use of the codebook")
    ],
    "checks": [
      {
        "name": "ADE through the tokenizer",
        "value": 0.25,
        "threshold": 0.035,
        "comparison": "<=",
        "passed": False,
        "unit": "m",
      }
    ],
  }
  (folder / "evaluation").mkdir()
  (folder / "evaluation" / "scores.json").write_text(json.dumps(scores))
  return folder


@pytest.fixture(scope="module")
def packed(scored_run, tmp_path_factory):
  """A folder with one model, as magvit3d/pretrained is."""
  folder = tmp_path_factory.mktemp("pretrained")
  shipping.ship(scored_run, "small-one", folder)
  return folder


@pytest.fixture
def shipped(packed, tmp_path, monkeypatch):
  """A copy of it, in the place of magvit3d/pretrained."""
  folder = shutil.copytree(packed, tmp_path / "pretrained")
  monkeypatch.setattr(shipped_models, "ROOT", folder)
  return folder


def _check_scores(name):
  """Measures what the card of a model says, and compares."""
  check = shipped_models.read_card(name)["check"]
  assert check["num_scenes"] == shipped_check.NUM_SCENES == 24
  assert check["scores"].keys() == shipped_check.SCORES.keys()
  magvit = Magvit.from_pretrained(name, batch_size=shipped_check.BATCH_SIZE)
  found = shipped_check.measure(magvit)
  for key, value in check["scores"].items():
    np.testing.assert_allclose(
      found[key], value, rtol=0, atol=check["tolerances"][key], err_msg=key
    )


# The models that are there.


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=() if "tiny" in name else pytest.mark.slow)
    for name in _NAMES
  ],
)
def test_scores_of_new_scenes_are_those_of_the_card(name):
  _check_scores(name)


@pytest.mark.parametrize("name", _NAMES)
def test_what_a_card_says_is_small_and_the_same_for_people(name):
  card, folder = shipped_models.read_card(name), shipped_models.ROOT / name
  assert card["name"] == name and card["limits"] and card["licence"]
  assert card["commit"] and card["command"].startswith("python -m magvit3d")
  text = (folder / "README.md").read_text()
  assert text == model_card.to_markdown(card)
  assert "/tmp/" not in text and "/home/" not in text
  tolerance = card["check"]["tolerances"]["predicted_ade_m"]
  assert 0 < tolerance < 0.2 * card["check"]["scores"]["predicted_ade_m"]


def test_all_models_fit_the_limit_and_are_in_the_wheel():
  files = [p for p in shipped_models.ROOT.rglob("*") if p.is_file()]
  assert sum(path.stat().st_size for path in files) <= shipping.MAX_BYTES
  project = (pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text()
  packaged = tomllib.loads(project)["tool"]["setuptools"]["package-data"]
  for path in files:
    place = path.relative_to(shipped_models.ROOT)
    if len(place.parts) > 1 and place.parts[0] != "__pycache__":
      assert any(map(place.match, packaged["magvit3d.pretrained"])), place


def test_the_models_that_the_documents_name_are_there():
  assert {"traj3d-tiny", "traj3d-small"} <= set(_NAMES)


# Any models.


@pytest.mark.slow
def test_a_packed_model_has_the_scores_of_its_card(shipped):
  _check_scores("small-one")


@pytest.mark.slow
def test_other_parameters_have_other_scores_than_the_card(shipped):
  """So that the comparison can fail."""
  card = shipped / "small-one" / "card.json"
  content = json.loads(card.read_text())
  content["check"]["scores"]["tokenizer_ade_m"] += 0.001
  card.write_text(json.dumps(content))
  with pytest.raises(AssertionError, match="tokenizer_ade_m"):
    _check_scores("small-one")


def test_names_open_models_and_are_listed(shipped, monkeypatch):
  assert list(api.pretrained()) == ["small-one"]
  line = api.pretrained()["small-one"]
  assert "8 frames of 24 px" in line and "0.1 million" in line
  assert "\n" not in line
  found = Magvit.from_pretrained("small-one").trained
  assert found.clip_shape == (8, 24, 24, 3)
  opened = opened_models.open_model(pathlib.Path("small-one"))
  assert opened.trained.steps == found.steps
  # As its own folder.
  monkeypatch.chdir(shipped)
  assert opened_models.open_model(pathlib.Path("./small-one")).class_names
  with pytest.raises(UserError, match=r"'large-one' is no folder.*small-one"):
    Magvit.from_pretrained("large-one")


def test_the_demo_says_what_a_shipped_model_is(shipped):
  lead = demo_run._lead(pathlib.Path("small-one"), 1, 12)
  assert api.pretrained()["small-one"] in lead and "--seed=1" in lead
  demo_run.check(pathlib.Path("small-one"), 1)
  with pytest.raises(UserError, match=r"--model: 'no-one'.*small-one"):
    demo_run.check(pathlib.Path("no-one"), 1)


def test_a_damaged_file_is_named_with_the_remedy(shipped):
  folder = shipped / "small-one"
  (weights,) = folder.glob("*.safetensors")
  data = bytearray(weights.read_bytes())
  data[-1] ^= 1
  weights.write_bytes(data)
  with pytest.raises(UserError) as caught:
    Magvit.from_pretrained("small-one")
  for text in (str(weights), "damaged", "--force-reinstall", "git checkout"):
    assert text in str(caught.value)
  (folder / "card.json").write_text("{}")
  with pytest.raises(UserError, match=r"card\.json cannot be read.*reinstall"):
    api.pretrained()


# Packing.


def test_the_card_says_what_the_run_was(shipped, scored_run):
  card = shipped_models.read_card("small-one")
  assert card["steps"] == {"tokenizer": 6, "transformer": 6}
  assert card["data"]["image_size"] == 24 and card["data"]["num_train"] == 8
  assert card["command"].startswith(f"{_COMMAND} --config.data.image_size=24")
  assert "'(1, 2)'" in card["command"] and "stages" not in card["command"]
  assert [table["title"] for table in card["scores"]] == ["Predicted paths"]
  text = (shipped / "small-one" / "README.md").read_text()
  for wanted in (
    "c0ffee` with uncommitted changes",
    "0.1234 [0.1111, 0.1357]",
    "ADE through the tokenizer: 0.25, wanted <= 0.035 m",
    "misses 1",
  ):
    assert wanted in text
  assert str(scored_run) not in text
  config = json.loads((shipped / "small-one" / "config.json").read_text())
  assert config["format"] == 2  # float16.


def test_the_command_of_the_variant_itself_has_no_flags():
  config = traj3d.get_config("tiny").to_dict() | {"stages": "data"}
  assert model_card.training_command(config) == _COMMAND
  config = traj3d_multiview.get_config("tiny").to_dict()
  config["data"] = config["data"] | {"data_dir": "/somewhere", "seed": 3}
  assert model_card.training_command(config) == (
    "python -m magvit3d.main --config=configs/traj3d_multiview.py:tiny "
    "--config.data.seed=3"
  )
  config["experiment_name"] = "mine"
  assert model_card.training_command(config) is None


def _refused(run, folder, name, *texts, command=None):
  before = sorted(folder.rglob("*"))
  with pytest.raises(UserError) as caught:
    shipping.ship(run, name, folder, command)
  for text in texts:
    assert text in str(caught.value)
  assert sorted(folder.rglob("*")) == before


def test_what_cannot_be_packed_is_told_and_leaves_nothing(
  scored_run, trained_run, shipped, tmp_path, monkeypatch
):
  _refused(scored_run, shipped, "Small One", "--name=Small One")
  _refused(scored_run, shipped, "small-one", "exists already")
  _refused(trained_run, shipped, "other", "scores.json", "evaluates it anew")
  monkeypatch.setattr(shipping, "MAX_BYTES", 300_000)
  _refused(scored_run, shipped, "other", "more than the 300,000")
  changed = small_run.without(scored_run, tmp_path / "run", "evaluation")
  (changed / "evaluation").mkdir()
  content = json.loads((scored_run / "evaluation/scores.json").read_text())
  text = json.dumps(content | {"key": "other"})
  (changed / "evaluation" / "scores.json").write_text(text)
  _refused(changed, shipped, "other", "scores of other checkpoints")
  alone = small_run.without(scored_run, tmp_path / "alone", "transformer")
  _refused(alone, shipped, "other", "no transformer yet")


@pytest.mark.slow
def test_the_program_packs_in_one_command(
  scored_run, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(console, "set_up", lambda: None)
  status = ship.main(
    [
      f"--run={scored_run}",
      "--name=another",
      f"--output={tmp_path}",
      "--command=make another",
    ]
  )
  assert status == 0, capsys.readouterr().err
  card = json.loads((tmp_path / "another" / "card.json").read_text())
  assert card["command"] == "make another"
