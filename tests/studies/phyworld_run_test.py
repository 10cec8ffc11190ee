"""Whole runs of `configs/phyworld.py`, small: of splits, and of cues."""

import json

import pytest
import shrunk
import small_studies

from configs import phyworld
from magvit3d.experiment import Experiment

_OF_SPLITS = {
  "data.cues": "",
  "data.num_ood_cues": 0,
  "data.num_ood_size": 6,
  "data.num_ood_size_speed": 6,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Work folder of a run; nobody writes into it but runs that are complete."""
  workdir = tmp_path_factory.mktemp("studies") / "phyworld"
  Experiment(_of_splits(), workdir).run()
  return workdir


def _of_splits():
  fields = {key.replace(".", "__"): v for key, v in _OF_SPLITS.items()}
  return small_studies.make_phyworld(**fields)


def _tables(workdir):
  scores = json.loads((workdir / "evaluation" / "scores.json").read_text())
  return scores, {table["title"]: table for table in scores["tables"]}


@pytest.mark.slow
def test_velocities_are_scored_by_split(run):
  scores, tables = _tables(run)
  table = tables["Velocity error"]
  assert [column["name"] for column in table["columns"]] == [
    "in distribution", "other radii", "other radii and speeds", "out over in",
  ]  # fmt: skip
  rows = {row["name"]: row["cells"] for row in table["rows"]}
  assert list(rows) == [
    "masked",
    "copy of the last given frame",
    "constant velocity, as found in the given frames",
    "floor: true frames through the tokenizer",
    "floor: true frames",
  ]
  assert rows["floor: true frames"][0]["value"] < 0.02
  assert rows["copy of the last given frame"][0]["value"] > 1
  assert len(tables["Discs that were not found"]["rows"]) == 4
  published = tables["Velocity error, as published"]
  assert [row["cells"][0] for row in published["rows"]] == [0.022, 0.012, 0.01]
  names = [check["name"] for check in scores["checks"]]
  assert names[1:] == [
    "masked: velocity error in distribution",
    "masked: velocity error out of distribution over that in it",
  ]
  page = (run / "report" / "index.html").read_text()
  assert "Velocity error by frame" in page
  assert "as published" in page


@pytest.mark.slow
def test_a_second_start_changes_nothing(run):
  experiment = Experiment(_of_splits(), run)
  assert shrunk.changed_by(experiment.run, run) <= {"config.json"}


@pytest.mark.slow  # Another run; `phyworld_scores_test` has the table.
def test_cues_are_scored(tmp_path):
  Experiment(small_studies.make_phyworld(), tmp_path / "run").run()
  _, tables = _tables(tmp_path / "run")
  table = tables["Cues: color against shape"]
  rows = {
    row["name"]: [cell["value"] for cell in row["cells"]]
    for row in table["rows"]
  }
  assert rows["floor: true frames"] == [0, 0, 1, 0]
  assert rows["copy of the last given frame"] == [0, 0, 1, 0]
  assert all(sum(cells) == pytest.approx(1) for cells in rows.values())


@pytest.mark.parametrize("variant", phyworld.VARIANTS)
def test_variants_are_of_their_laws(variant):
  config = phyworld.get_config(variant)
  assert config.data.preset == f"phyworld_{variant.removesuffix('_tiny')}"
  assert config.prediction.given_frames == 3


def test_other_variants_are_named():
  with pytest.raises(ValueError, match="has no variant 'tiny'; it has uniform"):
    phyworld.get_config("tiny")
