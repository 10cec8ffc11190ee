"""The stages that train: tokenizer, transformer."""

import math
import pathlib
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import PyTree

from magvit3d.checkpoints import identity
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.data.batches import make_batches
from magvit3d.data.scene_tokens import TrainingSceneTokens
from magvit3d.data.token_records import TokenSource
from magvit3d.evaluation import (
  strips,
  tokenizer_scores,
  transformer_scores,
  video_scores,
)
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.run import oracle_gate, token_cache
from magvit3d.run.data import RunData, TrainingSamples
from magvit3d.run.stages import Run, Stage
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import loop


class TokenizerTraining(Stage):
  """Trains the tokenizer."""

  name = "tokenizer"

  def is_complete(self) -> bool:
    """Returns whether it is trained to its last step."""
    return self._run.networks.is_tokenizer_complete()

  def outputs(self) -> list[pathlib.Path]:
    """Returns the record of the last checkpoint."""
    return self._run.networks.newest_records(self.name)

  def run(self) -> None:
    """Trains it from its newest checkpoint, if any."""
    run, networks = self._run, self._run.networks
    stage = networks.tokenizer_stage()
    stage.start_from(run.config.init_from)
    count = run.config.train_tokenizer.num_validation_clips
    clips = run.data.some_clips("validation", count)
    reconstruct = _make_reconstruct(run, stage.tokenizer)
    draw = strips.make_reconstruction_strips(stage.tokenizer, clips, run.mesh)
    _train(
      run,
      self.name,
      stage,
      run.data.training_samples().cropped(networks.crop),
      networks.tokenizer_checkpoints(),
      lambda state: tokenizer_scores.validation_scores(
        reconstruct, state.ema_params, clips, stage.has_quantized(state)
      ),
      lambda state: draw(state.ema_params, stage.has_quantized(state)),
    )


def _make_reconstruct(run: Run, tokenizer: Tokenizer) -> Callable:
  batch_size = run.config.evaluation.batch_size
  return tokenizer_scores.make_reconstruct(tokenizer, batch_size, run.mesh)


class TransformerTraining(Stage):
  """Trains the transformer on the tokens of a frozen tokenizer."""

  name = "transformer"

  def is_complete(self) -> bool:
    """Returns whether it is trained to its last step, on this tokenizer."""
    return self._run.networks.is_transformer_complete()

  def outputs(self) -> list[pathlib.Path]:
    """Returns the record of the last checkpoint, and tokens that are kept."""
    records = self._run.networks.newest_records(self.name)
    return records + token_cache.files(_token_folder(self._run))

  def run(self) -> None:
    """Trains it from its newest checkpoint, if any."""
    run, networks = self._run, self._run.networks
    tokenizer_params = networks.tokenizer_params()
    model = networks.token_model()
    if "tokenizer" in run.config.trained:
      self._pass_oracle_gate(model, tokenizer_params)
    stage = networks.transformer_stage(model, tokenizer_params)
    if run.config.trained == (self.name,):  # Else it is the tokenizer's.
      stage.start_from(run.config.init_from)
    validate, draw = self._make_validation(model, tokenizer_params)
    _train(
      run,
      self.name,
      stage,
      self._samples(model, tokenizer_params),
      networks.transformer_checkpoints(tokenizer_params),
      validate,
      draw,
    )

  def _samples(self, model, tokenizer_params) -> TrainingSamples:
    """Clips or scenes, or their tokens where these are kept."""
    run = self._run
    num_views = run.networks.num_views(self.name)
    if not (isinstance(run.data, RunData) and run.config.tokenizer_cache):
      return run.data.training_samples(num_views)
    with StageProgress(
      run.workdir, "tokens", {"training clips": 1.0}, needs_status=False
    ):
      tokens = cached_tokens(run, model, tokenizer_params)
    if num_views > 1:
      cameras = run.data.num_cameras()
      tokens = TrainingSceneTokens(tokens, cameras, num_views)
    return TrainingSamples(tokens, num_views)

  def _make_validation(
    self, model: TokenModel | LanguageModel, tokenizer_params: PyTree
  ) -> tuple[Callable, Callable | None]:
    """Scores a state, and draws what it makes."""
    run = self._run
    num_views = run.networks.num_views(self.name)
    clips = run.data.some_samples(
      "validation", run.config.train_transformer.num_validation_clips, num_views
    )
    batch_size = run.config.evaluation.batch_size // num_views
    if isinstance(model, LanguageModel):
      next_token_error = video_scores.make_next_token_error(
        model, tokenizer_params, clips, batch_size, run.mesh
      )
      return (
        lambda state: {"next_token_error": next_token_error(state.params)[0]},
        None,
      )
    validate = transformer_scores.make_validation(
      model, tokenizer_params, clips, batch_size, run.mesh
    )
    draw = strips.make_generation_strips(
      model, tokenizer_params, clips, run.mesh
    )
    return lambda state: validate(state.params), lambda state: draw(
      state.params
    )

  def _pass_oracle_gate(self, model: TokenModel, params: PyTree) -> None:
    """Stops the run where the tokenizer does not show the object."""
    run = self._run
    count = run.config.train_tokenizer.num_validation_clips
    clips = run.data.some_clips("validation", count)
    scores = tokenizer_scores.validation_scores(
      _make_reconstruct(run, model.tokenizer), params, clips
    )
    oracle_gate.check(scores, len(clips["frames"]), run.config)


