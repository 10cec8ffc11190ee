"""What each stage of a run takes on given devices, before anything starts.

Every step is compiled for the devices, which need not be here. The program
that comes out is the one that would run: its memory and what it moves are
exact. Its bound of time is what no run beats; kernels that are not tried out
may be slower.
"""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError, as_user_errors
from magvit3d.models.cameras import Cameras
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.plan import described_devices, program_bounds
from magvit3d.run import network_checks
from magvit3d.run.data import RunData
from magvit3d.run.networks import RunNetworks
from magvit3d.run.video_data import VideoData
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.health import SkippingStep
from magvit3d.training.tokenizer_stage import TokenizerStage

_LAST_STEP = 2**30  # By then the discriminator plays, if there is one.
DECODING = "decoding"


@dataclasses.dataclass(frozen=True)
class StagePlan:
  """What a program takes; bytes and seconds are those of one device.

  Attributes:
    parameters: Of the networks that it trains, or reads.
    batch_size: Clips, over all devices.
    num_steps: Of the whole stage; None for decoding.
    flops: Of a step, over all devices.
    state_bytes: Parameters, optimizer state and inputs.
    temporary_bytes: Everything else that lives during a step.
    fits: Whether both are below the device's memory; None: not known.
    largest_batch: That would fit, in proportion; None: not known.
    collective_bytes: Results of what devices send one another in a step.
    largest_collective: Bytes, operation and type of the largest, if any.
    bound_s: A step takes no less; None where the device is not known.
    products_s: Of it convolutions and matrix products.
    longest_s: Seconds of the bound by operation, the longest first.
    compile_s: That compiling took here.
  """

  parameters: int
  batch_size: int
  num_steps: int | None
  flops: float
  state_bytes: int
  temporary_bytes: int
  fits: bool | None
  largest_batch: int | None
  collective_bytes: int
  largest_collective: Mapping[str, Any] | None
  bound_s: float | None
  products_s: float | None
  longest_s: Mapping[str, float]
  compile_s: float

  @property
  def least_hours(self) -> float | None:
    """Hours of all steps, none of which is faster than the bound."""
    if self.bound_s is None or self.num_steps is None:
      return None
    return self.bound_s * self.num_steps / 3600


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
  if config.study:
    raise UserError(
      f"--plan is for tokenizer and transformer, and {config.study} is a "
      "study, which has other networks."
    )
  devices, kind = described_devices.describe(device)
  if device != described_devices.HERE:
    config = _for_accelerators(config)
  mesh = sharding.make_mesh(vars(config.mesh), devices)
  data = VideoData(config) if config.videos else RunData(config, workdir)
  networks = RunNetworks(config, data, workdir, mesh)
  network_checks.check_batches(config, networks, data)
  planner = _Planner(config, networks, data, mesh, kind)
  return Plan(device, mesh.size, kind.memory_bytes, planner.stages(), price)


def _for_accelerators(config: RunConfig) -> RunConfig:
  """Choices that are left to the device, as a GPU's or TPU's."""
  vqvae, changes = config.vqvae, {}
  if vqvae.conv_implementation is None:
    changes["vqvae"] = dataclasses.replace(vqvae, conv_implementation="xla")
  if config.maskgvt and config.transformer.attention_implementation is None:
    changes["transformer"] = dataclasses.replace(
      config.transformer, attention_implementation="xla"
    )
  return dataclasses.replace(config, **changes)


