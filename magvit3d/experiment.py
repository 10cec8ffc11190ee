"""The stages of a run: data, tokenizer, transformer, evaluate, report.

Each stage finds out by itself what is done already; `Experiment.run` goes
through those that `config.stages` names, in order.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import PyTree

from magvit3d import (
  config_checks,
  identities,
  network_checks,
  oracle_gate,
  overfit,
  processes,
  run_files,
  sharding,
)
from magvit3d.config_checks import STAGES
from magvit3d.data.batches import make_batches
from magvit3d.data.scene_clips import SceneClips, fold_views
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation import evaluate, tokenizer_scores, transformer_scores
from magvit3d.evaluation.report import write_report
from magvit3d.models.vqvae import latent_shape
from magvit3d.run_data import RunData
from magvit3d.tokens.token_model import TokenModel
from magvit3d.training import loop, token_cache
from magvit3d.training.checkpoints import Checkpoints
from magvit3d.training.tokenizer import TokenizerStage
from magvit3d.training.transformer import TransformerStage

_STAGES_OF_ONE = ("data", "report")  # The other processes wait for these.
_BATCH_FIELDS = (
  ("train_tokenizer", "batch_size"),
  ("train_transformer", "batch_size"),
  ("evaluation", "batch_size"),
)


class Experiment:
  """One run in one work folder.

  Args:
    config: See `configs/traj3d.py`.
    workdir: Holds everything the run makes; what is there is continued.
    stop_after: (stage, step) where training stops as if it were interrupted.

  Raises:
    UserError: A field is wrong, or the work folder cannot be written.
  """

  def __init__(
    self,
    config: Mapping[str, Any],
    workdir: pathlib.Path,
    stop_after: tuple[str, int] | None = None,
  ):
    self._config = config
    self._workdir = workdir
    self._stop_after = dict([stop_after]) if stop_after else {}
    self._mesh = sharding.make_mesh(config["mesh"])
    self._stages = config_checks.chosen_stages(config["stages"])
    config_checks.check_fields(config)
    self._data = RunData(config["data"], config["input"], workdir)
    is_cut = config["input"]["num_frames"] is not None
    with as_user_errors(ValueError):
      self._latent_shape = latent_shape(
        config["vqvae"],
        self._data.window.num_frames,
        config["data"]["image_size"],
        fields=(
          "input.num_frames" if is_cut else "data.num_frames",
          "data.image_size",
        ),
      )
      network_checks.trace_steps(
        config,
        self._clip_shape,
        self._make_token_model(self._data.num_classes()),
      )
    for section, field in _BATCH_FIELDS:
      sharding.check_batch_size(
        f"{section}.{field}",
        config[section][field],
        self._mesh,
        config[section].get("gradient_accumulation_steps", 1),
      )
    config_checks.check_whole_scenes(config, self._data.views_per_sample())
    run_files.make_workdir(workdir)
    self._record = run_files.StageRecord(workdir, STAGES, processes.is_main())

  def run(self) -> pathlib.Path:
    """Runs the chosen stages; returns where the report is, or would be.

    Raises:
      UserError: Something that the user can mend.
      loop.Interrupted: Training was asked to stop.
    """
    devices = jax.devices()
    logging.info(
      "%d %s device(s) of %d process(es): %s.",
      len(devices),
      devices[0].platform.upper(),
      jax.process_count(),
      devices[0].device_kind,
    )
    self._check_fits_workdir()
    processes.wait_for_all("checks")
    if processes.is_main():
      run_files.write_json(self._workdir / "config.json", self._config)
    has_worked = False
    for name in self._stages:
      if getattr(self, f"_is_{name}_complete")():
        logging.info("Stage %s is complete.", name)
        self._record.note_done(name)
      else:
        has_worked = True
        self._record.note_outdated("report")
        with self._record.running(name):
          if processes.is_main() or name not in _STAGES_OF_ONE:
            getattr(self, f"_run_{name}")()
      processes.wait_for_all(name)
    if has_worked and "report" in self._stages:
      self._run_report()  # Again, with its own duration in it.
    elif not has_worked:
      logging.info("All is done: %s.", ", ".join(self._stages))
    return self._report_path

  def overfit(self) -> list[overfit.Verdict]:
    """Trains both networks on one batch; says whether they can learn.

    Makes the data set if it is missing, and saves nothing.
    """
    if not self._is_data_complete():
      if processes.is_main():
        self._run_data()
      processes.wait_for_all("data")
    config = overfit.make_config(self._config)
    clips = self._overfit_clips(config["train_tokenizer"]["batch_size"])
    with as_user_errors(ValueError):
      stage = TokenizerStage(
        config, overfit.MANY_STEPS, self._clip_shape, clips["frames"]
      )
    tokenizer = overfit.train(
      "tokenizer", stage, clips, overfit.TOKENIZER, self._mesh
    )
    params = sharding.replicate(tokenizer.state.g_params, self._mesh)
    clips = self._overfit_clips(config["train_transformer"]["batch_size"])
    model = self._token_model()
    tokens = transformer_scores.make_tokenize(
      model, len(clips["labels"]), self._mesh
    )(params, clips)
    model = TokenModel(
      config, self._data.window.num_frames, self._data.num_classes(),
      self._latent_shape,
    )
    with as_user_errors(ValueError):
      stage = TransformerStage(config, model, overfit.MANY_STEPS, params)
    transformer = overfit.train(
      "transformer",
      stage,
      dataclasses.asdict(tokens),
      overfit.TRANSFORMER,
      self._mesh,
    )
    return [tokenizer, transformer]

  def _overfit_clips(self, count: int) -> dict[str, np.ndarray]:
    clips = self._data.some_clips("train", 4 * count)
    rows = overfit.pick_rows(clips["labels"], count)
    return {key: clips[key][rows] for key in ("frames", "masks", "labels")}

  # Checks.

  def _check_fits_workdir(self) -> None:
    """Raises UserError if the work folder was made by another config."""
    self._data.check_fits()
    if self._has_checkpoint_folder("tokenizer"):
      with contextlib.closing(self._tokenizer_checkpoints()) as checkpoints:
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

  # Data.

  def _is_data_complete(self) -> bool:
    return self._data.is_complete(may_mend=self._stages == ["data"])

  def _run_data(self) -> None:
    self._data.generate()

  # Tokenizer.

  def _num_steps(self, section: str) -> int:
    training = self._config[section]
    if training["num_steps"] is not None:
      return training["num_steps"]
    num_samples = len(self._data.training_samples())
    num_clips = num_samples * self._data.views_per_sample()
    return math.ceil(
      num_clips * training["num_epochs"] / training["batch_size"]
    )

  def _tokenizer_checkpoints(self) -> Checkpoints:
    return Checkpoints(
      self._workdir / "tokenizer" / "checkpoints",
      identities.tokenizer_identity(self._config, self._data.arguments()),
    )

  def _tokenizer_stage(self) -> TokenizerStage:
    count = self._config["vqgan"]["codebook_init_clips"]
    frames = None
    if count and not self._config["init_from"]["checkpoint_path"]:
      frames = self._data.some_clips("train", count)["frames"]
    with as_user_errors(ValueError):
      return TokenizerStage(
        self._config,
        self._num_steps("train_tokenizer"),
        self._clip_shape,
        frames,
      )

  @property
  def _clip_shape(self) -> tuple[int, int, int, int]:
    size = self._config["data"]["image_size"]
    return self._data.window.num_frames, size, size, 3

  def _is_tokenizer_complete(self) -> bool:
    return self._is_trained("tokenizer", self._tokenizer_checkpoints)

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
    return step >= self._num_steps(f"train_{stage}")

  def _run_tokenizer(self) -> None:
    training = self._config["train_tokenizer"]
    stage = self._tokenizer_stage()
    stage.start_from(self._config["init_from"])
    clips = self._data.some_clips(
      "validation", training["num_validation_clips"]
    )
    reconstruct = self._make_reconstruct(stage.tokenizer)
    self._train(
      "tokenizer",
      stage,
      self._data.training_samples(),
      self._tokenizer_checkpoints(),
      lambda state: tokenizer_scores.validation_scores(
        reconstruct, state.ema_params, clips, stage.has_quantized(state)
      ),
    )

  def _make_reconstruct(self, tokenizer) -> Callable:
    return tokenizer_scores.make_reconstruct(
      tokenizer, self._config["evaluation"]["batch_size"], self._mesh
    )

  def _train(self, name, stage, source, checkpoints, validate) -> PyTree:
    training = self._config[f"train_{name}"]
    is_of_scenes = isinstance(source, SceneClips)
    per_sample = self._data.views_per_sample() if is_of_scenes else 1
    batches = make_batches(
      source,
      batch_size=training["batch_size"] // per_sample // jax.process_count(),
      seed=self._config["seed"],
      num_threads=self._config["num_reading_threads"],
      num_workers=self._config["num_reading_workers"],
      transform=fold_views if is_of_scenes else None,
      shard_index=jax.process_index(),
      shard_count=jax.process_count(),
    )
    options = loop.LoopOptions(
      num_steps=self._num_steps(f"train_{name}"),
      log_every_steps=training["log_every_steps"],
      validate_every_steps=training["validate_every_steps"],
      checkpoint_every_steps=training["checkpoint_every_steps"],
      max_skipped_steps=self._config["max_skipped_steps"],
      stop_after_step=self._stop_after.get(name),
    )
    try:
      return loop.train(
        name,
        stage,
        workdir=self._workdir,
        batches=batches,
        options=options,
        checkpoints=checkpoints,
        mesh=self._mesh,
        validate=validate,
      )
    finally:
      batches.close()
      checkpoints.close()

  def _tokenizer_params(self) -> PyTree:
    """The moving average of the trained generator."""
    checkpoints = self._tokenizer_checkpoints()
    try:
      if checkpoints.latest_step() is None:
        raise UserError(
          f"{self._workdir}/tokenizer has no checkpoint: add 'tokenizer' to "
          f"config.stages={self._config['stages']!r}."
        )
      like = jax.eval_shape(self._tokenizer_stage().init_state)
      return self._restored(checkpoints, like).ema_params
    finally:
      checkpoints.close()

  # Transformer.

  def _token_model(self) -> TokenModel:
    return self._make_token_model(
      len(self._data.clips("train").scenes.class_names)
    )

  def _make_token_model(self, num_classes: int) -> TokenModel:
    return TokenModel(
      self._config,
      self._data.window.num_frames,
      num_classes,
      self._latent_shape,
    )

  def _transformer_stage(
    self, model: TokenModel, tokenizer_params: PyTree
  ) -> TransformerStage:
    num_steps = self._num_steps("train_transformer")
    with as_user_errors(ValueError):
      return TransformerStage(self._config, model, num_steps, tokenizer_params)

  def _transformer_checkpoints(self, tokenizer_params: PyTree) -> Checkpoints:
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
      advice="Use the config and the tokenizer it was trained with, or another "
      f"--workdir, or delete {folder} to train it anew.",
    )

  def _is_transformer_complete(self) -> bool:
    if not self._has_checkpoint_folder("transformer"):
      return False
    params = self._tokenizer_params()
    return self._is_trained(
      "transformer", lambda: self._transformer_checkpoints(params)
    )

  def _run_transformer(self) -> None:
    tokenizer_params = self._tokenizer_params()
    model = self._token_model()
    self._pass_oracle_gate(model, tokenizer_params)
    training = self._config["train_transformer"]
    stage = self._transformer_stage(model, tokenizer_params)
    source = self._data.training_samples()
    if self._config["tokenizer_cache"]:
      source = token_cache.load_or_make(
        self._workdir / "transformer" / "tokens",
        self._data.clips("train"),
        model,
        tokenizer_params,
        key=identities.token_key(
          self._config, self._data.cut(), self._data.splits(), tokenizer_params
        ),
        batch_size=self._config["evaluation"]["batch_size"],
        mesh=self._mesh,
      )
    clips = self._data.some_clips(
      "validation", training["num_validation_clips"]
    )
    validate = transformer_scores.make_validation(
      model,
      tokenizer_params,
      clips,
      self._config["evaluation"]["batch_size"],
      self._mesh,
    )
    self._train(
      "transformer",
      stage,
      source,
      self._transformer_checkpoints(tokenizer_params),
      lambda state: validate(state.params),
    )

  def _pass_oracle_gate(self, model: TokenModel, params: PyTree) -> None:
    """Stops the run where the tokenizer does not show the object."""
    count = self._config["train_tokenizer"]["num_validation_clips"]
    clips = self._data.some_clips("validation", count)
    scores = tokenizer_scores.validation_scores(
      self._make_reconstruct(model.tokenizer), params, clips
    )
    oracle_gate.check(scores, len(clips["frames"]), self._config)

  # Evaluation and report.

  def _evaluation_key(self, tokenizer_params: PyTree, params: PyTree) -> str:
    return identities.evaluation_key(
      self._config,
      self._data.cut(),
      self._data.splits(),
      tokenizer_params,
      params,
    )

  def _transformer_params(self, tokenizer_params: PyTree) -> PyTree:
    checkpoints = self._transformer_checkpoints(tokenizer_params)
    try:
      if checkpoints.latest_step() is None:
        raise UserError(
          f"{self._workdir}/transformer has no checkpoint: add 'transformer' "
          f"to config.stages={self._config['stages']!r}."
        )
      stage = self._transformer_stage(self._token_model(), tokenizer_params)
      like = jax.eval_shape(stage.init_state)
      return self._restored(checkpoints, like).params
    finally:
      checkpoints.close()

  def _restored(self, checkpoints: Checkpoints, like: PyTree) -> PyTree:
    return checkpoints.restore(sharding.on_all_devices(like, self._mesh))

  def _is_evaluate_complete(self) -> bool:
    path = self._workdir / "evaluation" / "scores.json"
    if not path.exists():
      return False
    tokenizer_params = self._tokenizer_params()
    params = self._transformer_params(tokenizer_params)
    key = self._evaluation_key(tokenizer_params, params)
    return json.loads(path.read_text()).get("key") == key

  def _run_evaluate(self) -> None:
    tokenizer_params = self._tokenizer_params()
    params = self._transformer_params(tokenizer_params)
    settings = self._config["evaluation"]
    clips = self._data.some_clips(settings["split"], settings["num_clips"])
    names = self._data.clips(settings["split"]).scenes.class_names
    evaluate.evaluate(
      self._workdir / "evaluation",
      self._token_model(),
      tokenizer_params,
      params,
      clips,
      class_names=names,
      settings=settings,
      seed=self._config["seed"],
      mesh=self._mesh,
      key=self._evaluation_key(tokenizer_params, params),
    )

  @property
  def _report_path(self) -> pathlib.Path:
    return self._workdir / "report" / "index.html"

  def _is_report_complete(self) -> bool:
    return self._report_path.exists() and self._record.is_done("report")

  def _run_report(self) -> None:
    if processes.is_main():
      write_report(self._workdir)
