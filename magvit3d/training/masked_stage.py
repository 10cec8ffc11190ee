"""Transformer stage: masked token modelling on a frozen tokenizer's tokens.

MAGVIT (https://arxiv.org/abs/2212.05199, section 3.2, COMMIT): every step has
one task, one mask ratio, and the loss of `masking`'s weights. Ours: with
`maskgvt.draw='clip'` every clip of a batch has its own task and ratio.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from magvit3d.config.run import RunConfig
from magvit3d.data.pixels import to_unit_range
from magvit3d.models import cameras
from magvit3d.parallel.sharding_rules import gather
from magvit3d.tokens import schedules, tasks, vocabulary
from magvit3d.tokens.masked_model import TokenModel
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
    config: RunConfig,
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
      model.tasks, np.random.default_rng(config.seed)
    )
    self._draws_by_clip = config.maskgvt.draw == "clip"

  def initial_task_losses(self) -> PyTree:
    """A uniform guess's loss; () where there is one task."""
    if len(self.model.tasks) == 1:
      return ()
    guess = np.log(self.model.vocabulary.codebook_size)
    return jnp.full(len(self.model.tasks), guess, jnp.float32)

  def updated_task_losses(
    self, state: TransformerState, metrics: Mapping[str, Array]
  ) -> PyTree:
    """Moves the averages of the step's tasks towards their losses."""
    if len(self.model.tasks) == 1:
      return ()
    return jnp.stack(
      [metrics[f"loss/{task.name}"] for task in self.model.tasks]
    )

  def _averages(self, old, sums):
    """Of the losses of each task; those that the step lacks stay."""
    share = sums["task_share"]
    loss = sums["task_loss"] / jnp.maximum(share, 1e-6)
    new = _LOSS_DECAY * old + (1 - _LOSS_DECAY) * loss
    return jnp.where(share > 0, new, old)

  def _draw(
    self, step: Array, rng: PRNGKeyArray, num_rows: int
  ) -> tuple[Int[Array, "*b"], Float[Array, "*b"]]:
    """Returns task and mask ratio, of the step or of each row.

    Of rows both are spread evenly: their places in [0, 1] are one in each of
    `num_rows` equal parts, in two random orders.
    """
    order = jnp.asarray(self._task_order)
    if self._draws_by_clip:
      place_rng, *orders = jax.random.split(rng, 3)
      places = jax.random.uniform(place_rng, (2, num_rows))
      ranks = jnp.stack([jax.random.permutation(o, num_rows) for o in orders])
      which, progress = (ranks + places) / num_rows
      shares = np.bincount(self._task_order) / len(self._task_order)
      index = jnp.searchsorted(jnp.cumsum(shares)[:-1], which, side="right")
    else:
      index, progress = order[step % len(order)], jax.random.uniform(rng)
    schedule = self.model.settings.mask_schedule
    ratio = schedules.mask_ratio(schedule, progress, self.model.num_tokens)
    return index.astype(jnp.int32), ratio

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
    rows = {key: batch[key] for key in _USED if key in batch}
    num_rows = len(batch["labels"])
    task_index, ratio = self._draw(state.step, ratio_rng, num_rows)
    is_given = model.draw_given_views(
      jax.random.fold_in(rng, 1), num_rows, task_index
    )
    if is_given is not None:
      rows["is_given"] = is_given
    rows["score"] = model.make_scores(score_rng, num_rows, task_index, is_given)
    common = {"task_index": task_index, "ratio": ratio}
    if self._draws_by_clip:
      rows, common = rows | common, {}

    def of_part(part, rng):
      sequence = self._sequence(common | part, frozen)
      seen_by = cameras.Cameras.from_batch(part)
      return self._part_gradients(
        state.params, sequence, seen_by, (common | part)["task_index"], rng
      )

    grads, sums = self.mean_gradients(of_part, rows, dropout_rng)
    metrics = {
      "loss": sums["loss"],
      "masked_accuracy": sums["num_right"]
      / jnp.maximum(sums["num_masked"], 1e-6),
      "mask_ratio": jnp.mean(ratio),
    }
    if len(model.tasks) > 1:
      averages = self._averages(state.task_losses, sums)
      for task, average in zip(model.tasks, averages, strict=True):
        metrics[f"loss/{task.name}"] = average
    return grads, metrics

  def _sequence(self, batch, frozen):
    model, task_index = self.model, batch["task_index"]
    if "tokens" in batch:
      tokens = batch["tokens"]
      rows = jnp.arange(len(tokens))
      cond_tokens = batch["cond_tokens"][rows, task_index]
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
      batch["ratio"],
      batch.get("is_given"),
    )
    return model.sequence(masked, batch["labels"], cond_tokens, task_index)

  def _part_gradients(self, params, sequence, seen_by, task_index, dropout_rng):
    model = self.model

    def objective(params):
      logits = model.logits(
        gather(params), sequence, seen_by, rngs={"dropout": dropout_rng}
      )
      by_clip = losses.masked_cross_entropies(
        logits, sequence.targets, sequence.weights, self.label_smoothing
      )
      return jnp.mean(by_clip), (by_clip, logits)

    (loss, (by_clip, logits)), grads = jax.value_and_grad(
      objective, has_aux=True
    )(params)
    is_task = jax.nn.one_hot(
      jnp.broadcast_to(task_index, by_clip.shape), len(model.tasks)
    )
    is_right = jnp.argmax(logits, axis=-1) == sequence.targets
    prefix = model.prefix_length
    shown = sequence.masked_inputs[:, prefix:]
    is_masked = shown == vocabulary.MASK
    sums = {
      "loss": loss,
      "task_loss": jnp.mean(by_clip[:, None] * is_task, axis=0),
      "task_share": jnp.mean(is_task, axis=0),
      "num_right": jnp.sum(is_right[:, prefix:] * is_masked, dtype=jnp.float32),
      "num_masked": jnp.sum(is_masked, dtype=jnp.float32),
    }
    return grads, sums
