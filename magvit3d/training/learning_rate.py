"""Learning rate as a function of the step: linear warm-up, then cosine."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


def warmup_cosine(
  base_learning_rate: float, warmup_steps: int, steps_per_cycle: int
) -> Callable[[Array], Float[Array, ""]]:
  """Returns the schedule `step -> rate`.

  The rate is base * min(1, step / warmup_steps) times a cosine that starts
  after the warm-up and reaches 0 at `steps_per_cycle`, where it jumps back to
  the peak; a run ends there at the latest.

  Args:
    base_learning_rate: Peak.
    warmup_steps: 0 for none.
    steps_per_cycle: Usually the run's number of steps; more than
      `warmup_steps`.
  """
  if steps_per_cycle <= warmup_steps:
    raise ValueError(
      f"warmup_steps={warmup_steps} leaves nothing of the run's "
      f"{steps_per_cycle} steps. Lower warmup_steps or train longer."
    )

  def schedule(step):
    step = jnp.asarray(step, jnp.float32)
    warmup = jnp.minimum(1.0, step / warmup_steps) if warmup_steps else 1.0
    progress = (step - warmup_steps) / (steps_per_cycle - warmup_steps)
    progress = jnp.maximum(0.0, progress) % 1.0
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * progress))
    return base_learning_rate * warmup * cosine

  return schedule


def applied_rate(
  schedule: Callable[[Array], Float[Array, ""]], opt_state: PyTree
) -> Float[Array, ""]:
  """Returns the rate that the optimizer's next update takes.

  The optimizer counts its own updates: a player that began late, or steps that
  were skipped, put it behind the step of the state.

  Args:
    schedule: That of the optimizer.
    opt_state: State before the update; its schedules count alike.
  """

  def is_schedule(node):
    return isinstance(node, optax.ScaleByScheduleState)

  nodes = jax.tree.leaves(opt_state, is_leaf=is_schedule)
  found = next(node for node in nodes if is_schedule(node))
  return schedule(found.count)
