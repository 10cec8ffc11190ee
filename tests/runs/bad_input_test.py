"""Bad input ends a run with one sentence and damages nothing.

Every test compares the whole work folder before and after, but for the files
that tell of the attempt itself.
"""

import functools
import json
import shutil

import pytest
import shrunk
import small_run

from data_gen.errors import DataError
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.training.loop import Interrupted

_ACCOUNTS = ("stages.json", "status.json", "PROGRESS.txt", "config.json")


_FIELDS = {"data__num_colors": 2}  # As `trained_run` has it.
_make_config = functools.partial(shrunk.make_config, **_FIELDS)
_make_arguments = functools.partial(shrunk.make_arguments, **_FIELDS)


@pytest.fixture(scope="module")
def trained(trained_run, tmp_path_factory):
  """Work folder of a run that was stopped in the transformer stage."""
  workdir = tmp_path_factory.mktemp("trained") / "run"
  small_run.without(trained_run, workdir, "transformer", "stages.json")
  with pytest.raises(Interrupted):
    Experiment(_make_config(), workdir, stop_after=("transformer", 2)).run()
  return workdir


@pytest.fixture
def workdir(trained, tmp_path):
  """A copy that a test may spoil."""
  return shutil.copytree(trained, tmp_path / "run")


def _read_all(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file() and path.name not in _ACCOUNTS
  }


def _fail(workdir, **fields):
  """Runs; returns the error's text, having checked that nothing is damaged."""
  before = _read_all(workdir)
  with pytest.raises((UserError, DataError)) as caught:
    Experiment(_make_config(**fields), workdir).run()
  after = _read_all(workdir)
  assert {key for key in before if before[key] != after.get(key)} == set()
  assert "\n" not in str(caught.value)
  return str(caught.value)


def _shard(workdir, split="train"):
  return sorted((workdir / "data").glob(f"traj3d-{split}.tfrecord*of-*[0-9]"))[
    0
  ]


# Data.


def test_missing_shard_is_named(workdir):
  path = _shard(workdir)
  path.unlink()
  message = _fail(workdir, stages="transformer")
  assert f"{path} is missing" in message


def test_truncated_shard_is_named_with_its_sizes(workdir):
  path = _shard(workdir)
  data = path.read_bytes()
  path.write_bytes(data[:-10])
  message = _fail(workdir, stages="transformer")
  assert f"{path} has {len(data) - 10} bytes" in message
  assert f"{len(data)} bytes" in message


