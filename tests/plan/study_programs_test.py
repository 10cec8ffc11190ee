"""A plan of a study: its networks' steps, as they would be trained."""

import math

import numpy as np
import pytest
import small_studies

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.parallel import sharding
from magvit3d.plan import plan
from magvit3d.studies.frozen_tokenizer import FrozenTokenizer


def _plan(document, workdir):
  found = plan.make(RunConfig.from_dict(document), workdir / "run", "here")
  assert not (workdir / "run").exists()
  return found.stages


def test_steps_are_those_of_all_scenes(tmp_path):
  scenes, batch, epochs = 30, 4, 5.0  # Of one camera.
  document = small_studies.make_persistence(
    data__num_train=scenes,
    train_persistence__num_steps=None,
    train_persistence__num_epochs=epochs,
    train_persistence__batch_size=batch,
  )
  (stage,) = _plan(document, tmp_path).values()
  assert stage.num_steps == math.ceil(scenes * epochs / batch)
  assert stage.batch_size == batch and stage.flops > 1e4


@pytest.mark.slow
def test_both_networks_of_a_world_model_are_planned(tmp_path):
  stages = _plan(small_studies.make_world_model(), tmp_path)
  assert list(stages) == ["world_model", "convlstm"]
  assert all(stage.temporary_bytes > 0 for stage in stages.values())


@pytest.mark.slow
def test_a_study_that_trains_its_tokenizer_needs_none(tmp_path):
  document = small_studies.make_traj2d(
    prediction__names="masked", stages="data,tokenizer,masked"
  )
  stages = _plan(document, tmp_path)
  assert list(stages) == ["tokenizer", "masked"]
  assert stages["tokenizer"].parameters > stages["masked"].parameters


def test_a_study_without_training_and_wrong_batches_are_told(tmp_path):
  with pytest.raises(UserError, match="surprise trains no network"):
    _plan(small_studies.make_surprise(), tmp_path)
  document = small_studies.make_world_model(
    train_world_model__gradient_accumulation_steps=3
  )
  with pytest.raises(UserError, match=r"train_world_model\.batch_size=4"):
    _plan(document, tmp_path)


def test_planned_tokens_are_like_real_ones():
  config = RunConfig.from_dict(small_studies.make_extractors())
  frames = np.zeros((2, 8, 32, 32, 3), np.uint8)
  mesh = sharding.make_mesh()
  planned, real = (
    FrozenTokenizer(config, mesh, is_planned=is_planned).encode(frames, 2)
    for is_planned in (True, False)
  )
  assert planned.shape == real.shape and planned.dtype == real.dtype
  assert real.any() and not planned.any()
