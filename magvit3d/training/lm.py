"""Autoregressive stage: next tokens, on those of a frozen tokenizer."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.tokens.language_model import LanguageModel
from magvit3d.training import losses
from magvit3d.training.learning_rate import warmup_cosine
from magvit3d.training.transformer import TransformerState


class LMStage:
  """Builds the state and the step function of the autoregressive stage.

  Args:
    config: The run's config; reads `train_transformer` and `seed`.
    model: The transformer.
    num_steps: Steps of the whole stage.
    tokenizer_params: Frozen generator parameters. Batches without tokens are
      tokenized with them in the step.
  """

  headline = ("loss", "accuracy")

  def __init__(
    self,
    config: Mapping[str, Any],
    model: LanguageModel,
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
    self._optimizer = _make_adamw(self._schedule, training["optimizer"])
    self._label_smoothing = training["label_smoothing"]

  def init_state(self) -> TransformerState:
    """Returns the state before the first step."""
    ids = jnp.zeros((1, 1), jnp.int32)
    params = self.model.transformer.init(self._init_rng, ids)["params"]
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
    """One step.

    The loss is over all ids, at every position after the start token: the
    class is learned too.

    Args:
      state: The state before.
      batch: `labels` (b,), and either `tokens` (b, t, h, w) or `frames` uint8
        (b, t, h, w, 3).
      frozen: `self.frozen`.
    """
    model = self.model
    dropout_rng = jax.random.fold_in(self._rng, state.step)
    if "tokens" in batch:
      tokens = batch["tokens"]
    else:
      tokens = model.encode(frozen, to_unit_range(batch["frames"]))
    sequence = model.sequence(tokens, batch["labels"])
    inputs, targets = sequence[:, :-1], sequence[:, 1:]

    def objective(params):
      logits = model.logits(params, inputs, rngs={"dropout": dropout_rng})
      loss = losses.masked_cross_entropy(
        logits,
        targets,
        jnp.ones(targets.shape, logits.dtype),
        self._label_smoothing,
      )
      return loss, logits

    (loss, logits), grads = jax.value_and_grad(objective, has_aux=True)(
      state.params
    )
    updates, opt_state = self._optimizer.update(
      grads, state.opt_state, state.params
    )
    metrics = {
      "loss": loss,
      "accuracy": jnp.mean(jnp.argmax(logits, axis=-1) == targets),
      "grad_norm": optax.tree.norm(grads),
      "learning_rate": self._schedule(state.step),
    }
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
    )
    return state, metrics


def _make_adamw(schedule, optimizer):
  """AdamW that decays everything, as upstream's does for this stage."""
  adamw = optax.adamw(
    schedule,
    b1=optimizer["beta1"],
    b2=optimizer["beta2"],
    weight_decay=optimizer["weight_decay"],
  )
  if optimizer["max_grad_norm"] is None:
    return adamw
  return optax.chain(
    optax.clip_by_global_norm(optimizer["max_grad_norm"]), adamw
  )
