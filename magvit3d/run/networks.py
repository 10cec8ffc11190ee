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
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.checkpoints.retention import CheckpointSettings
from magvit3d.data.crops import NO_CROP, fit_crop
from magvit3d.errors import UserError, as_user_errors
from magvit3d.models.tokenizer import latent_shape
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.run.data import RunData
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import loop
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage


class RunNetworks:
  """Stages, checkpoints and trained parameters of a run.

  Attributes:
    latent_shape: Token grid (t, h, w).
    clip_shape: (t, h, w, 3).
    crop: What the tokenizer trains on of each clip; None: all of it.

  Args:
    config: See `configs/traj3d.py`.
    data: Of the run.
    workdir: Folder of the run.
    mesh: Devices.

  Raises:
    UserError: Clips and tokenizer do not fit, or `config.checkpoints` is wrong.
  """

  def __init__(
    self,
    config: Mapping[str, Any],
    data: RunData,
    workdir: pathlib.Path,
    mesh: Mesh,
  ):
    self._config, self._data = config, data
    self._workdir, self._mesh = workdir, mesh
    self._settings = {
      stage: CheckpointSettings(
        config["checkpoints"]["num_to_keep"],
        config[f"train_{stage}"]["best_metric"],
        field=f"train_{stage}.best_metric",
      )
      for stage in ("tokenizer", "transformer")
    }
    size = config["data"]["image_size"]
    self.clip_shape = (data.window.num_frames, size, size, 3)
    is_cut = config["input"]["num_frames"] is not None
    with as_user_errors(ValueError):
      self.latent_shape = latent_shape(
        config["vqvae"],
        data.window.num_frames,
        size,
        fields=(
          "input.num_frames" if is_cut else "data.num_frames",
          "data.image_size",
        ),
      )
    self.crop = fit_crop(
      config["train_tokenizer"].get("crop", NO_CROP),
      self.clip_shape,
      config["vqvae"],
    )

  def num_steps(self, section: str) -> int:
    """Returns the steps of `train_tokenizer` or `train_transformer`."""
    training = self._config[section]
    if training["num_steps"] is not None:
      return training["num_steps"]
    samples = self._data.training_samples(self.num_views(section))
    num_clips = len(samples.source) * samples.views_per_sample
    return math.ceil(
      num_clips * training["num_epochs"] / training["batch_size"]
    )

  def num_views(self, section: str) -> int:
    """Returns the views that `train_tokenizer`, ... sees together."""
    if section == "train_tokenizer":
      return 1
    return self._config["transformer"].get("num_views", 1)

  def tokenizer_checkpoints(self) -> Checkpoints:
    """Opens them; whoever does closes them."""
    return Checkpoints(
      self._workdir / "tokenizer" / "checkpoints",
      identities.tokenizer_identity(self._config, self._data.arguments()),
      settings=self._settings["tokenizer"],
      record=self._checkpoint_record(),
    )

  def _checkpoint_record(self) -> dict[str, Any]:
    digest = self._data.manifest_sha256()
    return {"config": self._config, "data_manifest_sha256": digest}

  def tokenizer_stage(self) -> TokenizerStage:
    """Builds it; reads the clips on which the codebook starts."""
    count = self._config["vqgan"]["codebook_init_clips"]
    frames = None
    if count and not self._config["init_from"]["checkpoint_path"]:
      frames = self._codebook_frames(count)
    with as_user_errors(ValueError):
      return TokenizerStage(
        self._config,
        self.num_steps("train_tokenizer"),
        self.training_shape,
        frames,
      )

  def _codebook_frames(self, count: int) -> np.ndarray:
    clips = self._data.some_clips("train", count)
    if self.crop is None:
      return clips["frames"]
    rng = np.random.default_rng(self._config["seed"])
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
    finally:
      checkpoints.close()
    return step >= self.num_steps(f"train_{stage}")

  def tokenizer_params(self) -> PyTree:
    """The moving average of the trained generator, on all devices."""
    checkpoints = self.tokenizer_checkpoints()
    try:
      if checkpoints.latest_step() is None:
        raise UserError(
          f"{self._workdir}/tokenizer has no checkpoint: add 'tokenizer' to "
          f"config.stages={self._config['stages']!r}."
        )
      params = self._restored(checkpoints, self.tokenizer_stage()).ema_params
      return sharding.replicate(params, self._mesh)
    finally:
      checkpoints.close()

  def token_model(
    self,
    num_classes: int | None = None,
    config: Mapping[str, Any] | None = None,
  ) -> TokenModel:
    """Returns the transformer with its vocabulary and tasks.

    Args:
      num_classes: None: those of the data, which must be there.
      config: Another one than the run's, if given.
    """
    if num_classes is None:
      num_classes = len(self._data.clips("train").scenes.class_names)
    return TokenModel(
      config or self._config,
      self._data.window.num_frames,
      num_classes,
      self.latent_shape,
      num_cameras=self._data.num_cameras(),
      image_size=self._config["data"]["image_size"],
    )

  def transformer_stage(
    self, model: TokenModel, tokenizer_params: PyTree
  ) -> TransformerStage:
    """Builds it on a frozen tokenizer."""
    num_steps = self.num_steps("train_transformer")
    with as_user_errors(ValueError):
      return TransformerStage(self._config, model, num_steps, tokenizer_params)

  def transformer_checkpoints(self, tokenizer_params: PyTree) -> Checkpoints:
    """Opens those of this tokenizer; whoever does closes them."""
    return self._make_transformer_checkpoints(
      identities.transformer_identity(self._config, tokenizer_params)
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
        raise UserError(
          f"{self._workdir}/transformer has no checkpoint: add 'transformer' "
          f"to config.stages={self._config['stages']!r}."
        )
      stage = self.transformer_stage(self.token_model(), tokenizer_params)
      params = self._restored(checkpoints, stage).params
      return sharding.replicate(params, self._mesh)
    finally:
      checkpoints.close()

  def _restored(self, checkpoints: Checkpoints, stage: loop.Stage) -> PyTree:
    shapes = jax.eval_shape(stage.init_state)
    return checkpoints.restore_newest(
      sharding_rules.with_state_shardings(shapes, self._mesh)
    )

  def check_fits(self) -> None:
    """Raises UserError if the work folder was made by another config."""
    if self._has_checkpoint_folder("tokenizer"):
      with contextlib.closing(self.tokenizer_checkpoints()) as checkpoints:
        if checkpoints.latest_step() is not None:
          checkpoints.check_identity()
    if self._has_checkpoint_folder("transformer"):
      # Whether the tokenizer is still the same is seen once it is trained.
      sections = identities.transformer_sections(self._config)
      with contextlib.closing(
        self._make_transformer_checkpoints(sections)
      ) as checkpoints:
        if checkpoints.latest_step() is not None:
          checkpoints.check_identity(sections=sections)

  def _has_checkpoint_folder(self, stage: str) -> bool:
    return (self._workdir / stage / "checkpoints").exists()
