"""Transformer stage: masked token modelling on a frozen tokenizer's tokens.

MAGVIT (https://arxiv.org/abs/2212.05199, section 3.2, COMMIT): every step has
one task, one mask ratio, and the loss of `masking`'s weights.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.models import cameras
from magvit3d.sharding_rules import gather
from magvit3d.tokens import schedules, tasks, vocabulary
from magvit3d.tokens.token_model import TokenModel
from magvit3d.training import losses
from magvit3d.training.token_stage import TokenStage, TransformerState

_USED = ("tokens", "cond_tokens", "frames", "labels", *cameras.KEYS)
_LOSS_DECAY = 0.9  # Of the moving averages of the tasks' losses.


class TransformerStage(TokenStage):
  """Builds the state and the step function of the transformer stage.

  Args:
    config: The run's config; reads what `TokenModel` does and
      `train_transformer`.
    model: The transformer.
    num_steps: Steps of the whole stage.
    tokenizer_params: See `TokenStage`.
  """

  headline = ("loss", "masked_accuracy")

  def __init__(
    self,
    config: Mapping[str, Any],
    model: TokenModel,
    num_steps: int,
    tokenizer_params: PyTree,
  ):
    super().__init__(
      config,
      model,
      num_steps,
      tokenizer_params,
    )
    self._task_order = tasks.make_task_order(
      model.tasks, np.random.default_rng(config["seed"])
    )

  def initial_task_losses(self) -> PyTree:
    """A uniform guess's loss; () where there is one task."""
    if len(self.model.tasks) == 1:
      return ()
    guess = np.log(self.model.vocabulary.codebook_size)
    return jnp.full(len(self.model.tasks), guess, jnp.float32)

  def updated_task_losses(
    self, state: TransformerState, loss: Float[Array, ""]
  ) -> PyTree:
    """Moves the average of the step's task towards its loss."""
    if len(self.model.tasks) == 1:
      return ()
    index = self._task_index(state.step)
    average = state.task_losses[index]
    average = _LOSS_DECAY * average + (1 - _LOSS_DECAY) * loss
    return state.task_losses.at[index].set(average)

  def _task_index(self, step: Array) -> Array:
    order = jnp.asarray(self._task_order)
    return order[step % len(order)]

  def gradients(
    self, state: TransformerState, batch: Mapping[str, Array], frozen: PyTree
  ) -> tuple[PyTree, dict[str, Float[Array, ""]]]:
    """Gradients and metrics of a step.

    Args:
      state: The state before.
      batch: Either `tokens`, `cond_tokens`, `labels` (as the fields
        of `TokenBatch`), or `frames` uint8 (b, t, h, w, 3) and `labels`. With
        several views `frames` is (b, v, t, h, w, 3), and the fields of
        `Cameras` are there.
      frozen: `self.frozen`.
    """
    model = self.model
    rng = jax.random.fold_in(self.rng, state.step)
    ratio_rng, score_rng, dropout_rng = jax.random.split(rng, 3)
    task_index = self._task_index(state.step)
    ratio = schedules.mask_ratio(
      model.settings["mask_schedule"],
      jax.random.uniform(ratio_rng),
      model.num_tokens,
    )
    rows = {key: batch[key] for key in _USED if key in batch}
    num_rows = len(batch["labels"])
    is_given = model.draw_given_views(
      jax.random.fold_in(rng, 1), num_rows, task_index
    )
    if is_given is not None:
      rows["is_given"] = is_given
    rows["score"] = model.make_scores(score_rng, num_rows, task_index, is_given)

    def of_part(part, rng):
      sequence = self._sequence(part, frozen, task_index, ratio)
      seen_by = cameras.Cameras.from_batch(part)
      return self._part_gradients(state.params, sequence, seen_by, rng)

    grads, sums = self.mean_gradients(of_part, rows, dropout_rng)
    metrics = {
      "loss": sums["loss"],
      "masked_accuracy": sums["num_right"]
      / jnp.maximum(sums["num_masked"], 1e-6),
      "mask_ratio": ratio,
    }
    if len(model.tasks) > 1:
      averages = self.updated_task_losses(state, sums["loss"])
      for task, average in zip(model.tasks, averages, strict=True):
        metrics[f"loss/{task.name}"] = average
    return grads, metrics

  def _sequence(self, batch, frozen, task_index, ratio):
    model = self.model
    if "tokens" in batch:
      tokens = batch["tokens"]
      cond_tokens = batch["cond_tokens"][:, task_index]
    else:
      clips = to_unit_range(batch["frames"])
      tokens = cond_tokens = model.encode(frozen, clips)
      if any(task.condition for task in model.tasks):
        shown = model.condition_video(clips, task_index)
        cond_tokens = model.encode(frozen, shown)
    masked = model.mask(
      tokens,
      cond_tokens,
      task_index,
      batch["score"],
      ratio,
      batch.get("is_given"),
    )
    return model.sequence(masked, batch["labels"], cond_tokens, task_index)

  def _part_gradients(self, params, sequence, seen_by, dropout_rng):
    model = self.model

    def objective(params):
      logits = model.logits(
        gather(params), sequence, seen_by, rngs={"dropout": dropout_rng}
      )
      loss = losses.masked_cross_entropy(
        logits, sequence.targets, sequence.weights, self.label_smoothing
      )
      return loss, logits

    (loss, logits), grads = jax.value_and_grad(objective, has_aux=True)(params)
    is_right = jnp.argmax(logits, axis=-1) == sequence.targets
    prefix = model.prefix_length
    shown = sequence.masked_inputs[:, prefix:]
    is_masked = shown == vocabulary.MASK
    sums = {
      "loss": loss,
      "num_right": jnp.sum(is_right[:, prefix:] * is_masked, dtype=jnp.float32),
      "num_masked": jnp.sum(is_masked, dtype=jnp.float32),
    }
    return grads, sums
