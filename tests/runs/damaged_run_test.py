"""A run whose newest checkpoint is damaged goes on from the one before."""

import pathlib
import shutil

import pytest
import shrunk
from checkpoint_samples import FAILED_READS

from magvit3d.checkpoints import record
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.run.data import RunData

_FIELDS = {
  "stages": "data,tokenizer,transformer",
  "train_transformer__num_steps": 2,
  "train_transformer__warmup_steps": 1,
}

pytestmark = FAILED_READS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Work folder of a run with a tokenizer alone."""
  workdir = tmp_path_factory.mktemp("trained")
  config = shrunk.make_config(**_FIELDS | {"stages": "data,tokenizer"})
  Experiment(config, workdir).run()
  return workdir


@pytest.fixture
def workdir(trained, tmp_path):
  """A copy that a test may spoil."""
  return shutil.copytree(trained, tmp_path / "run")


def _newest(workdir) -> pathlib.Path:
  return workdir / "tokenizer" / "checkpoints" / str(shrunk.NUM_STEPS)


def _leaves(workdir):
  return record.read(_newest(workdir))["leaves"]


def _run(workdir):
  Experiment(shrunk.make_config(**_FIELDS), workdir).run()
  assert (workdir / "transformer" / "checkpoints" / "2").is_dir()


def test_checkpoints_know_data_that_are_to_be_made_again(tmp_path):
  config = RunConfig.from_dict(shrunk.make_config(data__num_train=4))
  data = RunData(config, tmp_path)
  before = data.identity()
  data.generate()
  assert before == data.identity()


@pytest.mark.slow
def test_data_that_were_removed_are_made_again(trained, workdir):
  shutil.rmtree(workdir / "data")
  Experiment(
    shrunk.make_config(**_FIELDS | {"stages": "data,tokenizer"}), workdir
  ).run()
  manifests = [
    folder / "data" / "manifest.json" for folder in (trained, workdir)
  ]
  assert len({path.read_bytes() for path in manifests}) == 1
  assert _leaves(workdir) == _leaves(trained)


@pytest.mark.slow
def test_damaged_record_is_mended_by_training_again(trained, workdir, caplog):
  """The tokenizer is not complete then, and is trained to its end again."""
  (_newest(workdir) / "record" / "metadata").write_text("{")
  _run(workdir)
  aside = workdir / "tokenizer" / "damaged_checkpoints"
  assert [path.name for path in aside.iterdir()] == [str(shrunk.NUM_STEPS)]
  assert "is damaged" in caplog.text
  assert _leaves(workdir) == _leaves(trained)


@pytest.mark.slow
def test_damaged_parameters_end_a_run_that_the_next_one_mends(trained, workdir):
  """The transformer must not be trained on an older tokenizer."""
  (_newest(workdir) / "state" / "manifest.ocdbt").write_bytes(b"")
  message = (
    rf"stage tokenizer was damaged and set aside as .*/{shrunk.NUM_STEPS}\. "
    r"Run the same command again, .* from step 4"
  )
  with pytest.raises(UserError, match=message):
    _run(workdir)
  with pytest.raises(UserError, match=message):  # Without the tokenizer.
    config = shrunk.make_config(**_FIELDS | {"stages": "transformer"})
    Experiment(config, workdir).run()
  assert not (workdir / "transformer" / "checkpoints").exists()
  _run(workdir)
  assert _leaves(workdir) == _leaves(trained)


def test_checkpoints_of_a_run_hold_its_config_and_data(trained):
  given = record.read(_newest(trained))["given"]
  assert given["config"]["vqvae"]["filters"] == 8
  assert len(given["data_manifest_sha256"]) == 64
