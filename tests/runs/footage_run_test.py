"""A whole run trains on footage without masks."""

import json
import logging

import pytest
import shrunk
import small_footage

from data_gen.import_videos import import_videos
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment

pytest.importorskip("av")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Footage without masks and tracks."""
  folder = tmp_path_factory.mktemp("footage")
  content = small_footage.write_footage(folder, with_masks=False, num_frames=16)
  for recording, name in zip(
    content["recordings"], ("roll", "throw", "roll"), strict=True
  ):
    recording["class"] = name
    del recording["track"]
  small_footage.write_json(folder, content)
  options = small_footage.make_options(
    folder, folder / "data", num_frames=8, image_size=24
  )
  import_videos(options, lambda line: None)
  return folder / "data"


@pytest.mark.slow
def test_footage_without_masks_trains_to_the_report(data_dir, tmp_path, caplog):
  config = shrunk.make_config(
    data__data_dir=str(data_dir),
    input__sample="scene",
    tokenizer_cache=False,
    train_tokenizer__batch_size=3,
    train_transformer__batch_size=3,
    oracle_gate=True,
  )
  with caplog.at_level(logging.WARNING):
    Experiment(config, tmp_path / "run").run()
  assert "Oracle gate passed over: none of 3 validation clips" in caplog.text
  scores = json.loads((tmp_path / "run/evaluation/scores.json").read_text())
  assert not any(check["passed"] for check in scores["checks"])
  for stage in ("tokenizer", "transformer"):
    metrics = (tmp_path / f"run/{stage}/metrics.jsonl").read_text()
    assert "validation" in metrics and "null" not in metrics
    assert "foreground" not in metrics
  assert (tmp_path / "run/report/index.html").exists()


def test_footage_of_another_size_is_refused(data_dir, tmp_path):
  config = shrunk.make_config(data__data_dir=str(data_dir), data__image_size=32)
  with pytest.raises(UserError, match=r"image_size=32, but .* has 24"):
    Experiment(config, tmp_path / "run").run()
