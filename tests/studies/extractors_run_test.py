"""A whole run of `configs/extractors.py`, small."""

import json
import shutil

import jax
import numpy as np
import pytest
import shrunk
import small_studies

from data_gen.records.scene_source import SceneSource
from magvit3d import compare
from magvit3d.api import Magvit
from magvit3d.checkpoints import identity
from magvit3d.checkpoints.orbax import ocp
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.run.data import RunData
from magvit3d.studies.extractors.extractor_stages import ExtractorScenes
from magvit3d.studies.extractors.motion_scenes import MotionScenes
from magvit3d.training.loop import Interrupted


@pytest.fixture(scope="module")
def read_splits():
  """Which split was opened in which stage, in their order."""
  return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, read_splits):
  """Work folder of a run; nobody writes into it but runs that are complete."""
  workdir = tmp_path_factory.mktemp("studies") / "extractors"
  experiment = Experiment(small_studies.make_extractors(), workdir)
  clips = RunData.clips

  def told(self, split):
    stages = json.loads((workdir / "stages.json").read_text())
    running = [n for n, e in stages.items() if e["status"] == "running"]
    read_splits.append((running[0] if running else None, split))
    return clips(self, split)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(RunData, "clips", told)
    experiment.run()
  return workdir


def _scores(run):
  return json.loads((run / "evaluation" / "scores.json").read_text())


def test_stages_are_done_and_the_report_is_whole(run):
  stages = json.loads((run / "stages.json").read_text())
  assert list(stages) == ["data", "frames", "magvit", "evaluate", "report"]
  assert {entry["status"] for entry in stages.values()} == {"done"}
  page = (run / "report" / "index.html").read_text()
  for words in (
    "Motion from the first 8 frames, all cameras",
    "Motion by magvit",
    "Position from the first 8 frames",
    "constant velocity",
    "What they take",
    "<h3>Magvit</h3>",
  ):
    assert words in page
  assert "Reconstruction" not in page  # Of what a study lacks.


def test_the_test_split_is_read_once_all_are_trained(run, read_splits):
  of_test = {stage for stage, split in read_splits if split == "test"}
  assert of_test == {"evaluate"}
  assert ("frames", "train") in read_splits
  assert ("magvit", "validation") in read_splits


def test_numbers_stand_beside_baselines(run):
  tables = {table["title"]: table for table in _scores(run)["tables"]}
  rows = {
    row["name"]: row
    for row in tables["Position from the first 8 frames"]["rows"]
  }
  assert [row["role"] for row in rows.values()] == ["model"] * 2 + [
    "baseline"
  ] * 3
  assert set(rows) > {"last position", "mean position", "constant velocity"}
  classes = tables["Motion from the first 8 frames, all cameras"]["rows"]
  # Twelve scenes, stratified: each of four motions is a quarter.
  assert classes[-1]["cells"][0] == pytest.approx(0.25)
  confusion = _scores(run)["confusions"][0]
  assert np.sum(confusion["counts"], axis=1).tolist() == [3, 3, 3, 3]
  costs = tables["What they take"]["rows"]
  assert all(row["cells"][0] > 1000 and row["cells"][2] > 0 for row in costs)


def test_a_second_start_changes_nothing(run):
  experiment = Experiment(small_studies.make_extractors(), run)
  assert shrunk.changed_by(experiment.run, run) <= {"config.json"}


def test_another_network_is_trained_beside_those_there_are(run, tmp_path):
  """Names may change; what is trained stays."""
  config = small_studies.make_extractors(extractors__names="magvit")
  before = shrunk.read_times(run / "magvit")
  Experiment(config | {"stages": "magvit"}, run).run()
  assert shrunk.read_times(run / "magvit") == before


def test_other_fields_of_a_trained_network_are_refused(run):
  config = small_studies.make_extractors(extractors__width=12)
  before = shrunk.read_times(run)
  with pytest.raises(UserError, match=r"width"):
    Experiment(config, run).run()
  assert shrunk.read_times(run) == before  # It is told before any stage.


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bits(run, tmp_path):
  config = small_studies.make_extractors(
    extractors__names="magvit",
    data__data_dir=str(run / "data"),
    stages="magvit",
  )
  with pytest.raises(Interrupted):
    Experiment(config, tmp_path, stop_after=("magvit", 3)).run()
  Experiment(config, tmp_path).run()
  found = [_params(folder) for folder in (run, tmp_path)]
  assert jax.tree.leaves(found[0])
  assert identity.fingerprint(found[0]) == identity.fingerprint(found[1])


