"""Steps whose loss or gradients are not finite change nothing, and are counted.

The decision is made on the device, of values that are the same on all of them,
so that replicas stay in step and the host need not wait.
"""

from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from magvit3d.errors import UserError


@flax.struct.dataclass
class Health:
  """Part of a stage's state; its types are loose, as there.

  Attributes:
    skipped_steps: Steps that were not taken, int ().
    first_step: Number of the first of them, from 1; int ().
    first_term: The first value that was not finite then, an index into the
      step's metrics; int ().
  """

  skipped_steps: PyTree
  first_step: PyTree
  first_term: PyTree


def healthy() -> Health:
  """Returns the value at the start of a run."""
  return Health(*(jnp.zeros((), jnp.int32) for _ in range(3)))


class SkippingStep:
  """A step that leaves the state as it was where a metric is not finite.

  Metrics include the norms of the gradients. The step is counted all the
  same: the next one has other clips and other random numbers.

  Args:
    train_step: `(state, batch, frozen) -> (state, metrics)`; the state has
      `step` and `health`.
  """

  def __init__(self, train_step: Callable):
    self._train_step = train_step
    self.terms: tuple[str, ...] = ()  # Metrics; known once it is traced.

  def __call__(
    self, state: PyTree, batch: Mapping[str, Array], frozen: PyTree
  ) -> tuple[PyTree, dict[str, Array]]:
    new, metrics = self._train_step(state, batch, frozen)
    self.terms = tuple(metrics)
    is_bad = ~jnp.isfinite(jnp.stack([metrics[term] for term in self.terms]))
    is_skipped = jnp.any(is_bad)
    old = state.health
    is_first = is_skipped & (old.skipped_steps == 0)
    health = Health(
      skipped_steps=old.skipped_steps + is_skipped,
      first_step=jnp.where(is_first, new.step, old.first_step),
      first_term=jnp.where(is_first, jnp.argmax(is_bad), old.first_term),
    )
    kept = jax.tree.map(
      lambda new, old: jnp.where(is_skipped, old, new), new, state
    )
    skipped = {"skipped_steps": health.skipped_steps}
    return kept.replace(step=new.step, health=health), metrics | skipped

  def check(self, name: str, state: PyTree, max_skipped_steps: int) -> None:
    """Raises UserError if too many steps were skipped.

    Args:
      name: Name of the stage.
      state: The state after a step.
      max_skipped_steps: `config.max_skipped_steps`.
    """
    count = int(state.health.skipped_steps)
    if count <= max_skipped_steps:
      return
    step = int(state.health.first_step)
    term = self.terms[int(state.health.first_term)]
    raise UserError(
      f"{name}: {count} steps were skipped because a loss or gradient was not "
      f"finite, more than config.max_skipped_steps={max_skipped_steps}. The "
      f"first was step {step}, in {term}. Checkpoints hold finite values; "
      "lower the learning rate, lengthen its warm-up, or clip gradients "
      "(optimizer.max_grad_norm), and run the same command again."
    )
