"""Tests of the scores by published networks, and of their command.

The networks are small ones; the real ones are compared with upstream's in
tests/parity.
"""

import hashlib
import json
import pathlib

import jax
import numpy as np
import pytest
import small_metric_networks
from PIL import Image
from scipy import stats

from magvit3d import video_metrics
from magvit3d.errors import UserError
from magvit3d.evaluation.published import metrics as scores
from magvit3d.evaluation.published.frechet_distance import frechet_distance
from magvit3d.evaluation.published.networks import MetricNetworks, WeightPaths
from magvit3d.models.published import lpips_weights, weight_files
from magvit3d.models.published.i3d import I3D
from magvit3d.models.published.lpips import Lpips
from magvit3d.parallel import sharding

_SHAPE = (16, 32, 32, 3)
_NUM_REAL, _NUM_GENERATED = 11, 6


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
  return small_metric_networks.write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def small_networks(monkeypatch):
  small_metric_networks.install(monkeypatch)


@pytest.fixture(scope="module")
def clips():
  rng = np.random.default_rng(0)

  def draw(count):
    noise = rng.integers(0, 60, (count, *_SHAPE))
    colour = rng.integers(0, 190, (count, 1, 1, 1, 3))
    return (noise + colour).astype(np.uint8)

  return draw(_NUM_REAL), draw(_NUM_GENERATED)


def _score(weights, real, generated, names=None, batch_size=4, **options):
  paths = WeightPaths(
    i3d=weights["i3d_weights"] if names is None or "i3d" in names else None,
    c3d=weights["c3d_weights"] if names is None or "c3d" in names else None,
    lpips=(
      [weights["lpips_weights"]] if names is None or "lpips" in names else None
    ),
    prefix="config.evaluation.",
    frames_field="config.input.num_frames",
  )
  networks = MetricNetworks(paths, batch_size, sharding.make_mesh())
  return scores.score(networks, real, generated, **options)


def _frozen(clips):
  return np.broadcast_to(clips[:, :1], clips.shape)


def _sha256(path):
  return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


@pytest.mark.usefixtures("small_networks")
def test_fvd_is_the_distance_of_the_networks_logits(weights, clips):
  real, generated = clips
  (entry,) = _score(weights, real, generated, ["i3d"])
  kernel = np.load(weights["i3d_weights"])["kernel"]

  def features(x):
    return x.mean((1, 2, 3)) / 255 @ kernel

  assert entry.metric == "fvd_i3d_k400"
  for found, sets in (
    (entry.value, (real, generated)),
    (entry.real, (real[::2], real[1::2])),
    (entry.copy_first, (real, _frozen(real))),
  ):
    expected = frechet_distance(*map(features, sets)).value
    # Features of order 1 in float32.
    assert found == pytest.approx(expected, abs=1e-6)
  assert entry.value > 1e-3 and entry.real > 1e-3
  assert (entry.num_real, entry.num_generated) == (11, 6)
  path = weights["i3d_weights"]
  assert entry.weights == {path: _sha256(path)}
  assert "its halves of 6 and 5 clips" in entry.note


@pytest.mark.usefixtures("small_networks")
def test_inception_score_is_of_the_generated_clips(weights, clips):
  real, generated = clips
  (entry,) = _score(weights, real, generated, ["c3d"], num_parts=2)

  def expected(x):
    logits = x[:, -1].mean((1, 2)) / 255 * 100
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.exp(np.mean([stats.entropy(row, p.mean(0)) for row in p]))

  parts = [expected(generated[::2]), expected(generated[1::2])]
  assert entry.metric == "inception_score_c3d_ucf101"
  # Logits of up to 100 in float32.
  assert entry.value == pytest.approx(np.mean(parts), rel=1e-4)
  assert entry.std == pytest.approx(np.std(parts), rel=1e-3)
  assert entry.real == pytest.approx(expected(real), rel=1e-4)
  assert entry.copy_first == pytest.approx(expected(_frozen(real)), rel=1e-4)


