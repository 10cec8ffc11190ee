"""Autoregressive stage: next tokens, on those of a frozen tokenizer."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.parallel.sharding_rules import gather
from magvit3d.training import losses
from magvit3d.training.token_stage import TokenStage, TransformerState

_USED = ("tokens", "frames", "labels")  # Of a batch.


class LMStage(TokenStage):
  """Builds the state and the step function of the autoregressive stage.

  Arguments are those of `TokenStage`; the model is a `LanguageModel`.
  """

  headline = ("loss", "accuracy")
  decays_all = True

  def gradients(
    self, state: TransformerState, batch: Mapping[str, Array], frozen: PyTree
  ) -> tuple[PyTree, dict[str, Float[Array, ""]]]:
    """Gradients and metrics of a step.

    The loss is over all ids, at every position after the start token: the
    class is learned too.

    Args:
      state: The state before.
      batch: `labels` (b,), and either `tokens` (b, t, h, w) or `frames` uint8
        (b, t, h, w, 3).
      frozen: `self.frozen`.
    """
    dropout_rng = jax.random.fold_in(self.rng, state.step)
    rows = {key: batch[key] for key in _USED if key in batch}

    return self.mean_gradients(
      lambda part, rng: self._part_gradients(state.params, part, frozen, rng),
      rows,
      dropout_rng,
    )

  def _part_gradients(self, params, batch, frozen, dropout_rng):
    model = self.model
    if "tokens" in batch:
      tokens = batch["tokens"]
    else:
      tokens = model.encode(frozen, to_unit_range(batch["frames"]))
    sequence = model.sequence(tokens, batch["labels"])
    inputs, targets = sequence[:, :-1], sequence[:, 1:]

    def objective(params):
      logits = model.logits(
        gather(params), inputs, rngs={"dropout": dropout_rng}
      )
      loss = losses.masked_cross_entropy(
        logits,
        targets,
        jnp.ones(targets.shape, logits.dtype),
        self.label_smoothing,
      )
      return loss, logits

    (loss, logits), grads = jax.value_and_grad(objective, has_aux=True)(params)
    accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == targets)
    return grads, {"loss": loss, "accuracy": accuracy}
