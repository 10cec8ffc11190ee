"""How far the loop runs ahead of the device: a stop waits for those steps."""

import jax
import jax.numpy as jnp
import numpy as np
import small_loops

from magvit3d.config.training import NetworkTrainingConfig, OptimizerConfig
from magvit3d.training import loop
from magvit3d.training.network_stage import NetworkStage

_NUM_STEPS = 8


class _Numbers:
  def __len__(self):
    return 4

  def __getitem__(self, index):
    return {"number": np.float32(index)}


class _Counted:
  """A compiled step that notes how many are not done when one is dispatched."""

  def __init__(self, compiled):
    self._compiled, self._losses, self.unfinished = compiled, [], []

  def __getattr__(self, name):
    return getattr(self._compiled, name)

  def __call__(self, *arguments):
    state, metrics = self._compiled(*arguments)
    self._losses.append(metrics["loss"])
    is_done = [loss.is_ready() for loss in self._losses]
    self.unfinished.append(is_done.count(False))
    return state, metrics


def _slow(params, batch, frozen, rng):
  """A loss that takes far longer than to dispatch it."""
  del frozen, rng
  product = jax.lax.fori_loop(
    0, 300, lambda _, x: x @ x / 300, jnp.ones((300, 300))
  )
  loss = jnp.mean(params["kernel"] * product) + 0 * jnp.mean(batch["number"])
  return loss, {"loss": loss}


def test_two_steps_at_most_are_on_the_device(tmp_path, monkeypatch):
  training = NetworkTrainingConfig(
    learning_rate=1e-3,
    warmup_steps=1,
    optimizer=OptimizerConfig(beta1=0.9, beta2=0.99, weight_decay=0.0),
  )
  stage = NetworkStage(
    training, _NUM_STEPS, 0, lambda rng: {"kernel": jnp.ones((300, 300))}, _slow
  )
  made, compile_step = [], loop._compile

  def compiled(*arguments):
    made.append(_Counted(compile_step(*arguments)))
    return made[-1]

  monkeypatch.setattr(loop, "_compile", compiled)
  small_loops.train(
    stage,
    _Numbers(),
    tmp_path,
    num_steps=_NUM_STEPS,
    log_every_steps=100,
    validate_every_steps=100,
    checkpoint_every_steps=100,
  )
  (step,) = made
  assert len(step.unfinished) == _NUM_STEPS
  assert max(step.unfinished) <= 2
