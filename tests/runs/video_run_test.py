"""Upstream's kinds of runs, shrunk, one after the other on rendered scenes."""

import copy
import importlib
import json
import shutil

import chex
import jax
import numpy as np
import pytest
import table_values
from PIL import Image
from small_networks import VQVAE

from data_gen.errors import DataError
from data_gen.generate import generate
from data_gen.scenes.options import DatasetOptions
from magvit3d import compare, upstream
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.report.file_reading import read_tables
from magvit3d.run import training_stages
from magvit3d.run.video_data import VideoData

_NUM_STEPS = 4


_CROP = {"crop.size": 8, "crop.num_frames": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("scenes")
  options = DatasetOptions(
    output_dir=str(folder),
    num_train=4,
    num_validation=2,
    num_test=2,
    image_size=16,
    num_frames=8,
    scenes_per_shard=4,
    num_workers=1,
    preview=0,
    size_min=4.0,
    size_max=6.0,
    path_scale_min=0.3,
    path_scale_max=0.5,
  )
  generate(options, log=lambda line: None)
  return folder


def _config(file, data, **fields):
  module = importlib.import_module(f"configs.{file}_config")
  config = module.get_config("B-runlocal")
  with config.unlocked():
    config.update_from_flattened_dict(
      {
        "dataset_name": "traj3d",
        "dataset_configs.data_dir": str(data),
        "dataset_configs.num_frames": 8,
        "dataset_configs.num_classes": 12,
        "image_size": 16,
        "num_reading_threads": 1,
        "num_training_steps": _NUM_STEPS,
        "checkpoint_steps": 2,
      }
    )
    config.vqvae.update(VQVAE | {"upsample": "nearest"})
    if "vqgan" in file:
      config.discriminator.filters = 2
      config.discriminator.channel_multipliers = (1,)
      config.vqgan.perceptual_loss_weight = 0.0
    else:
      config.transformer.latent_shape = (4, 8, 8)
      config.transformer.num_layers = 1
      config.transformer.mlp_dim = 32
      config.transformer.num_heads = 2
      for name in ("hidden_size", "emb_dim", "qkv_dim"):
        if name in config.transformer:
          config.transformer[name] = 16
    config.update_from_flattened_dict(fields)
  return config.to_dict()


@pytest.fixture(scope="module")
def tokenizer(data, tmp_path_factory):
  """Config, work folder and scores' file of a trained tokenizer."""
  workdir = tmp_path_factory.mktemp("vqgan")
  config = _config("vqgan3d_ucf101", data, **_CROP)
  return config, workdir, _run(config, workdir)


def _run(config, workdir):
  """Runs all stages; returns the scores' file."""
  report = Experiment(config, workdir).run()
  assert report == workdir / "report" / "index.html" and report.exists()
  return workdir / "evaluation" / "scores.json"


def _read_scores(path, num_columns):
  scores = json.loads(path.read_text())
  with Image.open(path.with_name("samples.webp")) as picture:
    assert picture.n_frames == 8
  assert len(scores["columns_of_samples"]) == num_columns
  table_values.check(scores)
  tables = read_tables(scores)
  for table in tables:
    assert (table.n, table.split) == (4, "test")  # Of 6, as configured.
    assert table.rows
    for values in table_values.rows(table).values():
      assert np.all(np.isfinite([v for v in values if v is not None]))
  return tables


def test_a_tokenizer_is_trained_and_scored_beside_baselines(tokenizer):
  _, workdir, path = tokenizer
  images, codes = _read_scores(path, num_columns=2)
  assert images.title == "Reconstruction" and codes.title == "Codes"
  assert [row.role for row in images.rows] == ["model", "baseline", "baseline"]
  assert [(c.heading, c.direction) for c in images.columns] == [
    ("PSNR, dB", "higher"),
    ("SSIM", "higher"),
  ]
  assert {column.direction for column in codes.columns} == {None}
  assert (workdir / "tokenizer" / "checkpoints" / str(_NUM_STEPS)).is_dir()
  assert json.loads((workdir / "config.json").read_text())["image_size"] == 16


def test_scores_are_of_the_very_videos(tmp_path):
  def splits():
    config = _config(
      "vqgan3d_ucf101",
      tmp_path,
      dataset_name="image_folder",
      **{"dataset_configs.num_frames": 1},
    )
    return VideoData(RunConfig.from_dict(config)).splits()

  for number in range(3):
    folder = tmp_path / "test"
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (16, 16)).save(folder / f"{number}.png")
    if not number:
      before = splits()
      assert before == splits()
  assert splits() != before