@pytest.mark.slow
def test_lpips_is_the_mean_over_frames_of_paired_clips(weights, clips):
  real, generated = clips
  order = [3, 0, 10, 2, 2, 5]
  (entry,) = _score(weights, real, generated, ["lpips"], real_of=order)
  _, params, _ = lpips_weights.load_lpips([weights["lpips_weights"]])
  run = jax.jit(Lpips("alexnet").apply)

  def expected(a, b):
    pairs = np.stack([a, b], 2).reshape(-1, 2, 32, 32, 3)
    found = run({"params": params}, pairs.astype(np.float32) / 255)
    return float(np.mean(found))

  assert entry.metric == "lpips_alexnet" and entry.real == 0
  assert entry.value == pytest.approx(
    expected(real[order], generated), rel=1e-5
  )
  assert entry.copy_first == pytest.approx(
    expected(real[order], _frozen(real[order])), rel=1e-5
  )
  assert entry.num_real == 6


@pytest.mark.usefixtures("small_networks")
@pytest.mark.slow
def test_scores_do_not_depend_on_the_batch_size(weights, clips):
  several, one = (
    _score(weights, *clips, real_of=range(6), batch_size=size)
    for size in (5, 7)  # 5 leaves a batch of one clip.
  )
  assert len(several) == 3
  for a, b in zip(several, one, strict=True):
    assert a.value == pytest.approx(b.value, rel=1e-4)
    assert a.metric == b.metric


@pytest.mark.usefixtures("small_networks")
def test_an_evaluation_gets_the_scores_whose_weights_it_has(weights, clips):
  real = clips[0][:_NUM_GENERATED]
  paths = WeightPaths(weights["i3d_weights"], lpips=weights["lpips_weights"])

  def score(paths, is_paired, real=real):
    return scores.score_clips(
      paths,
      real,
      clips[1],
      is_paired=is_paired,
      batch_size=4,
      mesh=sharding.make_mesh(),
    )

  rows = scores.table_rows(score(paths, True))
  assert [row[0] for row in rows] == ["fvd_i3d_k400", "lpips_alexnet"]
  assert all(len(row) == len(scores.COLUMNS) for row in rows)
  assert [e.metric for e in score(paths, False)] == ["fvd_i3d_k400"]
  assert score(WeightPaths(), True) == []
  with pytest.raises(ValueError, match=r"11 real and 6 generated .* no pairs"):
    score(paths, True, clips[0])


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize(
  ("names", "frames", "counts", "message"),
  [
    (["i3d"], 8, (9, 9), r"num_frames=8: I3D reads clips of 9 frames or more"),
    (["c3d"], 15, (9, 9), r"num_frames=15: C3D only reads clips of 16"),
    (["i3d"], 9, (3, 9), r"3 real clips.*\(config\.evaluation\.i3d_weights\)"),
    (["i3d"], 9, (4, 1), "1 generated clips"),
    (["c3d"], 16, (0, 1), "0 real and 1 generated"),
    (["c3d"], 16, (1, 0), "1 real and 0 generated"),
    (["lpips"], 1, (1, 1), r"20 x 40 pixels; LPIPS with alexnet needs 31"),
  ],
)
def test_clips_that_a_network_does_not_read_are_an_error(
  weights, names, frames, counts, message
):
  real, generated = (
    np.zeros((count, frames, 20, 40, 3), np.uint8) for count in counts
  )
  with pytest.raises(UserError, match=message):
    _score(weights, real, generated, names, real_of=[0])


@pytest.mark.usefixtures("small_networks")
def test_clips_of_different_shapes_and_unknown_pairs_are_errors(weights, clips):
  real, generated = clips
  with pytest.raises(UserError, match="need the same for both"):
    _score(weights, real[:, :12], generated)
  with pytest.raises(UserError, match="not known which that is"):
    _score(weights, real, generated, ["lpips"])
  with pytest.raises(UserError, match=r"6 generated clips .* 7 parts"):
    _score(weights, real, generated, ["c3d"], num_parts=7)


