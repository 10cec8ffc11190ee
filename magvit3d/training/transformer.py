"""Transformer stage: masked token modelling on a frozen tokenizer's tokens.

MAGVIT (https://arxiv.org/abs/2212.05199, section 3.2, COMMIT): every step has
one task, one mask ratio, and the loss of `masking`'s weights.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.tokens import schedules, tasks, vocabulary
from magvit3d.tokens.token_model import TokenModel
from magvit3d.training import losses
from magvit3d.training.learning_rate import warmup_cosine
from magvit3d.training.optimizers import make_adamw


@flax.struct.dataclass
class TransformerState:
  """Everything a checkpoint needs for a run to resume exactly.

  Its types are loose, because it also holds shapes or shardings of arrays.

  Attributes:
    step: Steps taken, int ().
    params: Parameters.
    opt_state: Optimizer of `params`.
  """

  step: PyTree
  params: PyTree
  opt_state: PyTree


class TransformerStage:
  """Builds the state and the step function of the transformer stage.

  Args:
    config: The run's config; reads what `TokenModel` does and
      `train_transformer`.
    model: The transformer.
    num_steps: Steps of the whole stage.
    tokenizer_params: Frozen generator parameters. Batches without tokens are
      tokenized with them in the step.
  """

  headline = ("loss", "masked_accuracy")

  def __init__(
    self,
    config: Mapping[str, Any],
    model: TokenModel,
    num_steps: int,
    tokenizer_params: PyTree,
  ):
    self.model = model
    self.frozen = tokenizer_params
    self._rng, self._init_rng = jax.random.split(jax.random.key(config["seed"]))
    training = config["train_transformer"]
    self._schedule = warmup_cosine(
      training["learning_rate"], training["warmup_steps"], num_steps
    )
    self._optimizer = make_adamw(self._schedule, training["optimizer"])
    self._label_smoothing = training["label_smoothing"]
    self._task_order = tasks.make_task_order(
      model.tasks, np.random.default_rng(config["seed"])
    )

  def init_state(self) -> TransformerState:
    """Returns the state before the first step."""
    model = self.model
    length = model.prefix_length + model.num_tokens
    ids = jnp.zeros((1, length), jnp.int32)
    params = model.transformer.init(self._init_rng, ids)["params"]
    return TransformerState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=self._optimizer.init(params),
    )

  def before_step(self, state: TransformerState, step: int) -> TransformerState:
    """Does nothing in this stage."""
    del step
    return state

  def train_step(
    self,
    state: TransformerState,
    batch: Mapping[str, Array],
    frozen: PyTree,
  ) -> tuple[TransformerState, dict[str, Float[Array, ""]]]:
    """One step on one task.

    Args:
      state: The state before.
      batch: Either `tokens`, `cond_tokens`, `labels` (as the fields
        of `TokenBatch`), or `frames` uint8 (b, t, h, w, 3) and `labels`.
      frozen: `self.frozen`.
    """
    model = self.model
    rng = jax.random.fold_in(self._rng, state.step)
    ratio_rng, score_rng, dropout_rng = jax.random.split(rng, 3)
    order = jnp.asarray(self._task_order)
    task_index = order[state.step % len(order)]
    if "tokens" in batch:
      tokens = batch["tokens"]
      cond_tokens = batch["cond_tokens"][:, task_index]
    else:
      clips = to_unit_range(batch["frames"])
      tokens = model.encode(frozen, clips)
      shown = model.condition_video(clips, task_index)
      cond_tokens = model.encode(frozen, shown)
    ratio = schedules.mask_ratio(
      model.settings["mask_schedule"],
      jax.random.uniform(ratio_rng),
      model.num_tokens,
    )
    score = model.make_scores(score_rng, len(tokens), task_index)
    masked = model.mask(tokens, cond_tokens, task_index, score, ratio)
    sequence = model.sequence(masked, batch["labels"], cond_tokens, task_index)

    def objective(params):
      logits = model.logits(params, sequence, rngs={"dropout": dropout_rng})
      loss = losses.masked_cross_entropy(
        logits, sequence.targets, sequence.weights, self._label_smoothing
      )
      return loss, logits

    (loss, logits), grads = jax.value_and_grad(objective, has_aux=True)(
      state.params
    )
    updates, opt_state = self._optimizer.update(
      grads, state.opt_state, state.params
    )
    is_right = jnp.argmax(logits, axis=-1) == sequence.targets
    prefix = model.prefix_length
    shown = sequence.masked_inputs[:, prefix:]
    is_masked = shown == vocabulary.MASK
    metrics = {
      "loss": loss,
      "masked_accuracy": jnp.sum(is_right[:, prefix:] * is_masked)
      / jnp.maximum(jnp.sum(is_masked), 1),
      "mask_ratio": ratio,
      "grad_norm": optax.tree.norm(grads),
      "learning_rate": self._schedule(state.step),
    }
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
    )
    return state, metrics
