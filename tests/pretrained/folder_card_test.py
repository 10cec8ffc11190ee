"""The card in a folder of trained networks: what they are, how they scored."""

import json
import shutil

import pytest

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.pretrained import shipped


@pytest.fixture
def scored_run(trained_run, tmp_path):
  """With scores, which are those of a shipped model."""
  run = shutil.copytree(trained_run, tmp_path / "run")
  card = shipped.read_card("traj3d-tiny")
  scores = {**card, "tables": card["scores"]}
  (run / "evaluation").mkdir()
  (run / "evaluation" / "scores.json").write_text(json.dumps(scores))
  stages = json.loads((run / "stages.json").read_text())
  stages["evaluate"] = {"status": "done"}
  (run / "stages.json").write_text(json.dumps(stages))
  return run


def test_the_card_says_what_the_networks_are_and_how_they_scored(
  scored_run, tmp_path
):
  Magvit.from_run(scored_run).save_pretrained(tmp_path / "small")
  text = (tmp_path / "small" / "README.md").read_text()
  head, _, body = text.removeprefix("---\n").partition("---\n")
  assert head.startswith("library_name: magvit3d\ntags: [")
  assert "license" not in head
  assert "# small\n" in body and "Stored as float32." in body
  shown = shipped.ROOT / "traj3d-tiny" / "README.md"
  _, _, scores = shown.read_text().partition("## Scores of the run\n")
  scores, _, _ = scores.partition("\n## ")
  assert scores in body


def test_a_card_of_somebody_else_is_not_replaced(trained_run, tmp_path):
  magvit, copy = Magvit.from_run(trained_run), tmp_path / "copy"
  magvit.save_pretrained(copy)
  magvit.save_pretrained(copy)  # Our own is.
  (copy / "README.md").write_text("Mine.\n")
  with pytest.raises(UserError, match=r"holds README\.md: nothing was written"):
    magvit.save_pretrained(copy)
  assert (copy / "README.md").read_text() == "Mine.\n"


@pytest.mark.parametrize(
  ("file", "content"),
  [
    ("evaluation/scores.json", "{"),
    ("evaluation/scores.json", '{"tables": 3, "checks": [{"name": []}]}'),
    ("stages.json", '{"evaluate": {"status": "running"}}'),
    ("stages.json", "[]"),
  ],
)
def test_scores_that_cannot_be_of_the_networks_are_left_out(
  scored_run, tmp_path, file, content
):
  (scored_run / file).write_text(content)
  Magvit.from_run(scored_run).save_pretrained(tmp_path / "made")
  assert "None are known here" in (tmp_path / "made" / "README.md").read_text()
