"""Networks are read from a run's work folder, which stays as it is."""

import json
import shutil

import chex
import pytest
import shrunk
import small_run
from checkpoint_samples import FAILED_READS

from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.inference import finished_run
from magvit3d.parallel import sharding
from magvit3d.run.data import RunData
from magvit3d.run.networks import RunNetworks

pytestmark = FAILED_READS


def _load(folder):
  return finished_run.load(folder, sharding.replicated(sharding.make_mesh()))


def _refused(folder, *texts):
  with pytest.raises(UserError) as caught:
    _load(folder)
  for text in texts:
    assert str(text) in str(caught.value)


@pytest.fixture
def copy(trained_run, tmp_path):
  """Without the data."""
  ignored = shutil.ignore_patterns("data", "tokens")
  return shutil.copytree(trained_run, tmp_path / "copy", ignore=ignored)


def test_parameters_are_those_that_the_run_evaluates(trained_run):
  config = RunConfig.from_dict(
    json.loads((trained_run / "config.json").read_text())
  )
  mesh = sharding.make_mesh()
  data = RunData(config, trained_run)
  networks = RunNetworks(config, data, trained_run, mesh)
  tokenizer = networks.tokenizer_params()
  transformer = networks.transformer_params(tokenizer)
  found = _load(trained_run)
  chex.assert_trees_all_equal(found.tokenizer_params, tokenizer)
  chex.assert_trees_all_equal(found.transformer_params, transformer)
  scenes = data.clips("train").scenes
  assert found.class_names == scenes.class_names
  assert found.num_cameras == scenes.num_views
  assert found.clip_shape == networks.clip_shape
  assert found.steps == dict.fromkeys(found.steps, shrunk.NUM_STEPS)


def test_the_data_may_be_gone_and_nothing_is_written(trained_run, copy):
  before = shrunk.read_times(copy)
  found, expected = _load(copy), _load(trained_run)
  assert shrunk.read_times(copy) == before
  assert found.class_names == expected.class_names
  chex.assert_trees_all_equal(
    found.tokenizer_params,
    expected.tokenizer_params,
  )


def test_a_run_without_a_transformer_is_a_tokenizer(trained_run, tmp_path):
  run = small_run.without(trained_run, tmp_path / "run", "transformer")
  found = _load(run)
  assert found.transformer_params is None and list(found.steps) == ["tokenizer"]
  run = small_run.without(trained_run, tmp_path / "none", "tokenizer")
  _refused(run, run, "no checkpoint of the tokenizer", "magvit3d.main")


def test_what_is_no_run_is_told(tmp_path, copy):
  _refused(tmp_path / "nowhere", "nowhere is no work folder", "config.json")
  path = copy / "config.json"
  config = json.loads(path.read_text())
  path.write_text(json.dumps(config | {"model_class": "VQGAN"}))
  _refused(copy, "MAGVIT's own configs")
  config.pop("vqvae")
  path.write_text(json.dumps(config))
  _refused(copy, path, "lacks vqvae")
  path.write_text("{")
  _refused(copy, path, "cannot be read")


@pytest.mark.parametrize(
  ("section", "field", "value", "stage"),
  [
    ("vqvae", "norm_type", "LN", "tokenizer"),
    ("transformer", "num_heads", 4, "transformer"),
  ],
)
def test_a_config_that_was_changed_is_told(copy, section, field, value, stage):
  path = copy / "config.json"
  config = json.loads(path.read_text())
  config[section][field] = value
  path.write_text(json.dumps(config))
  _refused(copy, f"{stage}/checkpoints", f"{section}.{field}", repr(value))


def test_sampling_may_be_changed_after_training(copy):
  path = copy / "config.json"
  config = json.loads(path.read_text())
  config["maskgvt"]["sampling"]["mask_bins"] = 5
  path.write_text(json.dumps(config))
  assert _load(copy).model.settings.sampling.mask_bins == 5


def test_a_damaged_checkpoint_is_told_and_left(copy):
  steps = (copy / "tokenizer" / "checkpoints").iterdir()
  step = max((path for path in steps), key=lambda path: int(path.name))
  files = (step / "state").rglob("*")
  arrays = [path for path in files if path.is_file() and "d" in path.parts]
  contents = {path: path.read_bytes() for path in arrays}
  for path, data in contents.items():
    path.write_bytes(data[: len(data) // 2])
  _refused(copy, step, "damaged", "magvit3d.main")
  for path, data in contents.items():
    path.write_bytes(data)
  _load(copy)
  record = step / "record" / "metadata"
  record.write_text(record.read_text().replace('"step":', '"stop":'))
  _refused(copy, step, "damaged")
  assert step.exists()


def test_parameters_that_changed_by_a_bit_are_told(copy, monkeypatch):
  """Wherever it happened: here it is the checksum that is another one."""
  real = checkpoint_record.read

  def read(folder):
    record = real(folder)
    for path, leaf in record["leaves"].items():
      if path.startswith("params/") and path.endswith("bias"):
        leaf["checksum"] ^= 1
    return record

  monkeypatch.setattr(checkpoint_record, "read", read)
  _refused(copy, "transformer/checkpoints", "checksums differ of params/")


def test_footage_needs_its_manifest_for_the_names(copy, trained_run):
  """Which no option of its data set tells."""
  config = RunConfig.from_dict({"data": {"data_dir": None}})
  found = finished_run._scene_facts(
    trained_run, config, {"identity": {"data": {}}}
  )
  # Recordings may have other cameras each.
  assert found == (_load(copy).class_names, 3, None, None)
  with pytest.raises(UserError, match="names of the classes"):
    finished_run._scene_facts(copy, config, {"identity": {"data": {}}})


def test_a_checkpoint_that_a_run_replaces_meanwhile_is_not_called_damaged(
  copy, monkeypatch
):
  real = checkpoint_record.read

  def read(folder):
    record = real(folder)
    newer = folder.with_name(str(int(folder.name) + 1))
    folder.rename(newer)  # In place of saving one and deleting this.
    return record

  monkeypatch.setattr(checkpoint_record, "read", read)
  _refused(copy, "tokenizer/checkpoints", "was replaced by another", "again")
