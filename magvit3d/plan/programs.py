"""Programs, compiled for given devices, and what each of them takes."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.monitoring.flops import step_flops
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.plan import described_devices, program_bounds
from magvit3d.training import loop
from magvit3d.training.health import SkippingStep

LAST_STEP = 2**30  # By then the discriminator plays, if there is one.


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


class Programs:
  """Compiles one program after the other.

  Args:
    mesh: Devices, which need not be here.
    kind: Of them.
  """

  def __init__(self, mesh: Mesh, kind: described_devices.Kind):
    self.mesh, self._kind = mesh, kind

  def step(
    self,
    name: str,
    stage: loop.Stage,
    batch: PyTree,
    batch_size: int,
    num_steps: int,
  ) -> StagePlan:
    """Compiles a training step.

    Args:
      name: Of the stage.
      stage: Network, loss and optimizer.
      batch: Shapes.
      batch_size: Clips of it.
      num_steps: Of the stage.
    """
    shapes = jax.eval_shape(stage.init_state)
    places = sharding_rules.state_shardings(shapes, self.mesh)
    step = SkippingStep(stage.step_function(LAST_STEP))
    names = ("params", "g_params", "d_params")
    return self.compiled(
      name,
      lambda state, batch, frozen: step(state, batch, frozen),
      (
        sharding.with_shardings(shapes, places),
        self.split(batch),
        self.whole(stage.frozen),
      ),
      [getattr(shapes, name) for name in names if hasattr(shapes, name)],
      batch_size,
      num_steps,
      donate_argnums=0,
      out_shardings=(places, sharding.replicated(self.mesh)),
    )

  def split(self, batch: PyTree) -> PyTree:
    """Returns shapes of a batch, with places over all devices."""
    place = sharding.batch_sharding(self.mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), batch
    )

  def whole(self, tree: PyTree) -> PyTree:
    """Returns shapes of what each device has all of."""
    place = sharding.replicated(self.mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
    )

  def compiled(
    self,
    name: str,
    function: Callable,
    arguments: tuple,
    trees: list[PyTree],
    batch_size: int,
    num_steps: int | None,
    **options: Any,
  ) -> StagePlan:
    """Compiles a function.

    Args:
      name: Of the program.
      function: Of the arguments.
      arguments: Shapes, with their places.
      trees: Of parameters, which are counted.
      batch_size: Clips, over all devices.
      num_steps: Of the stage; None: it is none.
      **options: Of `jax.jit`.
    """
    logging.info("Compiling %s for %d device(s).", name, self.mesh.size)
    start = time.monotonic()
    with jax.set_mesh(self.mesh):
      lowered = jax.jit(function, **options).lower(*arguments)
      compiled = lowered.compile(dict(self._kind.options))
    seconds = time.monotonic() - start
    text, memory = compiled.as_text(), compiled.memory_analysis()
    flops, bound, products, longest = self._bounds(compiled, text)
    moves = program_bounds.collectives(text)
    state = memory.argument_size_in_bytes
    temporary = memory.temp_size_in_bytes
    room = self._kind.memory_bytes
    return StagePlan(
      parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(trees)),
      batch_size=batch_size,
      num_steps=num_steps,
      flops=flops * self.mesh.size,
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
    shards = sharding.num_batch_shards(self.mesh)
    most = max(room, 0) * batch_size // max(temporary, 1)
    return int(most // shards * shards)

  def _bounds(
    self, compiled: Any, text: str
  ) -> tuple[float, float | None, float | None, dict[str, float]]:
    """FLOPs on a device, bound of the time, of it products, by operation."""
    kind = self._kind
    if kind.platform == "gpu":
      bounds = program_bounds.read(text)
      products = bounds.flops / program_bounds.FLOPS_PER_SECOND
      longest = dict(bounds.seconds.most_common(6))
      return bounds.flops, sum(bounds.seconds.values()), products, longest
    cost = compiled.cost_analysis() or {}
    flops, moved = step_flops(compiled) or 0.0, cost.get("bytes accessed", 0.0)
    if kind.flops_per_second is None:
      return flops, None, None, {}
    products = flops / kind.flops_per_second
    return flops, max(products, moved / kind.bytes_per_second), products, {}
