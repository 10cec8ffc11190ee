"""The programs of a study, compiled before anything starts.

A study's stages read their data, so a few scenes are rendered into a folder
that is removed again.
"""

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError, as_user_errors
from magvit3d.parallel import sharding
from magvit3d.plan.programs import LAST_STEP, Programs, StagePlan
from magvit3d.run import network_checks
from magvit3d.run.data import RunData
from magvit3d.run.digit_data import DigitData
from magvit3d.run.stages import Run
from magvit3d.run.training_stages import TokenizerTraining
from magvit3d.studies import study_stages
from magvit3d.studies.study_training import StudyTraining
from magvit3d.training.tokenizer_stage import TokenizerStage

_NUM_SCENES = 12  # One of each class.


def compiled(config: RunConfig, programs: Programs) -> dict[str, StagePlan]:
  """Returns what a training step of each of its networks takes, by name.

  Raises:
    UserError: It trains no network, or a field is wrong.
  """
  found = {}
  with tempfile.TemporaryDirectory() as folder, as_user_errors(ValueError):
    run = _few_scenes(config, pathlib.Path(folder))
    for stage in _trainings(run):
      if isinstance(stage, TokenizerTraining):
        found[stage.name] = _tokenizer(config, run, stage, programs)
      else:
        found[stage.name] = _network(config.study, stage, programs)
  if not found:
    raise UserError(
      f"--plan compiles training steps, and {config.study} trains no network."
    )
  return found


def _few_scenes(config: RunConfig, folder: pathlib.Path) -> Run:
  """Returns a run with as many steps on fewer scenes, which are there."""
  is_rendered = bool(config.data and not config.data.data_dir)
  if is_rendered:
    others = {
      name: min(1, count)
      for name, count in vars(config.data).items()
      if name in ("num_validation", "num_test") or name.startswith("num_ood_")
    }
    data = dataclasses.replace(
      config.data, **others, num_train=_NUM_SCENES, num_workers=1, preview=0
    )
    changes: dict[str, Any] = {"data": data}
    for name in ("train_tokenizer", f"train_{config.study}"):
      section = getattr(config, name, None)
      if section and section.num_epochs:
        epochs = section.num_epochs * config.data.num_train / _NUM_SCENES
        changes[name] = dataclasses.replace(section, num_epochs=epochs)
    config = dataclasses.replace(config, **changes)
  data = (DigitData if config.digits else RunData)(config, folder)
  # Arrays are on a device of this machine, as nothing runs on the others.
  mesh = sharding.make_mesh({}, jax.local_devices()[:1])
  if is_rendered:
    data.generate()
  return Run(config, folder, mesh, data, (), is_planned=True)


def _trainings(run: Run) -> Iterator[TokenizerTraining | StudyTraining]:
  for make in study_stages.makers(run).values():
    stage = make(run)
    if isinstance(stage, (TokenizerTraining, StudyTraining)):
      yield stage


def _tokenizer(
  config: RunConfig, run: Run, stage: TokenizerTraining, programs: Programs
) -> StagePlan:
  networks, rows = stage.networks, config.train_tokenizer.batch_size
  _check("tokenizer", config.train_tokenizer, programs)
  batch = network_checks.batch_shapes(
    run.config, networks, run.data, stage.name, rows
  )
  step = TokenizerStage(run.config, LAST_STEP, networks.training_shape)
  steps = networks.num_steps(stage.name)
  return programs.step(stage.name, step, batch, rows, steps)


def _network(study: str, stage: StudyTraining, programs: Programs) -> StagePlan:
  rows, source = stage.training.batch_size, stage.samples().source
  _check(study, stage.training, programs)
  draw = getattr(source, "random_clip", None)
  sample = draw(0, np.random.default_rng(0)) if draw else source[0]
  batch = {
    key: jax.ShapeDtypeStruct((rows, *np.shape(value)), np.asarray(value).dtype)
    for key, value in sample.items()
  }
  steps = stage.num_steps()
  return programs.step(stage.name, stage.network_stage(), batch, rows, steps)


def _check(name: str, training: Any, programs: Programs) -> None:
  sharding.check_batch_size(
    f"train_{name}.batch_size",
    training.batch_size,
    programs.mesh,
    training.gradient_accumulation_steps,
  )
