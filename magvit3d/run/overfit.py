"""Can a network learn at all? Trains it on one batch, again and again.

A tokenizer that learns reconstructs the clips of the batch; a transformer that
learns knows their tokens by heart. One that cannot, in minutes, has something
wrong with it that days of training would not mend.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.cli import interruption
from magvit3d.config.run import RunConfig
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.training import loop

MIN_PSNR_DB = 35.0
MAX_LOSS = 0.1
MAX_STEPS = 3000
_LOOK_EVERY = 25
_QUANTIZER_START = 100
_WARMUP = 20
MANY_STEPS = 2**30  # The learning rate stays at its peak.


@dataclasses.dataclass(frozen=True)
class Target:
  """What a network must reach.

  Attributes:
    name: Of the score.
    unit: Of the score, for people.
    score: Computes it from the mean metrics of some steps.
    is_reached: Whether a score is good enough.
    text: Says when it is.
  """

  name: str
  unit: str
  score: Callable[[Mapping[str, float]], float]
  is_reached: Callable[[float], bool]
  text: str


_TOKENIZER = Target(
  "PSNR",
  " dB",
  lambda metrics: -10 * math.log10(max(metrics["reconstruction_loss"], 1e-12)),
  lambda score: score > MIN_PSNR_DB,
  f"above {MIN_PSNR_DB:g} dB",
)
_TRANSFORMER = Target(
  "loss",
  "",
  lambda metrics: metrics["loss"],
  lambda score: score < MAX_LOSS,
  f"below {MAX_LOSS:g}",
)
TARGETS = {"tokenizer": _TOKENIZER, "transformer": _TRANSFORMER}


@dataclasses.dataclass(frozen=True)
class Verdict:
  """How a stage did.

  Attributes:
    stage: Its name.
    score: Last score.
    step: Steps taken.
    seconds: Time spent, compilation included.
    target: What it was to reach.
    state: The state after the last step.
  """

  stage: str
  score: float
  step: int
  seconds: float
  target: Target
  state: PyTree

  @property
  def has_learned(self) -> bool:
    """Whether the target was reached."""
    return self.target.is_reached(self.score)

  def line(self) -> str:
    """Says it in a sentence."""
    word = "can learn" if self.has_learned else "DID NOT LEARN"
    return (
      f"{self.stage} {word}: {self.target.name} {self.score:.3g}"
      f"{self.target.unit} after {self.step} steps on one batch "
      f"({self.seconds:.0f} s); it should be {self.target.text}."
    )


def make_config(config: RunConfig) -> RunConfig:
  """Returns a config for a single batch.

  Learning rates stay at their peak, nothing regularises, the discriminator
  rests, and quantization starts early.
  """
  changes: dict[str, Any] = {}
  for section in ("train_tokenizer", "train_transformer"):
    training = getattr(config, section)
    if training is not None:
      optimizer = dataclasses.replace(training.optimizer, weight_decay=0.0)
      changes[section] = dataclasses.replace(
        training, warmup_steps=_WARMUP, optimizer=optimizer
      )
  if config.vqgan is not None:
    changes["vqgan"] = dataclasses.replace(
      config.vqgan,
      g_adversarial_loss_weight=0.0,
      discriminator_start_step=None,
      foreground_weight=1.0,
      quantizer_start_step=min(
        config.vqgan.quantizer_start_step, _QUANTIZER_START
      ),
    )
  if config.transformer is not None:
    changes["transformer"] = dataclasses.replace(
      config.transformer, dropout_rate=0.0, attention_dropout_rate=0.0
    )
  return dataclasses.replace(config, **changes)


def pick_rows(labels: np.ndarray, count: int) -> list[int]:
  """Returns rows of a batch, one of each class before a second of any.

  Clips of one class cannot be told apart where all tokens are hidden.
  """
  seen = np.zeros(int(labels.max(initial=0)) + 1, int)
  order = []
  for row, label in enumerate(labels):
    order.append((int(seen[label]), row))
    seen[label] += 1
  return [row for _, row in sorted(order)[:count]]


def train(
  name: str,
  stage: loop.Stage,
  batch: Mapping[str, np.ndarray],
  target: Target,
  mesh: Mesh,
  max_steps: int = MAX_STEPS,
) -> Verdict:
  """Trains on one batch until the target is reached, or `max_steps` are over.

  Args:
    name: Name of the stage.
    stage: Built with `make_config`.
    batch: Rows of all processes.
    target: When to stop.
    mesh: Devices.
    max_steps: When to give up.
  """
  started_s = time.monotonic()
  with jax.set_mesh(mesh):
    shapes = jax.eval_shape(stage.init_state)
    shardings = sharding_rules.state_shardings(shapes, mesh)
    state = jax.jit(stage.init_state, out_shardings=shardings)()
    frozen = sharding.replicate(stage.frozen, mesh)
    batch = sharding.shard_same_batch(batch, mesh)
    step_function = jax.jit(
      stage.step_function(MANY_STEPS),
      donate_argnums=0,
      out_shardings=(shardings, sharding.replicated(mesh)),
    )
    recent = []
    for step in range(max_steps):
      interruption.check()
      changed = stage.before_step(state, step)
      if changed is not state:
        state = sharding.put(changed, shardings)
      state, metrics = step_function(state, batch, frozen)
      recent.append(metrics)
      is_last = step + 1 == max_steps
      if is_last or (step + 1) % _LOOK_EVERY == 0:
        means = {
          key: float(np.mean([float(one[key]) for one in recent]))
          for key in metrics
        }
        recent = []
        score = target.score(means)
        logging.info(
          "%s step %d: %s %.3g%s",
          name,
          step + 1,
          target.name,
          score,
          target.unit,
        )
        # Before codes are in use, a tokenizer has an easier task.
        is_final = name != "tokenizer" or step > _QUANTIZER_START + _LOOK_EVERY
        if is_final and target.is_reached(score):
          break
  seconds = time.monotonic() - started_s
  return Verdict(name, score, step + 1, seconds, target, state)