@pytest.mark.slow
def test_a_trained_stage_is_scored_again_without_training(tokenizer):
  config, workdir, path = tokenizer
  before = json.loads(path.read_text())
  path.unlink()
  _run(config | {"eval_only": True}, workdir)
  after = json.loads(path.read_text())
  assert after.pop("run").keys() == before.pop("run").keys()
  assert after == before


def test_it_leaves_what_every_run_leaves(tokenizer, tmp_path):
  """Stages with their times, a report that lacks nothing, a comparison."""
  config, workdir, path = tokenizer
  stages = json.loads((workdir / "stages.json").read_text())
  assert [(name, stage["status"]) for name, stage in stages.items()] == [
    (name, "done") for name in ("tokenizer", "evaluate", "report")
  ]
  page = (workdir / "report" / "index.html").read_text()
  assert "Not there yet" not in page and 'class="missing"' not in page
  for section in ("scores", "reconstruction", "training", "stages", "passport"):
    assert f'<section id="{section}">' in page
  assert '<section id="motions">' not in page
  before = path.stat().st_mtime_ns
  Experiment(config, workdir).run()
  assert path.stat().st_mtime_ns == before  # All was done.
  other = shutil.copytree(workdir, tmp_path / "other")
  output = tmp_path / "page.html"
  assert compare.main([str(workdir), str(other), f"--output={output}"]) == 0
  assert "PSNR, dB" in output.read_text()


def test_nothing_to_score_is_an_error(data, tmp_path):
  config = _config("vqgan3d_ucf101", data, eval_only=True)
  with pytest.raises(UserError, match=r"config.eval_only scores a trained"):
    Experiment(config, tmp_path).run()


@pytest.mark.slow
def test_a_tokenizer_starts_from_a_trained_one(tokenizer, data, tmp_path):
  _, workdir, _ = tokenizer
  config = _config(
    "vqgan3d_ucf101",
    data,
    num_training_steps=1,
    **{
      **_CROP,
      "lr_configs.warmup_steps": 0,
      "optimizer.g_lr": 1e-12,
      "optimizer.d_lr": 1e-12,
      "init_from.checkpoint_path": str(workdir / "tokenizer" / "checkpoints"),
      "init_from.inflation": None,
    },
  )
  Experiment(config, tmp_path).run()
  before, after = (
    upstream.load(str(folder / "tokenizer" / "checkpoints")).trees
    for folder in (workdir, tmp_path)
  )
  for player in ("g_params", "d_params"):
    assert jax.tree.structure(before[player]) == jax.tree.structure(
      after[player]
    )
    leaves = zip(
      jax.tree.leaves(before[player]),
      jax.tree.leaves(after[player]),
      strict=True,
    )
    for a, b in leaves:
      np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_tokenizer_goes_on_without_what_it_started_from(
  tokenizer, tmp_path, monkeypatch
):
  """Which may be gone by then: its own checkpoint has all of it."""

  class Reached(Exception):
    pass

  def train_network(*args, **kwargs):
    raise Reached

  monkeypatch.setattr(training_stages, "train_network", train_network)
  config = copy.deepcopy(tokenizer[0]) | {"num_training_steps": _NUM_STEPS + 1}
  config["init_from"]["checkpoint_path"] = str(tmp_path / "gone")
  workdir = shutil.copytree(tokenizer[1], tmp_path / "run")
  with pytest.raises(Reached):
    Experiment(config, workdir).run()
  shutil.rmtree(workdir / "tokenizer")
  with pytest.raises(UserError, match=r"config\.init_from: .* does not exist"):
    Experiment(config, workdir).run()


