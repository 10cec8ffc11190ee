"""The command that scores clips: files in, files out, mistakes named."""

import csv
import json
import re
import shlex
import shutil

import imported_modules
import numpy as np
import pytest
import recorded
import shrunk
import small_scenes

from data_gen.records.scene_source import SceneSource
from magvit3d import score
from magvit3d.evaluation.metres import scene_scores

_GIVEN = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("scored") / "set"
  small_scenes.make(folder)
  return folder


@pytest.fixture(scope="module")
def source(data):
  return SceneSource(data, "train")


@pytest.fixture(scope="module")
def true_frames(source):
  return np.stack([source.scene(i, ["frames"])["frames"] for i in range(12)])


def _save(path, frames, ids=None):
  np.savez(path, scene_id=np.arange(len(frames)) if ids is None else ids,
           frames=frames)  # fmt: skip
  return path


def _run(data, videos, output, *further):
  return score.main(
    [
      f"--data={data}",
      "--split=train",
      f"--videos={videos}",
      f"--output={output}",
      *further,
    ]
  )


def _copy_last(frames):
  copied = frames.copy()
  copied[:, :, _GIVEN:] = frames[:, :, [_GIVEN - 1]]
  return copied


def test_copy_last_model_scores_exactly_as_the_baseline(
  data, true_frames, tmp_path, capsys
):
  videos = _save(tmp_path / "videos.npz", _copy_last(true_frames))
  output = tmp_path / "new" / "scores.json"
  further = (f"--given_frames={_GIVEN}", f"--reconstructions={videos}")
  assert _run(data, videos, output, *further) == 0
  found = json.loads(output.read_text())
  assert found["n"] == 12 and found["split"] == "train"
  assert found["scores"] == found["baselines"]["copy_last"]
  assert found["scores"] == found["floors"]["reconstructions"]
  for name in ("ade", "ade_raw", "fde", "residual_px", "failure_rate"):
    assert found[name] == found["scores"]["all"][name]["mean"]
  assert found["floors"]["true_frames"]["all"]["ade"]["mean"] < 0.03
  assert found["ade"] > 0.1
  assert set(found["baselines"]) == {
    "background_only",
    "copy_last",
    "constant_velocity",
  }
  assert found["scores"]["shape"].keys() == {"cube", "cylinder", "cone"}
  assert len(found["scores"]["motion"]) == 4
  assert "stood where it was found last" in found["notes"]["failures_in_ade"]
  with open(output.with_suffix(".csv"), newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == (1 + 3 + 4) * 6
  assert float(rows[0]["ade"]) == found["ade"]
  text = capsys.readouterr().out
  assert "all (n = 12)" in text and "constant_velocity (baseline)" in text
  assert sorted(p.name for p in output.parent.iterdir()) == [
    "scores.csv",
    "scores.json",
  ]


def test_some_scenes_in_any_order_are_scored_by_their_ids(
  data, true_frames, tmp_path
):
  ids = np.array([7, 2, 11])
  videos = _save(tmp_path / "videos.npz", true_frames[ids], ids)
  assert _run(data, videos, tmp_path / "scores.json") == 0
  found = json.loads((tmp_path / "scores.json").read_text())
  assert found["n"] == 3
  assert found["scores"]["all"]["psnr"]["mean"] == 100
  assert set(found["baselines"]) == {"background_only", "copy_first"}


def test_a_recording_shows_scenes_by_their_ids(data, true_frames, tmp_path):
  ids = np.array([7, 2])
  videos = _save(tmp_path / "videos.npz", _copy_last(true_frames[ids]), ids)
  pytest.importorskip("rerun")
  output = tmp_path / "scores.json"
  assert _run(data, videos, output, "--format=rrd", "--given_frames=4") == 0
  found = recorded.rows(tmp_path / "scores.rrd", tmp_path)
  for scene in ids:
    for kind in ("true", "predicted"):
      place = f"/scene_{scene}/position/{kind}@Points3D:positions"
      assert found[place] == true_frames.shape[2]
      place = f"/scene_{scene}/camera_1/{kind}@EncodedImage:blob"
      assert found[place] == true_frames.shape[2]


@pytest.mark.parametrize(
  ("further", "message"),
  [
    (["--given_frames=8"], "--given_frames=8 leaves nothing to score"),
    (["--given_frames=-1"], "Use 0 to 7"),
    (["--split=test"], "scene_id 0 is no scene of --split=test"),
    (["--split=all"], "has no split 'all'"),
    (["--seed=-1"], "--seed=-1 is negative"),
    (["--data=nowhere"], "nowhere"),
    (["--output=scores.csv"], "must end in .json"),
    (["--reconstructions=none.npz"], "--reconstructions=none.npz is not there"),
  ],
)
def test_wrong_flags_are_named_and_nothing_is_written(
  data, true_frames, tmp_path, capsys, further, message
):
  videos = _save(tmp_path / "videos.npz", true_frames[:2])
  assert _run(data, videos, tmp_path / "scores.json", *further) == 1
  error = capsys.readouterr().err
  assert message in error and "Traceback" not in error
  assert [p.name for p in tmp_path.iterdir()] == ["videos.npz"]


@pytest.mark.parametrize(
  ("frames", "ids", "message"),
  [
    (slice(0, 2), [0, 12], "scene_id 12 is no scene of --split=train"),
    (slice(0, 2), [99, 12], "nor are 1 more"),
    (np.s_[:2, :2], [0, 1], "expected (2, 3, 8, 32, 32, 3)"),
    (np.s_[:2, :, :7], [0, 1], "shape (2, 3, 7, 32, 32, 3)"),
  ],
)
def test_videos_of_other_scenes_are_named(
  data, true_frames, tmp_path, capsys, frames, ids, message
):
  videos = _save(tmp_path / "v.npz", true_frames[frames], np.array(ids))
  assert _run(data, videos, tmp_path / "scores.json") == 1
  assert message in capsys.readouterr().err


def test_reconstructions_of_other_scenes_are_named(
  data, true_frames, tmp_path, capsys
):
  videos = _save(tmp_path / "v.npz", true_frames[:2])
  others = _save(tmp_path / "r.npz", true_frames[:2], np.array([1, 0]))
  further = f"--reconstructions={others}"
  assert _run(data, videos, tmp_path / "scores.json", further) == 1
  assert "--reconstructions has" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_clutter": 1}, "several objects"),
    ({"preset": "traj2d", "size_min": 0.8}, "one camera"),
  ],
)
def test_data_that_cannot_be_scored_are_named(
  tmp_path, capsys, options, message
):
  small_scenes.make(tmp_path / "data", **options)
  videos = _save(tmp_path / "v.npz", np.zeros((1, 3, 8, 32, 32, 3), np.uint8))
  assert _run(tmp_path / "data", videos, tmp_path / "scores.json") == 1
  assert message in capsys.readouterr().err


