"""The one training loop, whatever the stage.

It only orders things: next batch, step, log, validate, save. A stage gives
the state and the step function.
"""

import dataclasses
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import grain
import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from magvit3d import sharding
from magvit3d.errors import UserError
from magvit3d.training.checkpoints import Checkpoints
from magvit3d.training.monitor import DONE, INTERRUPTED, Monitor


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

  def train_step(
    self, state: PyTree, batch: Mapping[str, Array], frozen: PyTree
  ) -> tuple[PyTree, dict[str, Array]]:
    """One step; traced once."""

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
    stop_after_step: Save and stop there as if interrupted; None for never.
  """

  num_steps: int
  log_every_steps: int
  validate_every_steps: int
  checkpoint_every_steps: int
  stop_after_step: int | None = None


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

  Returns:
    The state after the last step, saved.

  Raises:
    Interrupted: SIGTERM or SIGINT came, or `stop_after_step` was reached.
    UserError: The loss is not finite.
  """
  state = sharding.replicate(_init_state(stage), mesh)
  frozen = sharding.replicate(stage.frozen, mesh)
  if checkpoints.latest_step() is not None:
    state = checkpoints.restore(state, batches)
  logging.info("%s: %s parameters.", name, count_parameters(state))
  step = int(state.step)
  if step >= options.num_steps:
    return state
  checkpoints.check_disk_space(state)
  compiled = None
  with (
    Monitor(
      workdir, name, options.num_steps, options.log_every_steps
    ) as monitor,
    _stop_signals() as stop_requested,
  ):
    monitor.start(step)
    while step < options.num_steps:
      changed = stage.before_step(state, step)
      if changed is not state:
        state = sharding.replicate(changed, mesh)
      batch = sharding.shard_batch(next(batches), mesh)
      if compiled is None:
        compiled = _compile(stage.train_step, mesh, state, batch, frozen)
      state, metrics = compiled(state, batch, frozen)
      step += 1
      is_last = step == options.num_steps
      scores = {}
      if is_last or step % options.validate_every_steps == 0:
        scores = {f"validation/{k}": v for k, v in validate(state).items()}
      is_stopping = stop_requested.is_set() or step == options.stop_after_step
      is_saving = (
        is_last or is_stopping or step % options.checkpoint_every_steps == 0
      )
      # What is saved is looked at, so that no checkpoint holds a NaN.
      if scores or is_saving or monitor.is_log_step(step):
        values = {key: float(metrics[key]) for key in stage.headline}
        values |= {key: float(value) for key, value in metrics.items()}
        _check_finite(name, step, values)
        shown = {f"train/{key}": values.pop(key) for key in stage.headline}
        rest = {f"train/{key}": value for key, value in values.items()}
        monitor.log(step, shown | scores | rest)
      if is_saving:
        checkpoints.save(step, state, batches, scores)
      if is_stopping and not is_last:
        checkpoints.wait()
        reason = f"{name} stopped at step {step} and saved it"
        monitor.finish(INTERRUPTED, reason)
        raise Interrupted(f"{reason}; run the same command again to continue.")
    checkpoints.wait()
    monitor.finish(DONE)
    if stop_requested.is_set():
      raise Interrupted(
        f"{name} is complete, and the run was asked to stop; run the same "
        "command again to continue."
      )
  return state


def _init_state(stage: Stage) -> PyTree:
  """Makes the first state; the program runs once, so it is not optimised."""
  program = jax.jit(stage.init_state).lower()
  return program.compile({"xla_backend_optimization_level": 0})()


def _compile(train_step, mesh, state, batch, frozen):
  step = jax.jit(
    train_step,
    donate_argnums=0,
    out_shardings=NamedSharding(mesh, PartitionSpec()),
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


def _check_finite(name: str, step: int, metrics: Mapping[str, float]) -> None:
  bad = [key for key, value in metrics.items() if not np.isfinite(value)]
  if bad:
    raise UserError(
      f"{name} step {step}: {', '.join(bad)} is not finite. The checkpoints "
      "are from before; lower the learning rate and run the same command again."
    )


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
  """Turns SIGTERM and SIGINT into an event while the context lasts."""
  event = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield event
    return
  signals = (signal.SIGTERM, signal.SIGINT)
  old = {s: signal.signal(s, lambda *_: event.set()) for s in signals}
  try:
    yield event
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)


def count_parameters(state: PyTree) -> str:
  """Says how many parameters each of a state's `*params` has."""
  counts = {
    field: sum(x.size for x in jax.tree.leaves(getattr(state, field)))
    for field in state.__dataclass_fields__
    if field.endswith("params")
  }
  return ", ".join(f"{key} {count:,}" for key, count in counts.items())
