"""The clips of a run as its predictors see them: tokens, shown and true."""

import dataclasses
import functools
from typing import SupportsIndex

import numpy as np
from jaxtyping import Int

from magvit3d.checkpoints import identity
from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.config.run import STAGES, RunConfig
from magvit3d.config.tasks import (
  MaskedModelConfig,
  TaskConfig,
  TaskSamplingConfig,
)
from magvit3d.config.training import TransformerTrainingConfig
from magvit3d.data.clips import ClipSource, Sample, load_clips
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation import tokenizer_scores, transformer_scores
from magvit3d.monitoring import stage_progress
from magvit3d.run import oracle_gate
from magvit3d.run.data import RunData
from magvit3d.run.networks import RunNetworks
from magvit3d.run.stages import Run, TokenRun
from magvit3d.studies.frozen_tokenizer import FrozenTokenizer
from magvit3d.tokens.masked_model import TokenModel

TASK, SAMPLES = "frame_prediction", "full_generation"


@dataclasses.dataclass(frozen=True)
class TokenizedClips:
  """Clips with their tokens, as a random-access source.

  Attributes:
    clips: Where they come from.
    tokens: Of the clips.
    cond_tokens: Of what is shown: the last given frame repeated.
    labels: Classes; None: they are not told, and there is no task of them.
    with_frames: Whether samples have frames and masks.
    key: Names tokenizer and data.
  """

  clips: ClipSource
  tokens: Int[np.ndarray, "n t h w"]
  cond_tokens: Int[np.ndarray, "n t h w"]
  labels: Int[np.ndarray, " n"] | None
  with_frames: bool
  key: str

  def __len__(self) -> int:
    return len(self.tokens)

  def __repr__(self) -> str:
    # Grain compares it when it restores an iterator.
    return f"TokenizedClips({self.key}, frames: {self.with_frames})"

  def __getitem__(self, index: SupportsIndex) -> Sample:
    """Returns a clip.

    Returns:
      tokens: int32 (t, h, w). cond_tokens: int32 (tasks, t, h, w). labels:
      int32.
      If asked for: frames: uint8 (t, h, w, 3). masks: uint8 (t, h, w).
    """
    number = int(index)
    shown = [self.cond_tokens[number]]
    if self.labels is not None:
      shown.append(self.tokens[number])
    sample = {
      "tokens": self.tokens[number],
      "cond_tokens": np.stack(shown),
      "labels": np.int32(0 if self.labels is None else self.labels[number]),
    }
    if self.with_frames:
      clip = self.clips[number]
      sample |= {key: clip[key] for key in ("frames", "masks")}
    return sample


@dataclasses.dataclass(frozen=True)
class TokenSequences:
  """The same for a model that reads token after token.

  Attributes:
    clips: With their tokens.
    num_given: Latent frames that are shown first.
    first: Latent frame from which on the truth follows.
    no_class: Label of what is predicted: nothing is told of the class.
  """

  clips: TokenizedClips
  num_given: int
  first: int
  no_class: int

  def __len__(self) -> int:
    return len(self.clips)

  def __repr__(self) -> str:
    return f"TokenSequences({self.clips!r}, {self.num_given}, {self.first})"

  def random_clip(
    self, index: SupportsIndex, rng: np.random.Generator
  ) -> Sample:
    """Returns what is given and what follows, or half as often a whole clip.

    Returns:
      tokens: int32 (s, h, w). labels: int32, of a whole clip its class.
    """
    sample = self.clips[index]
    if self.clips.labels is not None and rng.random() < 0.5:
      return {key: sample[key] for key in ("tokens", "labels")}
    given = sample["cond_tokens"][0, : self.num_given]
    future = sample["tokens"][self.first :]
    return {
      "tokens": np.concatenate([given, future]),
      "labels": np.int32(self.no_class),
    }


