"""The stages of a run: data, tokenizer, transformer, evaluate, report.

Each stage finds out by itself what is done already; `Experiment.run` goes
through those that `config.stages` names, in order.
"""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import logging
from jaxtyping import PyTree

from magvit3d.checkpoints import identity
from magvit3d.config import checks as config_checks
from magvit3d.config.checks import STAGES
from magvit3d.data.batches import make_batches
from magvit3d.data.scene_tokens import SceneTokens, TrainingSceneTokens
from magvit3d.data.token_records import TokenSource
from magvit3d.errors import as_user_errors
from magvit3d.evaluation import (
  checks,
  evaluate,
  strips,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.models.tokenizer import latent_shape
from magvit3d.monitoring.options import MonitoringOptions
from magvit3d.monitoring.profiling import StepSpan
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.parallel import processes, sharding
from magvit3d.report import run_report
from magvit3d.run import (
  network_checks,
  oracle_gate,
  overfit,
  passport,
  record,
  token_cache,
)
from magvit3d.run.data import RunData, TrainingSamples
from magvit3d.run.networks import RunNetworks
from magvit3d.run.overfit_run import overfit_networks
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import loop


class Experiment:
  """One run in one work folder.

  Args:
    config: See `configs/traj3d.py`.
    workdir: Holds everything the run makes; what is there is continued.
    profile: Steps to trace.
    stop_after: (stage, step) where training stops as if it were interrupted.

  Raises:
    UserError: A field is wrong, or the work folder cannot be written.
  """

  def __init__(
    self,
    config: Mapping[str, Any],
    workdir: pathlib.Path,
    profile: StepSpan | None = None,
    stop_after: tuple[str, int] | None = None,
  ):
    self._config = config
    self._profile = profile
    self._workdir = workdir
    self._stop_after = dict([stop_after]) if stop_after else {}
    self._mesh = sharding.make_mesh(config["mesh"])
    self._stages = config_checks.chosen_stages(config["stages"])
    config_checks.check_fields(config)
    self._data = RunData(config["data"], config["input"], workdir)
    self._networks = RunNetworks(config, self._data, workdir, self._mesh)
    with as_user_errors(ValueError):
      network_checks.trace_steps(
        config,
        self._networks.clip_shape,
        self._networks.training_shape,
        self._networks.token_model(self._data.num_classes()),
      )
    self._check_batches()
    record.make_workdir(workdir)
    self._record = record.StageRecord(workdir, STAGES, processes.is_main())

  def _check_batches(self) -> None:
    """Raises UserError if batches do not divide into samples and devices."""
    for section in ("train_tokenizer", "train_transformer", "evaluation"):
      num_views = self._networks.num_views(section)
      field, size = f"{section}.batch_size", self._config[section]["batch_size"]
      if section == "evaluation":
        per_sample = num_views
      else:
        per_sample = self._data.views_per_sample(num_views)
      config_checks.check_whole_scenes(field, size, per_sample)
      sharding.check_batch_size(
        field,
        size // num_views,
        self._mesh,
        self._config[section].get("gradient_accumulation_steps", 1),
        clips_per_sample=num_views,
      )

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
    self._data.check_fits()
    self._networks.check_fits()
    processes.wait_for_all("checks")
    if processes.is_main():
      record.write_json(self._workdir / "config.json", self._config)
    has_worked = False
    for name in self._stages:
      if getattr(self, f"_is_{name}_complete")():
        logging.info("Stage %s is complete.", name)
        self._record.note_done(name)
      else:
        has_worked = True
        self._record.note_outdated("report")
        with self._record.running(name):
          getattr(self, f"_run_{name}")()
      processes.wait_for_all(name)
    if has_worked and "report" in self._stages:
      self._write_report()  # Again, with its own duration in it.
    elif not has_worked:
      logging.info("All is done: %s.", ", ".join(self._stages))
    if {"evaluate", "report"} & set(self._stages) and processes.is_main():
      checks.log_missed(self._workdir / "evaluation")
    return self._report_path

  def overfit(self) -> list[overfit.Verdict]:
    """Trains both networks on one batch; says whether they can learn.

    Makes the data set if it is missing, and saves nothing.
    """
    if not self._is_data_complete():
      self._run_data()
    return overfit_networks(
      self._config, self._data, self._networks, self._mesh
    )

  # Data.

  def _is_data_complete(self) -> bool:
    return self._data.is_complete(may_mend=self._stages == ["data"])

  def _run_data(self) -> None:
    processes.by_main(self._data.generate)

  # Tokenizer.

  def _is_tokenizer_complete(self) -> bool:
    return self._networks.is_tokenizer_complete()

  def _run_tokenizer(self) -> None:
    training = self._config["train_tokenizer"]
    stage = self._networks.tokenizer_stage()
    stage.start_from(self._config["init_from"])
    clips = self._data.some_clips(
      "validation", training["num_validation_clips"]
    )
    reconstruct = self._make_reconstruct(stage.tokenizer)
    draw = strips.make_reconstruction_strips(stage.tokenizer, clips, self._mesh)
    self._train(
      "tokenizer",
      stage,
      self._data.training_samples().cropped(self._networks.crop),
      self._networks.tokenizer_checkpoints(),
      lambda state: tokenizer_scores.validation_scores(
        reconstruct, state.ema_params, clips, stage.has_quantized(state)
      ),
      lambda state: draw(state.ema_params, stage.has_quantized(state)),
    )

  def _make_reconstruct(self, tokenizer) -> Callable:
    return tokenizer_scores.make_reconstruct(
      tokenizer, self._config["evaluation"]["batch_size"], self._mesh
    )

  def _train(self, name, stage, samples, checkpoints, validate, draw) -> PyTree:
    training = self._config[f"train_{name}"]
    num_samples = training["batch_size"] // samples.views_per_sample
    batches = make_batches(
      samples.source,
      batch_size=num_samples // jax.process_count(),
      seed=self._config["seed"],
      num_threads=self._config["num_reading_threads"],
      num_workers=self._config["num_reading_workers"],
      transform=samples.transform,
      shard_index=jax.process_index(),
      shard_count=jax.process_count(),
    )
    options = loop.LoopOptions(
      num_steps=self._networks.num_steps(f"train_{name}"),
      log_every_steps=training["log_every_steps"],
      validate_every_steps=training["validate_every_steps"],
      checkpoint_every_steps=training["checkpoint_every_steps"],
      max_skipped_steps=self._config["max_skipped_steps"],
      stop_after_step=self._stop_after.get(name),
      monitoring=MonitoringOptions.from_config(self._config["monitoring"]),
      dtype=self._config["dtype"],
      num_parts=training["gradient_accumulation_steps"],
      per_step=self._per_step(name),
      profile=self._profile,
      config=self._config,
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
        draw=draw,
      )
    finally:
      batches.close()
      checkpoints.close()

  def _per_step(self, name: str) -> dict[str, int]:
    """What a step of a stage consumes, over all devices."""
    num_clips = self._config[f"train_{name}"]["batch_size"]
    grid = self._networks.latent_shape
    if name == "tokenizer":
      num_frames, size, *_ = self._networks.training_shape
      grid = latent_shape(self._config["vqvae"], num_frames, size)
    return {"clips": num_clips, "tokens": num_clips * math.prod(grid)}

  # Transformer.

  def _is_transformer_complete(self) -> bool:
    return self._networks.is_transformer_complete()

  def _run_transformer(self) -> None:
    tokenizer_params = self._networks.tokenizer_params()
    model = self._networks.token_model()
    self._pass_oracle_gate(model, tokenizer_params)
    training = self._config["train_transformer"]
    stage = self._networks.transformer_stage(model, tokenizer_params)
    num_views = model.num_views
    samples = self._data.training_samples(num_views)
    if self._config["tokenizer_cache"]:
      parts = {"training clips": 1.0}
      with StageProgress(self._workdir, "tokens", parts):
        tokens = self._cached_tokens(model, tokenizer_params)
      if num_views > 1:
        tokens = TrainingSceneTokens(
          tokens, self._data.num_cameras(), num_views
        )
      samples = TrainingSamples(tokens, num_views)
    clips = self._data.some_samples(
      "validation", training["num_validation_clips"], num_views
    )
    validate = transformer_scores.make_validation(
      model,
      tokenizer_params,
      clips,
      self._config["evaluation"]["batch_size"] // num_views,
      self._mesh,
    )
    draw = strips.make_generation_strips(
      model, tokenizer_params, clips, self._mesh
    )
    self._train(
      "transformer",
      stage,
      samples,
      self._networks.transformer_checkpoints(tokenizer_params),
      lambda state: validate(state.params),
      lambda state: draw(state.params),
    )

  def _cached_tokens(self, model: TokenModel, params: PyTree) -> TokenSource:
    """The tokens of all training clips."""
    return token_cache.load_or_make(
      self._workdir / "transformer" / "tokens",
      self._data.clips("train"),
      model,
      params,
      key=identity.token_key(
        self._config, self._data.cut(), self._data.splits(), params
      ),
      batch_size=self._config["evaluation"]["batch_size"],
      mesh=self._mesh,
    )

  def _training_tokens(
    self, model: TokenModel, params: PyTree
  ) -> TokenSource | SceneTokens | None:
    """Tokens of all samples to train on; None where none are kept."""
    if not self._config["tokenizer_cache"]:
      return None
    tokens, views = self._cached_tokens(model, params), model.num_views
    cameras = self._data.num_cameras()
    return SceneTokens(tokens, cameras, views) if views > 1 else tokens

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
    return identity.evaluation_key(
      self._config,
      self._data.cut(),
      self._data.splits(),
      tokenizer_params,
      params,
      evaluate.VERSION,
    )

  def _is_evaluate_complete(self) -> bool:
    path = self._workdir / "evaluation" / "scores.json"
    if not path.exists():
      return False
    tokenizer_params = self._networks.tokenizer_params()
    params = self._networks.transformer_params(tokenizer_params)
    key = self._evaluation_key(tokenizer_params, params)
    return json.loads(path.read_text()).get("key") == key

  def _run_evaluate(self) -> None:
    with StageProgress(self._workdir, "evaluate", evaluate.PARTS) as progress:
      self._evaluate()
      progress.result = checks.warning_of(self._workdir / "evaluation")

  def _evaluate(self) -> None:
    tokenizer_params = self._networks.tokenizer_params()
    params = self._networks.transformer_params(tokenizer_params)
    settings = self._config["evaluation"]
    views = self._networks.num_views("evaluation")
    num_views = views if views > 1 else None
    model = self._networks.token_model()
    evaluate.evaluate(
      self._workdir / "evaluation",
      model,
      tokenizer_params,
      params,
      self._data.held_out_scenes(
        settings["split"], settings["num_clips"], num_views
      ),
      settings=settings,
      seed=self._config["seed"],
      mesh=self._mesh,
      key=self._evaluation_key(tokenizer_params, params),
      run=passport.describe(
        {"tokenizer": tokenizer_params, "transformer": params},
        self._data.folder,
        tokens_per_clip=math.prod(self._networks.latent_shape),
      ),
      clips_of=lambda split: self._data.scene_clips(split, num_views),
      training_tokens=lambda: self._training_tokens(model, tokenizer_params),
    )

  @property
  def _report_path(self) -> pathlib.Path:
    return self._workdir / "report" / "index.html"

  def _is_report_complete(self) -> bool:
    return self._report_path.exists() and self._record.is_done("report")

  def _run_report(self) -> None:
    self._report_sections = {}
    with StageProgress(self._workdir, "report", run_report.PARTS) as progress:
      self._write_report()
      progress.result = checks.warning_of(self._workdir / "evaluation")

  def _write_report(self) -> None:
    processes.by_main(
      lambda: run_report.write_report(self._workdir, self._report_sections)
    )
