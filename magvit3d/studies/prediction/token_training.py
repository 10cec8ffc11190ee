"""Predictors of tokens: MAGVIT's masked transformer, and the autoregressive."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float, PyTree

from magvit3d.config.networks import AutoregressiveTransformerConfig
from magvit3d.config.tasks import AutoregressiveModelConfig
from magvit3d.errors import as_user_errors
from magvit3d.evaluation import transformer_scores
from magvit3d.studies.prediction.predictor_training import PredictorTraining
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenBatch
from magvit3d.training.autoregressive_stage import LMStage
from magvit3d.training.masked_stage import TransformerStage


class MaskedTraining(PredictorTraining):
  """The masked transformer, on frame prediction alone."""

  def network_stage(self) -> TransformerStage:
    """Returns network, loss and optimizer."""
    with as_user_errors(ValueError):
      return TransformerStage(
        self.clips.token_config, self.clips.masked_model, self.num_steps(), ()
      )

  def predict(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> Float[np.ndarray, "n t h w 3"]:
    """Returns clips, decoded as `masked_sampling` says."""
    cond_tokens = clips["cond_tokens"]
    labels = np.zeros(len(cond_tokens), np.int32)
    batch = TokenBatch(cond_tokens, cond_tokens[:, None], labels)
    return self.clips.decode(self._generate(params, batch, 0))

  @functools.cached_property
  def _generate(self):
    return transformer_scores.make_generate(
      self.clips.masked_model,
      self.settings.eval_batch_size,
      self._run.mesh,
      self._run.config.seed,
    )


class AutoregressiveTraining(PredictorTraining):
  """MAGVIT's autoregressive baseline: the given tokens, then the future's."""

  @functools.cached_property
  def model(self) -> LanguageModel:
    """The transformer; its grid is what is given, then what follows."""
    clips, transformer = self.clips, self.settings.transformer
    config = dataclasses.replace(
      clips.token_config,
      tasks=None,
      maskgvt=None,
      transformer=AutoregressiveTransformerConfig(
        emb_dim=transformer.hidden_size,
        num_heads=transformer.num_heads,
        num_layers=transformer.num_layers,
        qkv_dim=transformer.hidden_size,
        mlp_dim=transformer.mlp_dim,
        dropout_rate=transformer.dropout_rate,
      ),
      lmgvt=AutoregressiveModelConfig(
        sampling=self.settings.autoregressive_sampling
      ),
    )
    t, h, w = clips.grid
    return LanguageModel(config, 0, (clips.num_given + t - clips.first, h, w))

  def network_stage(self) -> LMStage:
    """Returns network, loss and optimizer."""
    with as_user_errors(ValueError):
      return LMStage(self.clips.token_config, self.model, self.num_steps(), ())

  def samples(self):
    """Returns the clips to train on, as sequences."""
    samples = super().samples()
    source = dataclasses.replace(
      samples.source, tokens=self._sequences(samples.source)
    )
    return dataclasses.replace(samples, source=source)

  def _sequences(self, source) -> np.ndarray:
    """What is given, as it is shown, then the truth."""
    given = source.cond_tokens[:, : self.clips.num_given]
    future = source.tokens[:, self.clips.first :]
    return np.concatenate([given, future], axis=1)

  def predict(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> Float[np.ndarray, "n t h w 3"]:
    """Returns clips, decoded as `autoregressive_sampling` says."""
    count, cond_tokens = self.clips.num_given, clips["cond_tokens"]
    grids = self.map(
      lambda batch: self._generate(params, batch),
      {
        "given": cond_tokens[:, :count],
        "number": np.arange(len(cond_tokens), dtype=np.int32),
      },
    )
    first = cond_tokens[:, : self.clips.first]
    return self.clips.decode(np.concatenate([first, grids[:, count:]], axis=1))

  @functools.cached_property
  def _generate(self):
    seed = self._run.config.seed

    def generate(params, batch):
      rng = jax.random.fold_in(jax.random.key(seed), batch["number"][0])
      labels = batch["number"] * 0
      return self.model.generate(params, rng, labels, batch["given"])

    return jax.jit(generate)