class _Planner:
  """Compiles one program after the other."""

  def __init__(
    self,
    config: RunConfig,
    networks: RunNetworks,
    data: RunData | VideoData,
    mesh: Mesh,
    kind: described_devices.Kind,
  ):
    self._config, self._networks, self._data = config, networks, data
    self._mesh, self._kind = mesh, kind

  def stages(self) -> dict[str, StagePlan]:
    """Returns what each takes."""
    found, config = {}, self._config
    with as_user_errors(ValueError):
      if config.train_tokenizer:
        shape = self._networks.training_shape
        stage = TokenizerStage(config, _LAST_STEP, shape)
        found["tokenizer"] = self._step("tokenizer", stage)
      if config.train_transformer:
        params = self._networks.tokenizer_shapes()
        model = self._networks.token_model(self._data.num_classes())
        stage = self._networks.transformer_stage(model, params, _LAST_STEP)
        found["transformer"] = self._step("transformer", stage)
        if isinstance(model, TokenModel):
          found[DECODING] = self._decoding(model)
    return found

  def _step(self, name: str, stage: Any) -> StagePlan:
    rows = self._config.training(name).batch_size
    batch = network_checks.batch_shapes(
      self._config, self._networks, self._data, name, rows
    )
    shapes = jax.eval_shape(stage.init_state)
    places = sharding_rules.state_shardings(shapes, self._mesh)
    step = SkippingStep(stage.step_function(_LAST_STEP))
    trained = (
      [shapes.g_params, shapes.d_params]
      if name == "tokenizer"
      else [shapes.params]
    )
    return self._compiled(
      name,
      lambda state, batch, frozen: step(state, batch, frozen),
      (
        sharding.with_shardings(shapes, places),
        self._split(batch),
        self._whole(stage.frozen),
      ),
      trained,
      rows,
      self._num_steps(name),
      donate_argnums=0,
      out_shardings=(places, sharding.replicated(self._mesh)),
    )

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

    arguments = (self._whole(shapes), self._split(batch))
    num_clips = rows * model.num_views
    return self._compiled(
      DECODING, decode, arguments, [shapes], num_clips, None
    )

  def _split(self, batch: PyTree) -> PyTree:
    place = sharding.batch_sharding(self._mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), batch
    )

  def _whole(self, tree: PyTree) -> PyTree:
    place = sharding.replicated(self._mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
    )

  def _num_steps(self, name: str) -> int:
    training = self._config.training(name)
    if training.num_steps is not None:
      return training.num_steps
    num_clips = self._config.data.num_train * self._data.num_cameras()
    return math.ceil(num_clips * training.num_epochs / training.batch_size)

  def _compiled(
    self,
    name: str,
    function: Callable,
    arguments: tuple,
    trees: list[PyTree],
    batch_size: int,
    num_steps: int | None,
    **options: Any,
  ) -> StagePlan:
    logging.info("Compiling %s for %d device(s).", name, self._mesh.size)
    start = time.monotonic()
    with jax.set_mesh(self._mesh):
      lowered = jax.jit(function, **options).lower(*arguments)
      compiled = lowered.compile(dict(self._kind.options))
    seconds = time.monotonic() - start
    text, memory = compiled.as_text(), compiled.memory_analysis()
    num_loops = 1
    if name == DECODING:
      num_loops = self._config.maskgvt.sampling.mask_bins
    flops, bound, products, longest = self._bounds(compiled, text, num_loops)
    moves = program_bounds.collectives(text)
    state = memory.argument_size_in_bytes
    temporary = memory.temp_size_in_bytes
    room = self._kind.memory_bytes
    return StagePlan(
      parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(trees)),
      batch_size=batch_size,
      num_steps=num_steps,
      flops=flops * self._mesh.size,
      state_bytes=state,
      temporary_bytes=temporary,
      fits=None if room is None else state + temporary <= room,
      largest_batch=None
      if room is None
      else self._largest_batch(room - state, temporary, batch_size),
      collective_bytes=sum(size for size, *_ in moves),
      largest_collective=dict(
        zip(("bytes", "operation", "type"), moves[0], strict=True)
      )
      if moves
      else None,
      bound_s=bound,
      products_s=products,
      longest_s=longest,
      compile_s=round(seconds, 1),
    )

  def _largest_batch(self, room: int, temporary: int, batch_size: int) -> int:
    """Temporary memory grows with the batch; a multiple of the devices."""
    shards = sharding.num_batch_shards(self._mesh)
    most = max(room, 0) * batch_size // max(temporary, 1)
    return int(most // shards * shards)

  def _bounds(
    self, compiled: Any, text: str, num_loops: int
  ) -> tuple[float, float | None, float | None, dict[str, float]]:
    """FLOPs on a device, bound of the time, of it products, by operation."""
    kind = self._kind
    if kind.is_gpu:
      bounds = program_bounds.read(text, num_loops)
      products = bounds.flops / program_bounds.FLOPS_PER_SECOND
      longest = dict(bounds.seconds.most_common(6))
      return bounds.flops, sum(bounds.seconds.values()), products, longest
    cost = compiled.cost_analysis() or {}
    flops, moved = cost.get("flops", 0.0), cost.get("bytes accessed", 0.0)
    if kind.flops_per_second is None:
      return flops, None, None, {}
    products = flops / kind.flops_per_second
    return flops, max(products, moved / kind.bytes_per_second), products, {}
