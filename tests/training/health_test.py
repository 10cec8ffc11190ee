"""Steps that are not finite change nothing and are counted."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from magvit3d.errors import UserError
from magvit3d.training.health import SkippingStep, healthy


@flax.struct.dataclass
class _State:
  step: PyTree
  params: PyTree
  health: PyTree


def _train_step(state, batch, frozen):
  """Descends on (params - x)^2; `gradient` spoils the gradient alone."""
  gradient = 2 * (state.params - batch["x"]) * batch["gradient"]
  metrics = {
    "loss": (state.params - batch["x"]) ** 2,
    "grad_norm": jnp.abs(gradient),
  }
  params = state.params - 0.25 * gradient
  return state.replace(step=state.step + 1, params=params), metrics


def _run(rows):
  step = SkippingStep(_train_step)
  compiled = jax.jit(step)
  state = _State(jnp.int32(0), jnp.float32(0), healthy())
  states = []
  for x, gradient in rows:
    batch = {"x": jnp.float32(x), "gradient": jnp.float32(gradient)}
    state, metrics = compiled(state, batch, ())
    states.append((float(state.params), metrics))
  return step, state, states


def test_finite_steps_are_taken_as_they_are():
  step, state, states = _run([(1, 1), (1, 1)])
  assert [params for params, _ in states] == [0.5, 0.75]
  assert int(state.health.skipped_steps) == 0
  step.check("tokenizer", state, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_loss_leaves_the_state(bad):
  _, state, states = _run([(1, 1), (bad, 1), (1, 1)])
  assert [params for params, _ in states] == [0.5, 0.5, 0.75]
  assert int(state.step) == 3
  assert [int(m["skipped_steps"]) for _, m in states] == [0, 1, 1]


def test_bad_gradient_of_a_finite_loss_leaves_the_state():
  step, state, states = _run([(1, 1), (1, np.nan)])
  assert [params for params, _ in states] == [0.5, 0.5]
  with pytest.raises(UserError, match=r"step 2, in grad_norm"):
    step.check("tokenizer", state, 0)


def test_failure_names_the_first_of_the_skipped_steps():
  step, state, _ = _run([(1, 1), (np.nan, 1), (1, np.inf), (1, 1)])
  step.check("tokenizer", state, 2)
  with pytest.raises(UserError) as error:
    step.check("tokenizer", state, 1)
  text = str(error.value)
  assert "tokenizer: 2 steps" in text and "max_skipped_steps=1" in text
  assert "first was step 2, in loss" in text
