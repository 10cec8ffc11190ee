"""A whole run of `configs/traj2d.py`, small: with a tokenizer of its own."""

import json
import shutil

import pytest
import shrunk
import small_studies

from magvit3d.errors import UserError
from magvit3d.experiment import Experiment

pytestmark = pytest.mark.slow  # Of the kind of `prediction_run_test`.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Work folder of a run; nobody writes into it but runs that are complete."""
  workdir = tmp_path_factory.mktemp("studies") / "traj2d"
  Experiment(small_studies.make_traj2d(), workdir).run()
  return workdir


def test_it_trains_its_tokenizer_first(run):
  stages = json.loads((run / "stages.json").read_text())
  names = ["tokenizer", "masked", "autoregressive"]
  assert list(stages) == ["data", *names, "evaluate", "report"]
  assert {entry["status"] for entry in stages.values()} == {"done"}


def test_clips_of_a_class_stand_between_chance_and_real_ones(run):
  scores = json.loads((run / "evaluation" / "scores.json").read_text())
  tables = {table["title"]: table for table in scores["tables"]}
  table = tables["Clips of a class"]
  assert [c["name"] for c in table["columns"]] == ["n", "shape", "motion"]
  rows = {row["name"]: row for row in table["rows"]}
  assert list(rows) == [
    "masked", "autoregressive", "codes drawn at random",
    "floor: real, held out",
  ]  # fmt: skip
  assert all(row["cells"][0] == 12 for row in rows.values())
  of_pixels = tables["Ways of predicting"]
  columns = [column["name"] for column in of_pixels["columns"]]
  # One camera tells no metres.
  assert "mask IoU" in columns and "ADE" not in columns
  parameters = [
    row["cells"][columns.index("parameters")] for row in of_pixels["rows"][:2]
  ]
  assert parameters[0] == pytest.approx(parameters[1], rel=0.25)
  (other,) = (t for t in scores["tables"] if t["title"].startswith("In and"))
  assert [column["name"] for column in other["columns"]] == [
    "test: foreground", "ood_speed: foreground",
  ]  # fmt: skip
  page = (run / "report" / "index.html").read_text()
  assert "Clips of a class" in page and "autoregressive</span>" in page
  assert "is no stage" not in page and "Not there yet" not in page


def test_a_second_start_changes_nothing(run):
  experiment = Experiment(small_studies.make_traj2d(), run)
  assert shrunk.changed_by(experiment.run, run) <= {"config.json"}


@pytest.mark.parametrize("is_there", [True, False])
def test_predictors_do_not_stay_with_another_tokenizer(run, is_there, tmp_path):
  """What was read of the one before is not kept beside it."""
  workdir = shutil.copytree(run, tmp_path / "run")
  if not is_there:
    shutil.rmtree(workdir / "tokenizer")
  config = small_studies.make_traj2d(
    train_tokenizer__num_steps=5, stages="tokenizer,masked"
  )
  with pytest.raises(UserError, match=r"masked.*tokenizer\.fingerprint"):
    Experiment(config, workdir).run()
  assert (workdir / "tokenizer" / "checkpoints" / "5").is_dir()


def test_a_missing_tokenizer_is_told_with_the_chosen_stages(run, tmp_path):
  workdir = shutil.copytree(run, tmp_path / "run")
  shutil.rmtree(workdir / "tokenizer")
  config = small_studies.make_traj2d(stages="data,masked")
  with pytest.raises(UserError, match=r"config\.stages='data,masked'"):
    Experiment(config, workdir).run()


def test_the_gate_stops_what_shows_no_object(run):
  config = small_studies.make_traj2d(
    oracle_gate=True, train_prediction__num_steps=6
  )
  with pytest.raises(UserError, match="Oracle gate"):
    Experiment(config | {"stages": "masked"}, run).run()