class PredictionClips:
  """What the stages of a run share.

  Args:
    run: With rendered data.

  Raises:
    UserError: Fields of the config do not go together.
  """

  def __init__(self, run: Run):
    self._run = run
    self.settings = run.config.prediction
    given, total = self.settings.given_frames, run.data.clip_shape[0]
    if given >= total:
      raise UserError(
        f"config.prediction.given_frames={given} of "
        f"config.data.num_frames={total} leaves no frame to predict."
      )
    with as_user_errors(ValueError):
      self.grid = self.tokenizer.grid(total, run.config.data.image_size)
    stride = total // self.grid[0]
    # Latent frames that hold a predicted frame, and those with a given one.
    self.first, self.num_given = given // stride, -(-given // stride)
    if self.settings.class_conditional and given % stride:
      raise UserError(
        f"config.prediction.given_frames={given} must be a multiple of "
        f"{stride}, the frames of a token, with class_conditional=True."
      )

  @functools.cached_property
  def tokenizer_run(self) -> TokenRun | None:
    """The run that trains the study's own tokenizer; None: it is given."""
    run, config = self._run, self._run.config
    if config.train_tokenizer is None:
      return None
    evaluation = EvaluationConfig(batch_size=self.settings.eval_batch_size)
    config = dataclasses.replace(
      config,
      prediction=None,
      train_prediction=None,
      stages="tokenizer",
      evaluation=evaluation,
    )
    networks = RunNetworks(config, run.data, run.workdir, run.mesh)
    return TokenRun(**vars(run) | {"config": config}, networks=networks)

  @functools.cached_property
  def tokenizer(self) -> FrozenTokenizer:
    """The one whose tokens all predictors have."""
    run, own = self._run, self.tokenizer_run
    load = None
    if own:
      networks, planned = own.networks, run.is_planned
      load = (
        networks.tokenizer_stand_in if planned else networks.tokenizer_params
      )
    return FrozenTokenizer(
      run.config, run.mesh, load, is_planned=run.is_planned
    )

  @functools.cached_property
  def token_config(self) -> RunConfig:
    """The config of a run of MAGVIT's that predicts frames on these tokens."""
    config, settings = self._run.config, self.settings
    training = TransformerTrainingConfig(
      **vars(config.train_prediction), label_smoothing=settings.label_smoothing
    )
    task = TaskConfig(
      class_conditional=False,
      cond_frames=settings.given_frames,
      cond_latent_frames=self.num_given,
      cond_padding="edge",
      sampling=TaskSamplingConfig(**vars(settings.masked_sampling)),
    )
    tasks = {TASK: task}
    if settings.class_conditional:
      tasks[SAMPLES] = TaskConfig(class_conditional=True)
    return dataclasses.replace(
      config,
      prediction=None,
      train_prediction=None,
      stages=",".join(STAGES),
      vqvae=self.tokenizer.vqvae,
      transformer=settings.transformer,
      train_transformer=training,
      tasks=tasks,
      maskgvt=MaskedModelConfig(
        condition_mode="cond->input",
        multi_task=settings.class_conditional,
        weight_mode="mask+refine",
        mask_schedule=settings.mask_schedule,
        draw="clip",
        sampling=settings.class_sampling,
      ),
    )

  @functools.cached_property
  def num_classes(self) -> int:
    """Of the data; 0 if nothing is told of them."""
    if not self.settings.class_conditional:
      return 0
    return self._run.data.num_classes()

  @functools.cached_property
  def masked_model(self) -> TokenModel:
    """MAGVIT's transformer, which also says what is shown."""
    num_frames = self._run.data.clip_shape[0]
    return TokenModel(
      self.token_config, num_frames, self.num_classes, self.grid
    )

  def pass_oracle_gate(self) -> None:
    """Stops the run where the tokenizer does not show the object."""
    run, count = self._run, self._run.config.train_prediction
    clips = run.data.some_clips("validation", count.num_validation_clips)
    reconstruct = tokenizer_scores.make_reconstruct(
      self.tokenizer.network, self.settings.eval_batch_size, run.mesh
    )
    scores = tokenizer_scores.validation_scores(
      reconstruct, self.tokenizer.params, clips
    )
    oracle_gate.check(scores, len(clips["frames"]), run.config)

  def tokenize(self, clips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns `tokens` and `cond_tokens` (n, t, h, w) of `frames`."""
    if self._run.is_planned:
      zeros = self.tokenizer.encode(clips["frames"], 1)
      return {"tokens": zeros, "cond_tokens": zeros}
    made = self._tokenize(
      self.tokenizer.params,
      {
        "frames": clips["frames"],
        "labels": np.zeros(len(clips["frames"]), np.int32),
      },
    )
    return {"tokens": made.tokens, "cond_tokens": made.cond_tokens[:, 0]}

  @functools.cached_property
  def _tokenize(self):
    return transformer_scores.make_tokenize(
      self.masked_model, self.settings.eval_batch_size, self._run.mesh
    )

  @functools.lru_cache(maxsize=1)  # noqa: B019 - One object a run.
  def training_tokens(self) -> dict[str, np.ndarray]:
    """Returns `tokens`, `cond_tokens` and `labels` of all training clips."""
    clips, size = self.training_clips, self.settings.eval_batch_size
    parts = []
    for start in range(0, len(clips), size):
      stage_progress.note(start, len(clips))
      rows = range(start, min(start + size, len(clips)))
      some = load_clips(clips, rows, ("frames", "labels"))
      parts.append(self.tokenize(some) | {"labels": some["labels"]})
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}

  @property
  def training_clips(self) -> ClipSource:
    """All clips of the training split."""
    data = self._run.data
    assert isinstance(data, RunData)
    return data.clips("train")

  def training_samples(self, with_frames: bool) -> TokenizedClips:
    """Returns what is trained on, see `TokenizedClips`."""
    tokens = self.training_tokens()
    return TokenizedClips(
      self.training_clips,
      tokens["tokens"],
      tokens["cond_tokens"],
      tokens["labels"] if self.settings.class_conditional else None,
      with_frames,
      f"{len(self.training_clips)} clips, {self.tokenizer_fingerprint}",
    )

  @functools.cached_property
  def tokenizer_fingerprint(self) -> str:
    """Of its parameters."""
    return identity.fingerprint(self.tokenizer.params)[:16]

  def decode(self, tokens: Int[np.ndarray, "n t h w"]) -> np.ndarray:
    """Returns clips (n, t, h, w, 3) in [0, 1]."""
    return self._decode(self.tokenizer.params, tokens)

  @functools.cached_property
  def _decode(self):
    return tokenizer_scores.make_decode(
      self.tokenizer.network, self.settings.eval_batch_size, self._run.mesh
    )