def test_footage_is_refused(data, true_frames, tmp_path, capsys):
  """Its manifest has no shapes."""
  copy = tmp_path / "footage"
  shutil.copytree(data, copy)
  manifest = json.loads((copy / "manifest.json").read_text())
  manifest["shape_names"] = []
  (copy / "manifest.json").write_text(json.dumps(manifest))
  videos = _save(tmp_path / "v.npz", true_frames[:1])
  assert _run(copy, videos, tmp_path / "scores.json") == 1
  assert "footage" in capsys.readouterr().err


def test_output_that_cannot_be_written_is_named_before_the_work(
  data, true_frames, tmp_path, capsys
):
  videos = _save(tmp_path / "v.npz", true_frames[:1])
  assert _run(data, videos, videos / "scores.json") == 1
  assert "cannot be written" in capsys.readouterr().err
  (tmp_path / "scores.csv").mkdir()
  assert _run(data, videos, tmp_path / "scores.json") == 1
  assert "scores.csv is a folder" in capsys.readouterr().err


def test_missing_flags_are_named(capsys):
  with pytest.raises(SystemExit) as caught:
    score.main(["--data=x"])
  assert caught.value.code == 2
  assert "--videos" in capsys.readouterr().err


def test_document_works(tmp_path, monkeypatch, capsys):
  """But for what needs a trained run."""
  monkeypatch.chdir(tmp_path)
  source = small_scenes.make(
    "data/traj3d", num_train=0, num_test=2, num_frames=16, split="test"
  )
  frames = np.stack([source.scene(i)["frames"] for i in range(2)])
  ids = [source.scene(i)["scene_id"] for i in range(2)]
  _save("predicted.npz", frames, np.array(ids))
  text = (shrunk.ROOT / "docs" / "scores.md").read_text()
  (command,) = re.findall(r"```sh\n(.*?)```", text, re.S)
  arguments = shlex.split(command.replace("\\\n", ""))[3:]
  assert score.main(arguments) == 0, capsys.readouterr().err
  found = json.loads((tmp_path / "scores.json").read_text())
  assert found["n"] == 2 and found["given_frames"] == 8
  for key in scene_scores.METRICS:
    assert f"`{key}`" in text and key in found["scores"]["all"]
  programs = re.findall(r"```python\n(.*?)```", text, re.S)
  (program,) = [part for part in programs if "Magvit" not in part]
  names = {}
  exec(program, names)
  assert names["found"].positions.shape == (16, 3)


def test_command_needs_neither_jax_nor_tensorflow(data, true_frames, tmp_path):
  videos = _save(tmp_path / "v.npz", true_frames[:1])
  flags = [
    f"--data={data}",
    "--split=train",
    f"--videos={videos}",
    f"--output={tmp_path / 's.json'}",
  ]
  program = f"from magvit3d import score\nassert score.main({flags}) == 0"
  _, imported = imported_modules.after(program, {"jax", "tensorflow"})
  assert not imported