@pytest.mark.parametrize(
  ("file", "fields", "num_tables", "num_columns"),
  [
    ("maskgvt_ucf101", {}, 1, 2),
    pytest.param("maskgvt_bair", {}, 2, 2, marks=pytest.mark.slow),
    pytest.param("lmgvt_ucf101", {}, 1, 2, marks=pytest.mark.slow),
  ],
)
def test_transformers_are_trained_on_its_tokens(
  tokenizer, data, tmp_path, file, fields, num_tables, num_columns
):
  checkpoint = str(tokenizer[1] / "tokenizer" / "checkpoints")
  config = _config(
    file, data, **{"tokenizer.checkpoint_path": checkpoint}, **fields
  )
  path = _run(config, tmp_path)
  errors, *others = _read_scores(path, num_columns)
  assert len(others) == num_tables - 1
  assert errors.columns[0].direction == "lower"
  names = [*table_values.headings(errors), *table_values.baselines(errors)]
  assert any("most frequent token" in name for name in names)
  folder = tmp_path / "transformer" / "checkpoints" / str(_NUM_STEPS)
  assert folder.is_dir()


@pytest.mark.parametrize(
  ("file", "fields", "message"),
  [
    ("maskgvt_bair", {}, "config.tokenizer.checkpoint_path is missing"),
    (
      "maskgvt_bair",
      {"transformer.latent_shape": (4, 4, 4)},
      r"latent_shape=\(4, 4, 4\), but config.vqvae makes \(4, 8, 8\)",
    ),
    ("vqgan3d_ucf101", {"image_size": 15}, "config.image_size=15 is not a mul"),
    ("vqgan3d_ucf101", {"crop.size": 17}, "config.crop.size=17 must be a mult"),
    ("vqgan3d_ucf101", {"image_size": 32}, "has clips of 8 frames of 16"),
    ("vqgan3d_ucf101", {"dataset_name": "kinetics"}, "no data set 'kinetics'"),
    (
      "vqgan3d_ucf101",
      {"vqgan.perceptual_loss_weight": 0.1},
      "needs vqgan.perceptual_weights",
    ),
    ("vqgan3d_ucf101", {"dataset_configs.data_dir": None}, "data_dir is miss"),
    ("vqgan3d_ucf101", {"model_class": "GAN"}, "config.model_class='GAN'"),
  ],
)
def test_wrong_fields_are_named(data, tmp_path, file, fields, message):
  with pytest.raises(UserError, match=message):
    Experiment(_config(file, data, **fields), tmp_path).run()


@pytest.mark.parametrize("file", ["maskgvt_ucf101", "lmgvt_ucf101"])
def test_another_number_of_classes_is_refused(tokenizer, data, tmp_path, file):
  checkpoint = str(tokenizer[1] / "tokenizer" / "checkpoints")
  fields = {
    "tokenizer.checkpoint_path": checkpoint,
    "dataset_configs.num_classes": 101,
  }
  with pytest.raises(
    UserError, match=r"num_classes=101, but .* has 12 classes"
  ):
    Experiment(_config(file, data, **fields), tmp_path).run()


def test_missing_data_leave_no_checkpoint_folder(data, tmp_path):
  config = _config(
    "vqgan3d_ucf101",
    data,
    dataset_name="video_folder",
    **{"dataset_configs.data_dir": str(tmp_path / "none")},
  )
  with pytest.raises(DataError, match="none"):
    Experiment(config, tmp_path / "run").run()
  assert not (tmp_path / "run" / "tokenizer").exists()


@pytest.mark.slow
def test_a_transformer_starts_from_a_trained_one(tokenizer, data, tmp_path):
  fields = {
    "tokenizer.checkpoint_path": str(tokenizer[1] / "tokenizer/checkpoints"),
    "num_training_steps": 1,
    "lr_configs.warmup_steps": 0,
  }
  first, second = tmp_path / "first", tmp_path / "second"
  Experiment(_config("maskgvt_ucf101", data, **fields), first).run()
  path = str(first / "transformer" / "checkpoints")
  fields |= {
    "init_from.checkpoint_path": path,
    "lr_configs.base_learning_rate": 1e-12,
    "rng_seed": 1,
  }
  Experiment(_config("maskgvt_ucf101", data, **fields), second).run()
  before, after = (
    upstream.load(str(folder / "transformer" / "checkpoints")).trees["params"]
    for folder in (first, second)
  )
  chex.assert_trees_all_close(before, after, rtol=1e-7, atol=1e-6)
