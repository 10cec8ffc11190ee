"""What each stage of a run takes on given devices, before anything starts.

Every step is compiled for the devices, which need not be here. The program
that comes out is the one that would run: its memory and what it moves are
exact. Its bound of time is what no run beats; kernels that are not tried out
may be slower.
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from magvit3d.config.run import RunConfig
from magvit3d.errors import as_user_errors
from magvit3d.models import target
from magvit3d.models.cameras import Cameras
from magvit3d.parallel import sharding
from magvit3d.plan import described_devices, study_programs
from magvit3d.plan.programs import LAST_STEP, Programs, StagePlan
from magvit3d.run import network_checks
from magvit3d.run.data import RunData
from magvit3d.run.networks import RunNetworks
from magvit3d.run.video_data import VideoData
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import loop
from magvit3d.training.tokenizer_stage import TokenizerStage

DECODING = "decoding"


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a run takes.

  Attributes:
    device: As it was named.
    num_devices: Of that kind.
    memory_bytes: Of a device; None where it is not known.
    stages: By name, and `DECODING`.
    price: Of a device and hour, if given.
  """

  device: str
  num_devices: int
  memory_bytes: int | None
  stages: Mapping[str, StagePlan]
  price: float | None = None

  @property
  def least_hours(self) -> float | None:
    """Hours of all stages, evaluation not counted; None: not known."""
    hours = [
      stage.least_hours
      for name, stage in self.stages.items()
      if name != DECODING
    ]
    return None if None in hours else sum(hours)

  def to_json(self) -> dict[str, Any]:
    """Returns it as for JSON."""
    content = dataclasses.asdict(self)
    for name, stage in self.stages.items():
      content["stages"][name]["least_hours"] = stage.least_hours
    hours = self.least_hours
    cost = None
    if self.price is not None and hours is not None:
      cost = hours * self.num_devices * self.price
    return content | {"least_hours": hours, "least_cost": cost}


def make(
  config: RunConfig,
  workdir: pathlib.Path,
  device: str,
  price: float | None = None,
) -> Plan:
  """Compiles all programs of a run.

  Args:
    config: Of the run.
    workdir: Of the run; nothing is made there.
    device: See `described_devices`.
    price: Of a device and hour, in any currency.

  Raises:
    UserError: A field is wrong, or XLA cannot compile for the device.
  """
  devices, kind = described_devices.describe(device)
  mesh = sharding.make_mesh(vars(config.mesh), devices)
  programs = Programs(mesh, kind)
  with target.made_for(kind.platform or target.platform()):
    if config.study:
      stages = study_programs.compiled(config, programs)
    else:
      stages = _compiled(config, workdir, programs)
  return Plan(device, mesh.size, kind.memory_bytes, stages, price)


def _compiled(
  config: RunConfig, workdir: pathlib.Path, programs: Programs
) -> dict[str, StagePlan]:
  """Of a run of tokenizer and transformer."""
  data = VideoData(config) if config.videos else RunData(config, workdir)
  networks = RunNetworks(config, data, workdir, programs.mesh)
  network_checks.check_batches(config, networks, data)
  return _Planner(config, networks, data, programs).stages()


class _Planner:
  """Compiles the programs of a run of tokenizer and transformer."""

  def __init__(
    self,
    config: RunConfig,
    networks: RunNetworks,
    data: RunData | VideoData,
    programs: Programs,
  ):
    self._config, self._networks, self._data = config, networks, data
    self._programs = programs

  def stages(self) -> dict[str, StagePlan]:
    """Returns what each takes."""
    found, config = {}, self._config
    with as_user_errors(ValueError):
      if config.train_tokenizer:
        shape = self._networks.training_shape
        stage = TokenizerStage(config, LAST_STEP, shape)
        found["tokenizer"] = self._step("tokenizer", stage)
      if config.train_transformer:
        params = self._networks.tokenizer_shapes()
        model = self._networks.token_model(self._data.num_classes())
        stage = self._networks.transformer_stage(model, params, LAST_STEP)
        found["transformer"] = self._step("transformer", stage)
        if isinstance(model, TokenModel):
          found[DECODING] = self._decoding(model)
    return found

  def _step(self, name: str, stage: loop.Stage) -> StagePlan:
    rows = self._config.training(name).batch_size
    batch = network_checks.batch_shapes(
      self._config, self._networks, self._data, name, rows
    )
    steps = self._num_steps(name)
    return self._programs.step(name, stage, batch, rows, steps)

  def _decoding(self, model: TokenModel) -> StagePlan:
    """Of samples of the first task, all of its steps."""
    rows = self._config.evaluation.batch_size // model.num_views
    shapes = jax.eval_shape(
      model.transformer.init, jax.random.key(0), *model.init_arguments()
    )["params"]
    tokens = jax.ShapeDtypeStruct((rows, *model.grid_shape), np.int32)
    batch = {
      "labels": jax.ShapeDtypeStruct((rows,), np.int32),
      "tokens": tokens,
    }
    if model.transformer.camera_embedding is not None:
      batch |= network_checks.camera_shapes(rows, model.num_views)

    def decode(params, batch):
      return model.generate(
        params,
        jax.random.key(0),
        0,
        batch["labels"],
        batch["tokens"],
        cameras=Cameras.from_batch(batch),
      ).tokens[-1]

    arguments = (self._programs.whole(shapes), self._programs.split(batch))
    num_clips = rows * model.num_views
    return self._programs.compiled(
      DECODING, decode, arguments, [shapes], num_clips, None
    )

  def _num_steps(self, name: str) -> int:
    training = self._config.training(name)
    if training.num_steps is not None:
      return training.num_steps
    num_clips = self._config.data.num_train * self._data.num_cameras()
    return math.ceil(num_clips * training.num_epochs / training.batch_size)