def _token_folder(run: Run) -> pathlib.Path:
  return run.workdir / "transformer" / "tokens"


def cached_tokens(run: Run, model: TokenModel, params: PyTree) -> TokenSource:
  """Returns the tokens of all training clips, made once."""
  return token_cache.load_or_make(
    _token_folder(run),
    run.data.clips("train"),
    model,
    params,
    key=identity.token_key(
      run.config.given, run.data.cut(), run.data.splits(), params
    ),
    batch_size=run.config.evaluation.batch_size,
    mesh=run.mesh,
  )


def _train(
  run: Run,
  name: str,
  stage: loop.Stage,
  samples: TrainingSamples,
  checkpoints: Checkpoints,
  validate: Callable[[PyTree], Mapping[str, float]],
  draw: Callable[[PyTree], np.ndarray] | None,
) -> None:
  """Trains a stage to its last step; see `loop.train`."""
  config, training = run.config, run.config.training(name)
  num_samples = training.batch_size // samples.views_per_sample
  batches = make_batches(
    samples.source,
    batch_size=num_samples // jax.process_count(),
    seed=config.seed,
    num_threads=config.num_reading_threads,
    num_workers=config.num_reading_workers,
    transform=samples.transform,
    shard_index=jax.process_index(),
    shard_count=jax.process_count(),
  )
  options = loop.LoopOptions(
    num_steps=run.networks.num_steps(name),
    log_every_steps=training.log_every_steps,
    validate_every_steps=training.validate_every_steps,
    checkpoint_every_steps=training.checkpoint_every_steps,
    max_skipped_steps=config.max_skipped_steps,
    stop_after_step=run.stop_after.get(name),
    monitoring=config.monitoring,
    dtype=config.dtype,
    num_parts=training.gradient_accumulation_steps,
    per_step=_per_step(run, name),
    profile=run.profile,
    document=config.document,
  )
  try:
    loop.train(
      name,
      stage,
      workdir=run.workdir,
      batches=batches,
      options=options,
      checkpoints=checkpoints,
      mesh=run.mesh,
      validate=validate,
      draw=draw,
    )
  finally:
    batches.close()
    checkpoints.close()


def _per_step(run: Run, name: str) -> dict[str, int]:
  """What a step of a stage consumes, over all devices."""
  num_clips = run.config.training(name).batch_size
  grid = run.networks.latent_shape
  if name == "tokenizer":
    num_frames, size, *_ = run.networks.training_shape
    grid = latent_shape(run.config.vqvae, num_frames, size)
  return {"clips": num_clips, "tokens": num_clips * math.prod(grid)}
