"""The overfit check tells networks that learn from those that cannot."""

import flax.struct
import jax.numpy as jnp
import numpy as np
import shrunk
from jaxtyping import PyTree

from magvit3d.config.run import RunConfig
from magvit3d.parallel import sharding
from magvit3d.run import overfit
from magvit3d.training.health import healthy


@flax.struct.dataclass
class _State:
  step: PyTree
  params: PyTree
  health: PyTree


class _Slope:
  """Fits one number; `rate` 0 never learns."""

  frozen = ()
  headline = ("loss",)

  def __init__(self, rate):
    self._rate = rate

  def init_state(self):
    return _State(jnp.int32(0), jnp.float32(0), healthy())

  def train_step(self, state, batch, frozen):
    error = state.params - jnp.mean(batch["x"])
    params = state.params - self._rate * 2 * error
    metrics = {"loss": error**2, "reconstruction_loss": error**2}
    return state.replace(step=state.step + 1, params=params), metrics

  def step_function(self, step):
    return self.train_step

  def before_step(self, state, step):
    return state

  def check_batch(self, batch):
    pass


def _train(rate, name="transformer", max_steps=200):
  batch = {"x": np.full((8,), 2.0, np.float32)}
  target = overfit.TARGETS[name]
  mesh = sharding.make_mesh()
  return overfit.train(name, _Slope(rate), batch, target, mesh, max_steps)


def test_network_that_learns_is_told_so_and_stops():
  verdict = _train(0.1)
  assert verdict.has_learned and verdict.score < overfit.MAX_LOSS
  assert verdict.step == 50  # Mean loss: .44 up to step 25, then 6e-6.
  assert "transformer can learn: loss" in verdict.line()


def test_network_that_does_not_is_given_up():
  verdict = _train(0.0)
  assert not verdict.has_learned
  assert (verdict.step, verdict.score) == (200, 4.0)
  assert "transformer DID NOT LEARN: loss 4 after 200 steps" in verdict.line()


def test_tokenizer_is_judged_once_it_quantizes():
  verdict = _train(0.1, "tokenizer", 400)
  assert verdict.step > 100 and verdict.score > overfit.MIN_PSNR_DB
  assert " dB after" in verdict.line()


def test_each_class_is_taken_before_a_second_of_any():
  labels = np.array([3, 3, 0, 3, 0, 1])
  assert overfit.pick_rows(labels, 3) == [0, 2, 5]
  assert overfit.pick_rows(labels, 6) == [0, 2, 5, 1, 4, 3]


def test_config_is_changed_in_a_copy():
  config = RunConfig.from_dict(
    shrunk.make_config(transformer__dropout_rate=0.1)
  )
  changed = overfit.make_config(config)
  assert config.transformer.dropout_rate == 0.1
  assert changed.transformer.dropout_rate == 0.0
  assert changed.vqgan.g_adversarial_loss_weight == 0.0
  assert changed.train_transformer.optimizer.weight_decay == 0.0