def _params(workdir):
  folder = workdir / "magvit" / "checkpoints" / str(small_studies.NUM_STEPS)
  with ocp.StandardCheckpointer() as reader:
    return reader.restore(folder / "state")["params"]


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"extractors__names": "frames,i4d"}, r"extractors\.names.*i4d is no"),
    ({"extractors__given_frames": 12}, r"given_frames=12.*no frame at t\+5"),
    (
      {"extractors__given_frames": 6},
      r"config\.extractors\.given_frames=6 is not a mul",
    ),
    ({"extractors__pooling": "max"}, r"extractors\.pooling='max' is unknown"),
    ({"extractors__num_heads": 3}, r"num_heads=3 must divide features\.frames"),
    ({"extractors__features__magvit": 9}, r"must divide features\.magvit=9"),
    (
      {"extractors__slowfast_blocks": (1, 1), "extractors__names": "slowfast"},
      r"slowfast_blocks=\(1, 1\) must be four numbers",
    ),
    (
      {"extractors__given_frames": 6, "extractors__names": "slowfast"},
      r"given_frames=6 must be a multiple of 4 for slowfast",
    ),
    ({"extractors__width": 0}, r"extractors\.width=0 must be 1 or more"),
    ({"extractors__num_heads": 0}, r"num_heads=0 must be 1 or more"),
    ({"extractors__dropout_rate": 1.0}, r"dropout_rate=1\.0 must be at least"),
    ({"data__image_size": 48}, r"trained on frames of 32 px"),
    ({"pretrained": "traj3d-huge"}, "'traj3d-huge' is no folder"),
    ({"pretrained": None}, r"config\.pretrained is missing"),
    ({"data__num_test": 0}, r"extractors\.split='test', but"),
    (
      {"stages": "tokenizer"},
      "the stages are data,frames,i3d,slowfast,magvit,eval",
    ),
    (
      {"stages": "i3d"},
      r"stages='i3d': nothing is no stage",
    ),
    ({"train_extractors": None}, r"config\.train_extractors is missing"),
    (
      {"train_extractors__batch_size": 3},
      r"train_extractors\.batch_size=3 must be a multiple of twice grad",
    ),
  ],
)
def test_wrong_fields_are_named(fields, named, tmp_path):
  config = small_studies.make_extractors(
    **{k: v for k, v in fields.items() if v is not None}
  )
  config |= {k: v for k, v in fields.items() if v is None}
  with pytest.raises(UserError, match=named):
    Experiment(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_scenes_show_their_first_frames_alone(run):
  source = SceneSource(run / "data", "test")
  scene = MotionScenes(source, 8)[2]
  whole = source.scene(2)
  np.testing.assert_array_equal(scene["seen"], whole["frames"][:, :8])
  np.testing.assert_array_equal(scene["positions"], whole["trajectory"])
  assert scene["motion"] == whole["motion"]
  tokens = np.arange(12).reshape(12, 1, 1, 1, 1)
  assert MotionScenes(source, 8, tokens)[1]["seen"] == 1


def test_paths_in_a_plane_have_a_spread_too():
  scenes = ExtractorScenes.__new__(ExtractorScenes)
  paths = np.random.default_rng(0).normal(size=(4, 3, 3)).astype(np.float32)
  paths[..., 2] = 0.0
  scenes.training_positions = paths
  mean, deviation = scenes.spread
  scaled = (paths - mean) / deviation
  # Of float32: eps times the root of twelve numbers, and some.
  np.testing.assert_allclose(scaled.std((0, 1)), [1, 1, 0], atol=1e-6)


def test_shuffled_motions_are_others_motions(run):
  source = SceneSource(run / "data", "test")
  shuffled = [MotionScenes(source, 8, seed=seed) for seed in range(5)]
  true = MotionScenes(source, 8).motions
  for scenes in shuffled:
    assert np.bincount(scenes.motions).tolist() == [3] * 4
    # Three scenes of each motion have three different ones.
    assert all(len(set(scenes.motions[true == k])) == 3 for k in range(4))
  assert len({tuple(s.motions) for s in shuffled}) == 5
  assert len({repr(s) for s in shuffled}) == 5


def test_what_is_for_other_runs_says_so(run):
  with pytest.raises(UserError, match="--overfit_one_batch is for tokenizer"):
    Experiment(small_studies.make_extractors(), run).overfit()
  with pytest.raises(UserError, match=r"is a study \(extractors\)"):
    Magvit.from_run(run)


def test_two_runs_are_compared(run, tmp_path):
  folder = tmp_path / "second"
  shutil.copytree(run, folder)
  page = tmp_path / "compared.html"
  assert compare.main([str(run), str(folder), f"--output={page}"]) == 0
  assert "Motion from the first 8 frames" in page.read_text()
