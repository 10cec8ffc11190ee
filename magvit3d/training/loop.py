"""The one training loop, whatever the stage.

It only orders things: next batch, step, log, validate, save. A stage gives
the state and the step function.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import grain
import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.cli import interruption
from magvit3d.config.run import MonitoringConfig
from magvit3d.monitoring.device_memory import memory_metrics
from magvit3d.monitoring.flops import FlopsMeter
from magvit3d.monitoring.monitor import DONE, INTERRUPTED, Monitor
from magvit3d.monitoring.profiling import Profiler, StepSpan
from magvit3d.monitoring.step_times import StepTimes
from magvit3d.parallel import processes, sharding, sharding_rules
from magvit3d.training.health import SkippingStep


@runtime_checkable
class Stage(Protocol):
  """What the loop needs of a stage.

  Attributes:
    frozen: Arrays that are passed to every step.
    headline: Metrics that are shown first.
  """

  frozen: PyTree
  headline: tuple[str, ...]

  def init_state(self) -> PyTree:
    """The state before the first step; it has a scalar `step`."""

  def step_function(self, step: int) -> Callable:
    """The step after `step` others: state, batch, frozen to state, metrics.

    It is traced once, until another one is returned; the metrics' names stay.
    """

  def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
    """Raises UserError if a batch, on the host, does not fit."""

  def before_step(self, state: PyTree, step: int) -> PyTree:
    """Called on the host before each step; mostly returns `state`."""


@dataclasses.dataclass(frozen=True)
class LoopOptions:
  """When the loop does what.

  Attributes:
    num_steps: Steps of the whole stage.
    log_every_steps: Interval of metrics.
    validate_every_steps: Interval of validation.
    checkpoint_every_steps: Interval of checkpoints.
    max_skipped_steps: Steps that may be skipped for values that are not
      finite, over the whole stage.
    stop_after_step: Save and stop there as if interrupted; None for never.
    monitoring: `config.monitoring`.
    dtype: `config.dtype`, for the peak FLOP/s.
    num_parts: Of gradient accumulation.
    per_step: For `StepTimes`, such as {"clips": 48}.
    profile: Steps to trace, from `--profile_steps`.
    document: The run's config, for Weights & Biases.
  """

  num_steps: int
  log_every_steps: int
  validate_every_steps: int
  checkpoint_every_steps: int
  max_skipped_steps: int
  stop_after_step: int | None = None
  monitoring: MonitoringConfig = dataclasses.field(
    default_factory=MonitoringConfig
  )
  dtype: str = "float32"
  num_parts: int = 1
  per_step: Mapping[str, int] = dataclasses.field(default_factory=dict)
  profile: StepSpan | None = None
  document: Mapping[str, Any] | None = None


class Interrupted(Exception):
  """Training was asked to stop, and saved what it had."""


def train(
  name: str,
  stage: Stage,
  *,
  workdir: pathlib.Path,
  batches: grain.DatasetIterator,
  options: LoopOptions,
  checkpoints: Checkpoints,
  mesh: Mesh,
  validate: Callable[[PyTree], dict[str, float]],
  draw: Callable[[PyTree], np.ndarray] | None = None,
) -> PyTree:
  """Trains a stage to its last step, from its newest checkpoint if any.

  Args:
    name: Name of the stage.
    stage: See `Stage`.
    workdir: Folder of the run.
    batches: Endless; dicts of NumPy arrays.
    options: See `LoopOptions`.
    checkpoints: Of this stage.
    mesh: Devices.
    validate: Scores a state.
    draw: Makes a picture of a state's work, uint8 (t, h, w, 3), whenever it is
      validated; None: no pictures.

  Returns:
    The state after the last step, saved.

  Raises:
    Interrupted: A signal to stop came, or `stop_after_step` was reached.
    UserError: More steps than allowed had values that are not finite.
  """
  with jax.set_mesh(mesh):
    return _train(
      name, stage, workdir, batches, options, checkpoints, mesh, validate, draw
    )


def _train(
  name, stage, workdir, batches, options, checkpoints, mesh, validate, draw
) -> PyTree:
  shapes = jax.eval_shape(stage.init_state)
  shardings = sharding_rules.state_shardings(shapes, mesh)
  _describe(name, shapes, shardings, mesh)
  if checkpoints.latest_step() is None:
    state = _init_state(stage, shardings)
  else:
    state = checkpoints.restore(
      sharding.with_shardings(shapes, shardings), batches
    )
  frozen = sharding.replicate(stage.frozen, mesh)
  step = int(state.step)
  if step >= options.num_steps:
    return state
  checkpoints.check_disk_space(state)
  function = step_function = compiled = previous = None
  with (
    Monitor(
      workdir,
      name,
      options.num_steps,
      options.log_every_steps,
      is_main_process=processes.is_main(),
      options=options.monitoring,
      document=options.document,
    ) as monitor,
    interruption.deferred(),
    Profiler(
      options.profile if processes.is_main() else None,
      workdir / name / "profile",
    ) as profiler,
  ):
    monitor.start(step)
    times = StepTimes(per_step=options.per_step)
    while step < options.num_steps:
      if function != stage.step_function(step):
        function, compiled = stage.step_function(step), None
        step_function = SkippingStep(function)
      changed = stage.before_step(state, step)
      if changed is not state:
        state = sharding.put(changed, shardings)
      with times.reading():
        batch = next(batches)
      if compiled is None:
        stage.check_batch(batch)
      batch = sharding.shard_batch(batch, mesh)
      if compiled is None:
        with monitor.activity("compiling"), times.pausing():
          compiled = _compile(
            step_function, shardings, mesh, state, batch, frozen
          )
        meter = FlopsMeter.of_step(
          compiled,
          mesh.devices.flat,
          options.dtype,
          options.monitoring.peak_flops_per_second,
          options.num_parts,
        )
      profiler.before_step(step + 1)
      state, metrics = compiled(state, batch, frozen)
      jax.block_until_ready(previous)  # A stop waits for two steps, no more.
      step, previous = step + 1, metrics
      monitor.beat(step)
      times.step_done()
      profiler.after_step(step, state)
      is_last = step == options.num_steps
      scores = {}
      if is_last or step % options.validate_every_steps == 0:
        jax.block_until_ready(metrics)  # Else its wait would be validation's.
        with monitor.activity("validation"), times.pausing():
          scores = {f"validation/{k}": v for k, v in validate(state).items()}
          if draw is not None:
            monitor.show_samples(step, draw(state))
      is_saving_time = step % options.checkpoint_every_steps == 0
      is_looking = bool(scores) or is_saving_time or monitor.is_log_step(step)
      is_stop_requested, is_save_requested = _requests(is_looking)
      is_stopping = step == options.stop_after_step or is_stop_requested
      is_saving = is_last or is_stopping or is_saving_time or is_save_requested
      if is_looking or is_saving:
        step_function.check(name, state, options.max_skipped_steps)
        values = {key: float(metrics[key]) for key in stage.headline}
        values |= {key: float(value) for key, value in metrics.items()}
        timed = times.take()
        values |= timed | memory_metrics()
        values |= meter.metrics(timed.get("step_time_s"))
        shown = {f"train/{key}": values.pop(key) for key in stage.headline}
        rest = {f"train/{key}": value for key, value in values.items()}
        monitor.log(step, shown | scores | rest)
      if is_saving:
        with monitor.activity("saving"), times.pausing():
          checkpoints.save(step, state, batches, scores)
      if is_save_requested:
        with monitor.activity("saving"), times.pausing():
          checkpoints.wait()
        logging.info("%s saved step %d, as SIGUSR2 asked.", name, step)
      if is_stopping and not is_last:
        with monitor.activity("saving"):
          checkpoints.wait()
        reason = f"{name} stopped at step {step} and saved it"
        if interruption.is_requeue():
          reason += f", {interruption.reason()}"
        monitor.finish(INTERRUPTED, reason)
        raise Interrupted(f"{reason}; run the same command again to continue.")
    with monitor.activity("saving"):
      checkpoints.wait()
    monitor.finish(DONE)
    if interruption.is_stop_requested():
      raise Interrupted(
        f"{name} is complete, and the run was asked to stop; run the same "
        "command again to continue."
      )
  return state


def _describe(name, shapes, shardings, mesh) -> None:
  logging.info("%s: %s parameters.", name, count_parameters(shapes))
  if mesh.shape["fsdp"] == mesh.shape["tensor"] == 1:
    return
  sizes = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
  logging.info(
    "%s: mesh %s; %.1f MB of state on a device.\n%s",
    name,
    sizes,
    sharding_rules.bytes_per_device(shapes, shardings) / 2**20,
    sharding_rules.table(*(_parameters(t) for t in (shapes, shardings))),
  )


def _parameters(tree: PyTree) -> dict[str, PyTree]:
  """The parameters of a state, or what belongs to them, by field."""
  return {
    field: getattr(tree, field)
    for field in tree.__dataclass_fields__
    if field.endswith("params")
  }


def _init_state(stage: Stage, shardings: PyTree) -> PyTree:
  """Makes the first state; the program runs once, so it is not optimised."""
  program = jax.jit(stage.init_state, out_shardings=shardings).lower()
  return program.compile({"xla_backend_optimization_level": 0})()


def _requests(is_looking: bool) -> tuple[bool, bool]:
  """Whether some process was asked to stop, and whether to save.

  All of them say the same; so several of them only ask where they look anyway.
  """
  if jax.process_count() == 1:
    return interruption.is_stop_requested(), interruption.take_save_request()
  if not is_looking:
    return False, False
  return (
    processes.is_true_anywhere(interruption.is_stop_requested()),
    processes.is_true_anywhere(interruption.take_save_request()),
  )


def _compile(step_function, shardings, mesh, state, batch, frozen):
  def train_step(state, batch, frozen):
    return step_function(state, batch, frozen)

  step = jax.jit(
    train_step,
    donate_argnums=0,
    out_shardings=(shardings, sharding.replicated(mesh)),
  )
  compiled = step.lower(state, batch, frozen).compile()
  analysis = compiled.memory_analysis()
  if analysis is not None:
    logging.info(
      "Memory of a step: %.0f MB of state and inputs, %.0f MB of "
      "intermediate values.",
      analysis.argument_size_in_bytes / 2**20,
      analysis.temp_size_in_bytes / 2**20,
    )
  return compiled


def count_parameters(state: PyTree) -> str:
  """Says how many parameters each of a state's `*params` has."""
  counts = {
    field: sum(leaf.size for leaf in jax.tree.leaves(params))
    for field, params in _parameters(state).items()
  }
  return ", ".join(f"{key} {count:,}" for key, count in counts.items())
