"""The networks of a run: how they are built, and where they are kept."""

import contextlib
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.checkpoints import identity as identities
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.checkpoints.retention import CheckpointSettings
from magvit3d.config.networks import TransformerConfig
from magvit3d.config.run import RunConfig
from magvit3d.data.crops import fit_crop
from magvit3d.errors import UserError, as_user_errors
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.run.data import RunData
from magvit3d.run.video_data import VideoData
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import loop
from magvit3d.training.autoregressive_stage import LMStage
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.token_stage import TokenStage
from magvit3d.training.tokenizer_stage import TokenizerStage
from magvit3d.upstream import initial_trees


class RunNetworks:
  """Stages, checkpoints and trained parameters of a run.

  Attributes:
    latent_shape: Token grid (t, h, w).
    clip_shape: (t, h, w, 3).
    crop: What the tokenizer trains on of each clip; None: all of it.
    mesh: Devices.

  Args:
    config: Of the run.
    data: Of the run.
    workdir: Folder of the run.
    mesh: Devices.

  Raises:
    UserError: Clips and networks do not fit, or `config.checkpoints` is wrong.
  """

  def __init__(
    self,
    config: RunConfig,
    data: RunData | VideoData,
    workdir: pathlib.Path,
    mesh: Mesh,
  ):
    self._config, self._data = config, data
    self._workdir, self.mesh = workdir, mesh
    self._settings = {
      stage: CheckpointSettings(
        config.checkpoints.num_to_keep,
        config.training(stage).best_metric,
        field=config.name(f"train_{stage}.best_metric"),
      )
      for stage in config.trained
    }
    self.clip_shape = data.clip_shape
    num_frames, size, *_ = data.clip_shape
    is_cut = config.input.num_frames is not None
    with as_user_errors(ValueError):
      self.latent_shape = latent_shape(
        config.vqvae,
        num_frames,
        size,
        fields=(
          "input.num_frames" if is_cut else config.name("data.num_frames"),
          config.name("data.image_size"),
        ),
      )
    self._check_stated_grid()
    self.crop = None
    if config.train_tokenizer:
      self.crop = fit_crop(
        config.train_tokenizer.crop,
        self.clip_shape,
        config.vqvae,
        config.name("train_tokenizer.crop"),
      )

  def _check_stated_grid(self) -> None:
    stated = self._config.transformer and self._config.transformer.latent_shape
    if stated and stated != self.latent_shape:
      raise UserError(
        f"config.transformer.latent_shape={stated}, but config.vqvae makes "
        f"{self.latent_shape} of clips {self.clip_shape[:3]}."
      )

  def num_steps(self, stage: str) -> int:
    """Returns the steps of the stage 'tokenizer' or 'transformer'."""
    training = self._config.training(stage)
    if training.num_steps is not None:
      return training.num_steps
    samples = self._data.training_samples(self.num_views(stage))
    num_clips = len(samples.source) * samples.views_per_sample
    return math.ceil(num_clips * training.num_epochs / training.batch_size)

  def num_views(self, stage: str) -> int:
    """Returns the views of a scene that a stage sees together."""
    transformer = self._config.transformer
    if stage == "tokenizer" or not isinstance(transformer, TransformerConfig):
      return 1
    return transformer.num_views

  def tokenizer_checkpoints(self) -> Checkpoints:
    """Opens them; whoever does closes them."""
    return Checkpoints(
      self._workdir / "tokenizer" / "checkpoints",
      identities.tokenizer_identity(self._config.given, self._data.identity()),
      settings=self._settings["tokenizer"],
      record=self._checkpoint_record(),
    )

  def _checkpoint_record(self) -> dict[str, Any]:
    digest = self._data.manifest_sha256()
    return {"config": self._config.document, "data_manifest_sha256": digest}

  def tokenizer_stage(self) -> TokenizerStage:
    """Builds it; reads the clips on which the codebook starts."""
    count = self._config.vqgan.codebook_init_clips
    frames = None
    if count and not self._config.init_from.checkpoint_path:
      frames = self._codebook_frames(count)
    with as_user_errors(ValueError):
      return TokenizerStage(
        self._config,
        self.num_steps("tokenizer"),
        self.training_shape,
        frames,
      )

  def _codebook_frames(self, count: int) -> np.ndarray:
    clips = self._data.some_clips("train", count)
    if self.crop is None:
      return clips["frames"]
    rng = np.random.default_rng(self._config.seed)
    pairs = zip(clips["frames"], clips["masks"], strict=True)
    return np.stack([clip[self.crop.draw(mask, rng)] for clip, mask in pairs])

  @property
  def training_shape(self) -> tuple[int, int, int, int]:
    """Of what the tokenizer trains on: (t, h, w, 3)."""
    return self.crop.shape if self.crop else self.clip_shape

  def is_tokenizer_complete(self) -> bool:
    """Whether it is trained to its last step."""
    return self._is_trained("tokenizer", self.tokenizer_checkpoints)

  def _is_trained(
    self, stage: str, make_checkpoints: Callable[[], Checkpoints]
  ) -> bool:
    if not self._has_checkpoint_folder(stage):
      return False
    checkpoints = make_checkpoints()
    try:
      step = checkpoints.latest_step()
      if step is None:
        return False
      checkpoints.check_identity()
      if step < self.num_steps(stage):
        return False
      checkpoints.delete_left()
      return True
    finally:
      checkpoints.close()

  def tokenizer_params(self) -> PyTree:
    """The generator that the transformer reads, and scores are of.

    It is the moving average of the run's own tokenizer, or what
    `config.tokenizer` names; on all devices.
    """
    if self._config.tokenizer is not None:
      return sharding.replicate(self._given_tokenizer(), self.mesh)
    checkpoints = self.tokenizer_checkpoints()
    try:
      if checkpoints.latest_step() is None:
        raise self._untrained("tokenizer")
      params = self._restored(checkpoints, self.tokenizer_stage()).ema_params
      return sharding.replicate(params, self.mesh)
    finally:
      checkpoints.close()

  def _given_tokenizer(self) -> PyTree:
    given = self._config.tokenizer
    if not given.checkpoint_path:
      raise UserError(
        "config.tokenizer.checkpoint_path is missing: a transformer needs a "
        "trained tokenizer, as RUN/tokenizer/checkpoints of a VQGAN's run or a "
        "checkpoint in upstream's format."
      )
    like = {"ema_params": self.tokenizer_shapes()}
    trees = initial_trees(given, like, "tokenizer", section="tokenizer")
    return trees["ema_params"]

  def tokenizer_shapes(self) -> PyTree:
    """Shapes of the generator's parameters."""
    tokenizer = Tokenizer.from_config(self._config.vqvae)
    clips = jax.ShapeDtypeStruct((1, *self.clip_shape), np.float32)
    return jax.eval_shape(tokenizer.init, jax.random.key(0), clips)["params"]

  def tokenizer_stand_in(self) -> PyTree:
    """Numbers of no meaning in the place of the generator's parameters."""
    shapes = self.tokenizer_shapes()
    return jax.tree.map(lambda x: np.full(x.shape, 0.5, x.dtype), shapes)

  def _untrained(self, stage: str) -> UserError:
    if self._config.eval_only:
      return UserError(
        f"config.eval_only scores a trained {stage}, but "
        f"{self._workdir / stage} has no checkpoint. Train it in this "
        "--workdir, or name the --workdir where it is."
      )
    # A study's own tokenizer has a run of that stage alone.
    stages = self._config.document.get("stages", self._config.stages)
    return UserError(
      f"{self._workdir}/{stage} has no checkpoint: add {stage!r} to "
      f"config.stages={stages!r}."
    )

  def token_model(
    self, num_classes: int | None = None, config: RunConfig | None = None
  ) -> TokenModel | LanguageModel:
    """Returns the transformer with its vocabulary and tasks.

    Args:
      num_classes: None: those of the data, which must be there.
      config: Another one than the run's, if given.
    """
    config = config or self._config
    if num_classes is None:
      num_classes = self._data.num_classes()
    if config.lmgvt is not None:
      return LanguageModel(config, num_classes, self.latent_shape)
    num_frames, size, *_ = self.clip_shape
    return TokenModel(
      config,
      num_frames,
      num_classes,
      self.latent_shape,
      num_cameras=self._data.num_cameras(),
      image_size=size,
    )

  def transformer_stage(
    self,
    model: TokenModel | LanguageModel,
    tokenizer_params: PyTree,
    num_steps: int | None = None,
    config: RunConfig | None = None,
  ) -> TokenStage:
    """Builds it on a frozen tokenizer.

    Args:
      model: See `token_model`.
      tokenizer_params: Of the generator; their shapes are enough to trace it.
      num_steps: None: those of the config.
      config: Another one than the run's, if given.
    """
    make = LMStage if isinstance(model, LanguageModel) else TransformerStage
    if num_steps is None:
      num_steps = self.num_steps("transformer")
    with as_user_errors(ValueError):
      return make(config or self._config, model, num_steps, tokenizer_params)

  def transformer_checkpoints(self, tokenizer_params: PyTree) -> Checkpoints:
    """Opens those of this tokenizer; whoever does closes them."""
    return self._make_transformer_checkpoints(
      identities.transformer_identity(self._config.given, tokenizer_params)
    )

  def _make_transformer_checkpoints(
    self, identity: Mapping[str, Any]
  ) -> Checkpoints:
    folder = self._workdir / "transformer"
    return Checkpoints(
      folder / "checkpoints",
      identity,
      settings=self._settings["transformer"],
      record=self._checkpoint_record(),
      advice="Use the config and the tokenizer it was trained with, or another "
      f"--workdir, or delete {folder} to train it anew.",
    )

  def is_transformer_complete(self) -> bool:
    """Whether it is trained to its last step, on the tokenizer there is."""
    if not self._has_checkpoint_folder("transformer"):
      return False
    params = self.tokenizer_params()
    return self._is_trained(
      "transformer", lambda: self.transformer_checkpoints(params)
    )

  def transformer_params(self, tokenizer_params: PyTree) -> PyTree:
    """The parameters of the trained transformer, on all devices."""
    checkpoints = self.transformer_checkpoints(tokenizer_params)
    try:
      if checkpoints.latest_step() is None:
        raise self._untrained("transformer")
      stage = self.transformer_stage(self.token_model(), tokenizer_params)
      params = self._restored(checkpoints, stage).params
      return sharding.replicate(params, self.mesh)
    finally:
      checkpoints.close()

  def _restored(self, checkpoints: Checkpoints, stage: loop.Stage) -> PyTree:
    shapes = jax.eval_shape(stage.init_state)
    return checkpoints.restore_newest(
      sharding_rules.with_state_shardings(shapes, self.mesh)
    )

  def check_fits(self) -> None:
    """Raises UserError if the work folder was made by another config."""
    if self._has_checkpoint_folder("tokenizer"):
      with contextlib.closing(self.tokenizer_checkpoints()) as checkpoints:
        if checkpoints.latest_step() is not None:
          checkpoints.check_identity()
    if self._has_checkpoint_folder("transformer"):
      # Whether the tokenizer is still the same is seen once it is trained.
      sections = identities.transformer_sections(self._config.given)
      with contextlib.closing(
        self._make_transformer_checkpoints(sections)
      ) as checkpoints:
        if checkpoints.latest_step() is not None:
          checkpoints.check_identity(sections=sections)

  def newest_records(self, stage: str) -> list[pathlib.Path]:
    """Returns the file that says what the newest checkpoint is, if any."""
    folder = checkpoint_record.newest(self._workdir / stage / "checkpoints")
    return [checkpoint_record.path_in(folder)] if folder else []

  def _has_checkpoint_folder(self, stage: str) -> bool:
    return (self._workdir / stage / "checkpoints").exists()