@pytest.mark.variants
@pytest.mark.parametrize("stages", ["data,tokenizer", "data"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_data_stage_makes_a_spoilt_shard_again(workdir, damage, stages):
  path = _shard(workdir)
  data = path.read_bytes()
  if damage == "missing":
    path.unlink()
  else:
    path.write_bytes(data[:-10])
  Experiment(_make_config(stages=stages), workdir).run()
  assert path.read_bytes() == data


def test_spoilt_shard_of_a_given_data_set_is_not_made_again(workdir):
  data_dir = workdir / "data"
  path = _shard(workdir)
  path.unlink()
  message = _fail(workdir, data__data_dir=str(data_dir))
  assert f"{path} is missing" in message


def test_flipped_byte_met_in_training_is_located(trained, tmp_path):
  data_dir = shutil.copytree(trained / "data", tmp_path / "data")
  for path in data_dir.glob("traj3d-train.tfrecord*of-*[0-9]"):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
  message = _fail(
    tmp_path / "run",
    data__data_dir=str(data_dir),
    vqgan__codebook_init_clips=0,
  )
  assert f"{data_dir}/traj3d-train" in message
  assert "record" in message and "at byte" in message


def test_other_data_options_are_named(workdir):
  message = _fail(workdir, data__seed=1)
  assert "--seed is 1 now, and was 0" in message


def test_data_of_another_size_than_the_configs_are_named(workdir):
  data_dir = workdir / "data"
  message = _fail(workdir, data__data_dir=str(data_dir), data__image_size=32)
  assert "config.data.image_size=32" in message and "has 24" in message


def test_split_without_scenes_is_named(tmp_path):
  data = {"data__num_train": 8, "data__num_validation": 0}
  Experiment(_make_config(**data, stages="data"), tmp_path).run()
  message = _fail(tmp_path, **data)
  assert "config.data.num_validation" in message


# Checkpoints.


def test_tokenizer_of_another_architecture_is_named(workdir):
  message = _fail(workdir, vqvae__filters=16)
  assert "vqvae.filters is 8 there and 16 here" in message
  config = json.loads((workdir / "config.json").read_text())
  assert config["vqvae"]["filters"] == 8
  assert str(workdir / "tokenizer" / "checkpoints") in message


def test_transformer_of_another_architecture_is_named(workdir):
  message = _fail(workdir, transformer__hidden_size=64)
  assert "transformer.hidden_size is 32 there and 64 here" in message
  config = json.loads((workdir / "config.json").read_text())
  assert config["transformer"]["hidden_size"] == 32


@pytest.mark.slow
def test_transformer_of_another_tokenizer_is_refused(workdir):
  """The tokenizer is trained on; the transformer has seen other tokens."""
  longer = {"train_tokenizer__num_steps": 7}
  config = _make_config(**longer, stages="tokenizer")
  Experiment(config, workdir).run()
  message = _fail(workdir, **longer)
  assert "tokenizer.fingerprint" in message
  assert f"delete {workdir / 'transformer'}" in message


def test_transformer_without_a_tokenizer_is_refused(trained, tmp_path):
  shutil.copytree(trained / "data", tmp_path / "data")
  message = _fail(tmp_path, stages="transformer")
  assert "has no checkpoint: add 'tokenizer'" in message


def test_oracle_gate_stops_a_run_whose_tokenizer_shows_nothing(workdir):
  gated = {"oracle_gate": True, "oracle_gate_db": 20.0}
  message = _fail(workdir, **gated)
  assert "Oracle gate" in message and "--config.oracle_gate=False" in message


@pytest.mark.slow
def test_corrected_run_goes_on_after_an_error(workdir):
  _fail(workdir, vqvae__filters=16)
  _fail(workdir, transformer__hidden_size=64)
  Experiment(_make_config(stages="transformer"), workdir).run()
  assert (workdir / "transformer/checkpoints" / str(shrunk.NUM_STEPS)).exists()


# Fields that are wrong by themselves: nothing is made at all.


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"data__image_size": 25}, "config.data.image_size=25"),
    ({"data__num_frames": 9}, "config.data.num_frames=9"),
    (
      {"train_tokenizer__crop__size": 32},
      "config.train_tokenizer.crop.size=32 must be a multiple of 2",
    ),
    (
      {
        "input__sample": "scene",
        "input__num_views": 4,
        "tokenizer_cache": False,
      },
      "config.input.num_views=4",
    ),
    (
      {"input__sample": "scene", "tokenizer_cache": False},
      "config.train_tokenizer.batch_size=4 counts clips",
    ),
    ({"input__sample": "scene"}, "config.tokenizer_cache=True"),
    ({"input__num_frames": 4}, "config.tokenizer_cache=True"),
    ({"input__num_frames": 9}, "config.input.num_frames=9"),
    (
      {"input__num_frames": 3, "tokenizer_cache": False},
      "config.input.num_frames=3",
    ),
    ({"input__frame_stride": 0}, "config.input.frame_stride=0"),
    (
      {"evaluation__i3d_weights": "missing.npz"},
      "config.evaluation.i3d_weights=missing.npz",
    ),
    (
      {"evaluation__lpips_weights": "setup.py,heads.npz"},
      "heads.npz is no file",
    ),
    ({"train_tokenizer__batch_size": 0}, "config.train_tokenizer.batch_size=0"),
    ({"vqvae__norm_type": "XN"}, "XN"),
    ({"vqvae__activation_fn": "swash"}, "swash"),
    ({"vqvae__upsample": "farthest"}, "farthest"),
    ({"vqvae__num_groups": 3}, "3"),
    ({"vqvae__entropy_loss_type": "hard"}, "hard"),
    ({"discriminator__norm_type": "XN"}, "XN"),
    ({"tasks__frame_prediction__cond_frames": 99}, "99"),
    ({"maskgvt__mask_schedule": "cosinus"}, "cosinus"),
    ({"maskgvt__condition_mode": "cond"}, "cond"),
    (
      {"vqgan__loss_type": "saturating", **shrunk.DISCRIMINATOR},
      "saturating",
    ),
  ],
)
def test_wrong_field_is_told_before_anything_is_made(fields, named, tmp_path):
  workdir = tmp_path / "run"
  with pytest.raises(UserError) as caught:
    Experiment(_make_config(**fields), workdir)
  assert named in str(caught.value)
  assert not workdir.exists()


# The command: exit code, one line, no traceback.


def _fail_command(*arguments, **options):
  found = shrunk.run_main(*arguments, **options)
  assert found.returncode != 0
  assert "Traceback" not in found.stderr
  lines = found.stderr.strip().splitlines()
  errors = [line for line in lines if line.startswith("Error: ")]
  assert len(errors) == 1 and lines[-1] == errors[0], found.stderr
  return errors[0]


def test_misspelled_field_gets_a_suggestion(tmp_path):
  message = _fail_command(
    *_make_arguments(),
    f"--workdir={tmp_path / 'run'}",
    "--config.data.imag_size=8",
  )
  assert "imag_size" in message and "image_size" in message.replace(
    "imag_size", ""
  )
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("arguments", "named"),
  [
    ([], "--config is missing"),
    (["--config=configs/traj3d.py:huge"], "tiny, small, S, B, L"),
    (["--config=configs/nothing.py"], "nothing.py"),
    (["--config=configs/traj3d.py:tiny", "--wrokdir=x"], "wrokdir"),
    (["--config=configs/traj3d.py:tiny", "--config.seed=x"], "seed"),
    (["--config=configs/traj3d.py:tiny", "train"], "'train'"),
    (
      ["--config=configs/traj3d.py:tiny", "--config.data.nothing_like=3"],
      "no field 'nothing_like', as in --config.data.nothing_like=3.",
    ),
  ],
)
def test_wrong_command_line_is_told_in_one_sentence(arguments, named):
  assert named in _fail_command(*arguments)


def test_workdir_that_cannot_be_written_is_named(tmp_path):
  file = tmp_path / "file"
  file.write_text("mine")
  message = _fail_command(*_make_arguments(), f"--workdir={file}/sub")
  assert f"--workdir={file}/sub cannot be written" in message
  assert file.read_text() == "mine"


def test_batch_that_does_not_divide_over_devices_is_named(tmp_path):
  workdir = tmp_path / "run"
  message = _fail_command(
    *_make_arguments(train_tokenizer__batch_size=6),
    f"--workdir={workdir}",
    num_devices=4,
  )
  assert "config.train_tokenizer.batch_size=6" in message
  assert "4 devices" in message and "4 or 8" in message
  assert not workdir.exists()
