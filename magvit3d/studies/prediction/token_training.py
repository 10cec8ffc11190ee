"""Predictors of tokens: MAGVIT's masked transformer, and the autoregressive."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from magvit3d.config.networks import AutoregressiveTransformerConfig
from magvit3d.config.tasks import AutoregressiveModelConfig, SamplingConfig
from magvit3d.errors import as_user_errors
from magvit3d.evaluation import transformer_scores
from magvit3d.run.data import TrainingSamples
from magvit3d.studies.prediction.prediction_clips import TokenSequences
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
    shown = clips["cond_tokens"]
    labels = np.zeros(len(shown), np.int32)
    batch = TokenBatch(shown, shown[:, None], labels)
    return self.clips.decode(self._generate(params, batch, 0))

  def sample(
    self, params: PyTree, labels: Int[np.ndarray, " n"]
  ) -> Int[np.ndarray, "n t h w"] | None:
    """Returns token grids of classes, decoded as `class_sampling` says."""
    if not self.settings.class_conditional:
      return None
    shown = np.zeros((len(labels), 2, *self.clips.grid), np.int32)
    return self._generate(params, TokenBatch(shown[:, 0], shown, labels), 1)

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
        sampling=SamplingConfig(
          temperature=self.settings.autoregressive_temperature
        )
      ),
    )
    t, h, w = clips.grid
    # With classes, one more stands for none.
    num_classes = clips.num_classes and clips.num_classes + 1
    length = clips.num_given + t - clips.first
    return LanguageModel(config, num_classes, (length, h, w))

  def network_stage(self) -> LMStage:
    """Returns network, loss and optimizer."""
    with as_user_errors(ValueError):
      return LMStage(self.clips.token_config, self.model, self.num_steps(), ())

  @property
  def _no_class(self) -> int:
    return self.clips.num_classes

  def samples(self) -> TrainingSamples:
    """Returns the clips to train on, as sequences."""
    clips = self.clips
    sequences = TokenSequences(
      super().samples().source, clips.num_given, clips.first, self._no_class
    )
    return TrainingSamples(sequences)

  def predict(
    self, params: PyTree, clips: Mapping[str, np.ndarray]
  ) -> Float[np.ndarray, "n t h w 3"]:
    """Returns clips, decoded at `autoregressive_temperature`."""
    count, shown = self.clips.num_given, clips["cond_tokens"]
    labels = np.full(len(shown), self._no_class, np.int32)
    arrays = {"given": shown[:, :count], "labels": labels}
    grids = self._generate(params, arrays)
    first = shown[:, : self.clips.first]
    return self.clips.decode(np.concatenate([first, grids[:, count:]], axis=1))

  def sample(
    self, params: PyTree, labels: Int[np.ndarray, " n"]
  ) -> Int[np.ndarray, "n t h w"] | None:
    """Returns token grids of classes, drawn as `class_sampling` says."""
    if not self.settings.class_conditional:
      return None
    return self._generate(params, {"labels": labels})

  def _generate(self, params, arrays) -> np.ndarray:
    number = np.arange(len(arrays["labels"]), dtype=np.int32)
    return self.map(
      lambda batch: self._draw(params, batch), arrays | {"number": number}
    )

  @functools.cached_property
  def _draw(self):
    settings = self.settings

    def draw(params, batch):
      key = jax.random.key(self._run.config.seed)
      rng = jax.random.fold_in(key, batch["number"][0])
      given = batch.get("given")
      sampling = settings.class_sampling if given is None else None
      return self.model.generate(params, rng, batch["labels"], given, sampling)

    return jax.jit(draw)