def _write(folder, clips, name="clip_{:02d}"):
  for i, clip in enumerate(clips):
    path = folder / name.format(i)
    path.mkdir(parents=True)
    for j, frame in enumerate(clip):
      Image.fromarray(frame).save(path / f"{j}.png")
  return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory, clips):
  folder = tmp_path_factory.mktemp("folders")
  return [
    _write(folder / name, x)
    for name, x in zip(("real", "generated"), clips, strict=True)
  ]


def _run(folders, output, *further):
  return video_metrics.main(
    [
      f"--real={folders[0]}",
      f"--generated={folders[1]}",
      f"--output={output}",
      *further,
    ]
  )


@pytest.mark.usefixtures("small_networks")
def test_the_command_writes_what_the_functions_say(
  weights, clips, folders, tmp_path, capsys
):
  output = tmp_path / "new" / "scores.json"
  flags = [f"--{name}={path}" for name, path in weights.items()]
  assert _run(folders, output, *flags, "--batch_size=3") == 0
  found = json.loads(output.read_text())
  expected = _score(weights, *clips, real_of=range(6))
  assert len(found["metrics"]) == len(expected) == 3
  for entry in expected:
    got = found["metrics"][entry.metric]
    assert got["value"] == pytest.approx(entry.value, rel=1e-4)
    assert got["real"] == pytest.approx(entry.real, rel=1e-4)
    assert got["copy_first"] == pytest.approx(entry.copy_first, rel=1e-4)
    assert got["weights"] == entry.weights
    assert got["num_generated"] == 6
  assert (found["n_real"], found["n_generated"]) == (11, 6)
  assert (found["num_frames"], found["image_size"]) == (16, 32)
  assert found["frame_stride"] == 1
  assert {"magvit3d", "commit", "jax"} <= found["code_version"].keys()
  text = capsys.readouterr().out
  assert "first frame repeated" in text and "lpips_alexnet" in text
  assert [path.name for path in output.parent.iterdir()] == ["scores.json"]


@pytest.mark.usefixtures("small_networks")
def test_equal_folders_are_at_distance_zero(weights, folders, tmp_path):
  output = tmp_path / "scores.json"
  flag = f"--i3d_weights={weights['i3d_weights']}"
  assert _run([folders[0]] * 2, output, flag) == 0
  entry = json.loads(output.read_text())["metrics"]["fvd_i3d_k400"]
  assert 0 <= entry["value"] < 1e-10 < entry["copy_first"]


@pytest.mark.usefixtures("small_networks")
@pytest.mark.parametrize(
  ("further", "message"),
  [
    (["--num_frames=8"], "--num_frames=8: I3D reads clips of 9"),
    (["--num_frames=12", "--c3d_weights={c3d}"], "--num_frames=12: C3D only"),
    (["--num_frames=17"], "clip_00 has 16 frames, but a clip of"),
    (["--frame_stride=0"], "--frame_stride=0 must be 1 or more"),
    (["--image_size=-1"], "--image_size=-1 must be 1 or more"),
    (["--lpips_weights", "a", "b", "c"], "--lpips_weights names 3 files"),
    (["--lpips_weights=gone.npz"], "gone.npz: there is no such file"),
    (["--i3d_weights={c3d}"], "does not hold I3D"),
    (["--real=gone"], "--real=gone is no folder"),
    (["--output=scores.csv"], "--output=scores.csv must end in .json"),
    (["--c3d_weights={c3d}", "--inception_parts=7"], "into 7 parts"),
    (
      ["--image_size=30", "--lpips_weights={lpips}"],
      "30 x 30 pixels; LPIPS with alexnet needs 31",
    ),
  ],
)
def test_wrong_flags_are_named_and_nothing_is_written(
  weights, folders, tmp_path, capsys, monkeypatch, further, message
):
  monkeypatch.chdir(tmp_path)
  paths = {name.split("_")[0]: path for name, path in weights.items()}
  further = [flag.format(**paths) for flag in further]
  flag = f"--i3d_weights={weights['i3d_weights']}"
  assert _run(folders, tmp_path / "scores.json", flag, *further) == 1
  error = capsys.readouterr().err
  assert message in error and "Traceback" not in error
  assert not list(tmp_path.iterdir())


