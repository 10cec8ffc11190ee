"""Tables of probes and samples: of the right scenes, and honest of memory."""

import dataclasses

import chex
import numpy as np
import pytest
import small_outputs
import table_values

from magvit3d.evaluation import checks
from magvit3d.evaluation.probing import probes, samples
from magvit3d.evaluation.results import Results
from magvit3d.run import training_stages


@pytest.fixture(scope="module")
def made(trained_run):
  """The run's outputs, scenes to fit on, and the splits in reading order."""
  outputs, run = small_outputs.make(trained_run)
  asked = []

  def clips_of(split):
    asked.append(split)
    return run.data.scene_clips(split, None)

  scenes = probes.read_scenes(outputs, clips_of)
  return outputs, scenes, run.data.scene_clips("test", None), asked


@pytest.fixture(scope="module")
def drawn(made):
  return samples.draw(made[0])


def _rows(results, title):
  table = table_values.find(results.tables, title)
  headings = table_values.headings(table)
  return table, {
    name: dict(zip(headings, values, strict=True))
    for name, values in table_values.rows(table).items()
  }


def test_probes_are_fitted_without_the_test_split(made):
  _, scenes, _, asked = made
  assert asked == ["train", "validation"]
  assert len(scenes.train.labels) == 8 and len(scenes.validation.labels) == 4
  # Features of fewer: of these.
  assert set(scenes.train.whole) == {"tokens", "pixels"}
  assert set(scenes.train_features.whole) == {"transformer"}
  assert len(scenes.train_features.labels) == 6


def test_probes_answer_for_held_out_scenes_beside_baselines(made):
  outputs, scenes, test, _ = made
  results = Results("test", has_objects=True)
  probes.score(outputs, results, scenes, test)
  table, rows = _rows(results, "Probes: classes")
  kinds = ("tokens", "transformer's features", "pixels")
  assert set(rows) == {
    *kinds,
    "most frequent answer",
  }
  labels = outputs.held_out.samples["labels"]
  assert table.n == len(labels) == 4
  shape = np.bincount(scenes.train.labels // 4, minlength=3).argmax()
  assert rows["most frequent answer"]["shape"] == np.mean(labels // 4 == shape)
  table, rows = _rows(results, "Probes: position")
  assert set(table_values.baselines(table)) == {
    "pixels",
    "constant velocity",
    "last position",
    "mean position",
  }
  # Four frames of eight are given: there is no t+5.
  assert set(rows["mean position"]) == {"t, m", "t+1, m"}
  paths = outputs.held_out.samples["trajectory"]
  moved = np.linalg.norm(paths[:, 4] - paths[:, 3], axis=1).mean()
  assert rows["last position"]["t+1, m"] == pytest.approx(moved)
  assert rows["last position"]["t, m"] is None
  matrices = results.confusions
  assert len(matrices) == 2 * len(kinds)
  for matrix in matrices:
    truth = labels // 4 if "Shape" in matrix["title"] else labels % 4
    assert (
      np.sum(matrix["counts"], axis=1).tolist()
      == np.bincount(truth, minlength=len(matrix["names"])).tolist()
    )


def test_the_best_probe_and_baselines_are_noted_for_the_checks(made):
  outputs, scenes, test, _ = made
  results = Results("test", has_objects=True)
  probes.score(outputs, results, scenes, test)
  _, rows = _rows(results, "Probes: classes")
  best = max(
    row["motion"]
    for name, row in rows.items()
    if name.startswith(("tok", "tr"))
  )
  assert results.measured["probe_motion_accuracy"] == best
  _, rows = _rows(results, "Probes: position")
  at = {name: row["t+1, m"] for name, row in rows.items()}
  expected = {
    "best": min(v for k, v in at.items() if k.startswith(("tok", "tra"))),
    "pixels": at["pixels"],
    "constant velocity": at["constant velocity"],
  }
  for reader, distance in expected.items():
    assert results.measured[checks.probe_key("t+1", reader)] == distance
    assert checks.probe_key("t+5", reader) not in results.measured


@pytest.mark.slow
def test_tokens_that_are_kept_are_read_as_those_made_anew(made, trained_run):
  _, scenes, _, _ = made
  outputs, run = small_outputs.make(trained_run)
  kept = training_stages.cached_tokens(
    run, outputs.model, outputs.tokenizer_params
  )
  assert len(kept) == 3 * 8
  asked = []

  def tokenize(params, samples, tokenize=outputs.tokenize):
    asked.append(len(samples["frames"]))
    return tokenize(params, samples)

  outputs.tokenize = tokenize
  again = probes.read_scenes(
    outputs, lambda split: run.data.scene_clips(split, None), kept
  )
  assert asked == [3 * 4]  # Validation.
  chex.assert_trees_all_equal(vars(again.train), vars(scenes.train))
  chex.assert_trees_all_equal(
    vars(again.train_features), vars(scenes.train_features)
  )
  # All eight training scenes are read, so that the samples are the same too.
  known, few = (samples.known_samples(scenes.train, t) for t in (kept, None))
  np.testing.assert_array_equal(known.grids, few.grids)
  np.testing.assert_array_equal(known.labels, few.labels)


@pytest.mark.slow
def test_probes_that_saw_the_split_say_so(made):
  outputs, scenes, test, _ = made
  for split, warns in (("test", False), ("validation", True)):
    results = Results(split, has_objects=True)
    probes.score(outputs, results, scenes, test)
    for table in results.tables:
      assert ("look better than they are" in table.note) == warns


def _score(made, drawn):
  outputs, scenes, test, _ = made
  results = Results("test", has_objects=True)
  known = samples.known_samples(scenes.train, None)
  samples.score(outputs, results, drawn, scenes, known, test)
  return _rows(results, "Samples of a class")


@pytest.mark.slow
def test_samples_that_repeat_training_data_show(made, drawn):
  _, scenes, _, _ = made
  table, rows = _score(made, drawn)
  assert rows["generated"]["n"] == len(drawn.labels) == 24
  copies = dataclasses.replace(drawn, grids=scenes.train.tokens[:24])
  _, repeated = _score(made, copies)
  assert repeated["generated"]["nearest"] == 0
  assert repeated["generated"]["memorised"] == 1
  real = "floor: real, held out"
  assert repeated[real] | {"n": 0} == rows[real] | {"n": 0}
  assert rows[real]["n"] == 12 and rows[real]["nearest"] > 0
  assert table_values.baselines(table) == ["codes drawn at random"]


def test_samples_that_are_all_alike_show(made, drawn):
  alike = dataclasses.replace(
    drawn, grids=np.repeat(drawn.grids[:1], len(drawn.grids), axis=0)
  )
  _, rows = _score(made, alike)
  assert rows["generated"]["variety"] == 0
  assert rows["floor: real, held out"]["variety"] > 0
