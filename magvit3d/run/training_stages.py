"""The stages that train: tokenizer, transformer."""

import math
import pathlib
from collections.abc import Callable

from jaxtyping import PyTree

from magvit3d.checkpoints import identity
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
from magvit3d.run.network_training import train_network
from magvit3d.run.networks import RunNetworks
from magvit3d.run.stages import Stage, TokenRun
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel


class TokenizerTraining(Stage[TokenRun]):
  """Trains the tokenizer."""

  name = "tokenizer"

  @property
  def networks(self) -> RunNetworks:
    """Of its run."""
    return self._run.networks

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
    if not networks.newest_records(self.name):  # Else it goes on from there.
      stage.start_from(run.config.init_from)
    count = run.config.train_tokenizer.num_validation_clips
    clips = run.data.some_clips("validation", count)
    reconstruct = _make_reconstruct(run, stage.tokenizer)
    draw = strips.make_reconstruction_strips(stage.tokenizer, clips, run.mesh)
    train_network(
      run,
      self.name,
      stage,
      run.data.training_samples().cropped(networks.crop),
      networks.tokenizer_checkpoints(),
      lambda state: tokenizer_scores.validation_scores(
        reconstruct, state.ema_params, clips, stage.has_quantized(state)
      ),
      lambda state: draw(state.ema_params, stage.has_quantized(state)),
      training=run.config.train_tokenizer,
      num_steps=networks.num_steps(self.name),
      per_step=_per_step(run, self.name),
    )


def _make_reconstruct(run: TokenRun, tokenizer: Tokenizer) -> Callable:
  batch_size = run.config.evaluation.batch_size
  return tokenizer_scores.make_reconstruct(tokenizer, batch_size, run.mesh)


class TransformerTraining(Stage[TokenRun]):
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
    is_alone = run.config.trained == (self.name,)  # Else it is the tokenizer's.
    if is_alone and not networks.newest_records(self.name):
      stage.start_from(run.config.init_from)
    validate, draw = self._make_validation(model, tokenizer_params)
    train_network(
      run,
      self.name,
      stage,
      self._samples(model, tokenizer_params),
      networks.transformer_checkpoints(tokenizer_params),
      validate,
      draw,
      training=run.config.train_transformer,
      num_steps=networks.num_steps(self.name),
      per_step=_per_step(run, self.name),
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


def _token_folder(run: TokenRun) -> pathlib.Path:
  return run.workdir / "transformer" / "tokens"


def cached_tokens(
  run: TokenRun, model: TokenModel, params: PyTree
) -> TokenSource:
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


def _per_step(run: TokenRun, name: str) -> dict[str, int]:
  """What a step of a stage consumes, over all devices."""
  num_clips = run.config.training(name).batch_size
  grid = run.networks.latent_shape
  if name == "tokenizer":
    num_frames, size, *_ = run.networks.training_shape
    grid = latent_shape(run.config.vqvae, num_frames, size)
  return {"clips": num_clips, "tokens": num_clips * math.prod(grid)}