def test_without_weights_there_is_no_number(folders, tmp_path, capsys):
  assert _run(folders, tmp_path / "scores.json") == 1
  error = capsys.readouterr().err
  assert "--i3d_weights" in error and "--lpips_weights" in error
  assert "A random network's distances mean nothing" in error
  assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_networks")
def test_too_few_clips_are_counted(weights, clips, folders, tmp_path, capsys):
  few = _write(tmp_path / "few", clips[0][:3])
  flag = f"--i3d_weights={weights['i3d_weights']}"
  output = tmp_path / "scores.json"
  assert _run([few, folders[1]], output, flag) == 1
  assert "There are 3 real clips" in capsys.readouterr().err
  assert _run([folders[0], _write(tmp_path / "one", clips[1][:1])], output,
              flag) == 1  # fmt: skip
  assert "There are 1 generated clips" in capsys.readouterr().err


@pytest.mark.slow
def test_lpips_pairs_by_name(weights, clips, folders, tmp_path, capsys):
  real, generated = clips
  swapped = tmp_path / "swapped"
  for number, clip in ((4, generated[0]), (1, generated[1])):
    _write(swapped, [clip], f"clip_{number:02d}")
  output = tmp_path / "scores.json"
  flag = f"--lpips_weights={weights['lpips_weights']}"
  assert _run([folders[0], swapped], output, flag) == 0
  (found,) = json.loads(output.read_text())["metrics"].values()
  (entry,) = _score(weights, real, generated[:2], ["lpips"], real_of=[4, 1])
  assert found["value"] == pytest.approx(entry.value, rel=1e-5)
  _write(swapped, generated[:1], "other")
  assert _run([folders[0], swapped], output, flag) == 1
  assert "--generated has other (and 0 more)" in capsys.readouterr().err


def test_lpips_pairs_have_the_same_length(weights, clips, tmp_path, capsys):
  folders = [
    _write(tmp_path / "real", clips[0][:2]),
    _write(tmp_path / "generated", clips[1][:2, :12]),
  ]
  flags = [f"--lpips_weights={weights['lpips_weights']}", "--num_frames=8"]
  assert _run(folders, tmp_path / "scores.json", *flags) == 1
  assert "clip_00 has 16 frames in --real and 12" in capsys.readouterr().err


@pytest.mark.usefixtures("small_networks")
def test_folders_of_different_sizes_need_a_common_one(
  weights, clips, folders, tmp_path, capsys
):
  small = _write(tmp_path / "small", clips[1][:, :, :16, :16])
  flag = f"--i3d_weights={weights['i3d_weights']}"
  output = tmp_path / "scores.json"
  assert _run([folders[0], small], output, flag) == 1
  assert "of 32 pixels, --generated of 16. Give" in capsys.readouterr().err
  assert _run([folders[0], small], output, flag, "--image_size=16") == 0
  assert json.loads(output.read_text())["image_size"] == 16


@pytest.mark.slow
def test_i3d_with_meaningless_random_weights_runs_through_the_command(
  folders, tmp_path
):
  """Only that all parts fit: a random network's distance means nothing."""
  shapes = weight_files.parameter_shapes(I3D(), (1, 9, 224, 224, 3))
  rng = np.random.default_rng(0)
  arrays = {}
  for leaf, shape in shapes.items():
    arrays["/".join(leaf)] = value = rng.standard_normal(shape, np.float32)
    if leaf[-1] == "kernel":
      value /= np.sqrt(np.prod(shape[:-1]) / 2)
    elif leaf[-1] == "moving_variance":
      value[:] = 1
    else:
      value /= 10
  np.savez(tmp_path / "random.npz", **arrays)
  output = tmp_path / "scores.json"
  assert _run([folders[1]] * 2, output, "--num_frames=9", "--batch_size=6",
              f"--i3d_weights={tmp_path / 'random.npz'}") == 0  # fmt: skip
  entry = json.loads(output.read_text())["metrics"]["fvd_i3d_k400"]
  assert 0 <= entry["value"] < 1e-4 * entry["copy_first"]
  assert "6 samples do not determine" in entry["note"]
