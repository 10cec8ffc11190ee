"""One stage alone, as upstream's configs describe it.

The work folder then holds the stage's checkpoints and metrics, as those of
`experiment` do, and `evaluation`: scores.json and samples.webp.
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jaxtyping import PyTree

from magvit3d.checkpoints import identity as identities
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.checkpoints.retention import CheckpointSettings
from magvit3d.config import checks
from magvit3d.config import single_stage as stage_config
from magvit3d.data.batches import make_batches
from magvit3d.data.clips import spread_indices
from magvit3d.data.crops import NO_CROP, CroppedClips, fit_crop
from magvit3d.errors import UserError, as_user_errors
from magvit3d.evaluation import single_stage_scores as scores
from magvit3d.evaluation.results import SCORES_NAME
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.monitoring.options import MonitoringOptions
from magvit3d.monitoring.profiling import StepSpan
from magvit3d.parallel import processes, sharding, sharding_rules
from magvit3d.run import overfit, record
from magvit3d.run.single_stage_data import StageData
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import loop
from magvit3d.training.autoregressive_stage import LMStage
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage
from magvit3d.upstream import initial_trees


@dataclasses.dataclass(frozen=True)
class _Job:
  """What differs between the stages.

  Attributes:
    name: Folder and name of the stage.
    stage: For the loop.
    identity: What its checkpoints must agree with.
    params_of: Parameters to score, of a state.
    make_scorer: Makes one of `single_stage_scores` for some clips.
  """

  name: str
  stage: loop.Stage
  identity: Mapping[str, Any]
  params_of: Callable[[PyTree], PyTree]
  make_scorer: Callable[[Mapping[str, np.ndarray]], scores.Scorer]


class SingleStage:
  """A run of one stage in one work folder; what is there is continued.

  Args:
    config: One of upstream's configs, see `configs/upstream_base.py`.
    workdir: Holds everything the run makes.
    profile: Steps to trace.

  Raises:
    UserError: A field is wrong, or the work folder cannot be written.
  """

  def __init__(
    self,
    config: Mapping[str, Any],
    workdir: pathlib.Path,
    profile: StepSpan | None = None,
  ):
    self._config = config
    self._profile = profile
    self._workdir = workdir
    self._mesh = sharding.make_mesh(config["mesh"])
    checks.check_reading(config)
    checks.check_skipping(config)
    MonitoringOptions.from_config(config["monitoring"])
    for field, num_parts in (
      ("batch_size", config["gradient_accumulation_steps"]),
      ("eval_batch_size", 1),
    ):
      sharding.check_batch_size(field, config[field], self._mesh, num_parts)
    self._settings = CheckpointSettings(
      config["checkpoints"]["num_to_keep"],
      config["checkpoints"]["best_metric"],
      field="checkpoints.best_metric",
    )
    data = config["dataset_configs"]
    num_frames = 1 if config["dataset_type"] == "image" else data["num_frames"]
    size = config["image_size"]
    self._clip_shape = (num_frames, size, size, 3)
    with as_user_errors(ValueError):
      self._blocks = stage_config.stage_blocks(config)
      self._grid = latent_shape(
        config["vqvae"],
        num_frames,
        size,
        fields=("dataset_configs.num_frames", "image_size"),
      )
      self._check_latent_shape()
    self._crop = fit_crop(
      config.get("crop", NO_CROP),
      self._clip_shape,
      config["vqvae"],
      section="crop",
    )
    record.make_workdir(workdir)

  def run(self) -> pathlib.Path:
    """Trains (unless `eval_only`) and scores; returns the scores' file.

    Raises:
      UserError: Something that the user can mend.
      loop.Interrupted: Training was asked to stop.
    """
    data = StageData(self._config, self._clip_shape)
    with as_user_errors(ValueError):
      job = self._make_job(data, stage_config.num_steps(self._config))
    if processes.is_main():
      record.write_json(self._workdir / "config.json", self._config)
    checkpoints = Checkpoints(
      self._workdir / job.name / "checkpoints",
      job.identity,
      settings=self._settings,
      record={
        "config": self._config,
        "data_manifest_sha256": data.manifest_sha256(),
      },
    )
    try:
      state = self._trained_state(job, data, checkpoints)
    finally:
      checkpoints.close()
    scorer = job.make_scorer(data.some_clips("test"))
    evaluation = scorer.evaluate(job.params_of(state))
    folder = self._workdir / "evaluation"
    if processes.is_main():
      evaluation.write(folder)
    for line in evaluation.lines():
      logging.info("%s", line)
    return folder / SCORES_NAME

  def overfit(self) -> list[overfit.Verdict]:
    """Trains on one batch and saves nothing; says whether it can learn."""
    data = StageData(self._config, self._clip_shape)
    self._blocks = overfit.make_config(self._blocks)
    with as_user_errors(ValueError):
      job = self._make_job(data, overfit.MANY_STEPS)
    count = self._config["batch_size"]
    source = self._training_source(data)
    rng = np.random.default_rng(self._config["rng_seed"])
    samples = [
      source.random_clip(index, rng)
      if hasattr(source, "random_clip")
      else source[index]
      for index in spread_indices(source, 4 * count)
    ]
    clips = {
      key: np.stack([sample[key] for sample in samples])
      for key in ("frames", "masks", "labels")
    }
    rows = overfit.pick_rows(clips["labels"], count)
    batch = {key: clip[rows] for key, clip in clips.items()}
    target = overfit.TARGETS[job.name]
    return [overfit.train(job.name, job.stage, batch, target, self._mesh)]

  def _trained_state(
    self, job: _Job, data: StageData, checkpoints: Checkpoints
  ) -> PyTree:
    config = self._config
    if config["eval_only"]:
      if checkpoints.latest_step() is None:
        raise UserError(
          f"config.eval_only scores a trained {job.name}, but "
          f"{self._workdir / job.name} has no checkpoint. Train it in this "
          "--workdir, or name the --workdir where it is."
        )
      shapes = jax.eval_shape(job.stage.init_state)
      return checkpoints.restore_newest(
        sharding_rules.with_state_shardings(shapes, self._mesh)
      )
    options = loop.LoopOptions(
      num_steps=stage_config.num_steps(config),
      log_every_steps=config["log_summary_steps"],
      validate_every_steps=config["log_eval_steps"],
      checkpoint_every_steps=config["checkpoint_steps"],
      max_skipped_steps=config["max_skipped_steps"],
      monitoring=MonitoringOptions.from_config(config["monitoring"]),
      dtype=config["dtype"],
      num_parts=config["gradient_accumulation_steps"],
      per_step={
        "clips": config["batch_size"],
        "tokens": config["batch_size"] * self._num_tokens(),
      },
      profile=self._profile,
      config=config,
    )
    scorer = job.make_scorer(data.some_clips("validation"))
    batches = make_batches(
      self._training_source(data),
      batch_size=config["batch_size"] // jax.process_count(),
      seed=config["rng_seed"],
      num_threads=config["num_reading_threads"],
      num_workers=config["num_reading_workers"],
      shard_index=jax.process_index(),
      shard_count=jax.process_count(),
    )
    with contextlib.closing(batches):
      return loop.train(
        job.name,
        job.stage,
        workdir=self._workdir,
        batches=batches,
        options=options,
        checkpoints=checkpoints,
        mesh=self._mesh,
        validate=lambda state: scorer.validate(job.params_of(state)),
      )

  def _training_source(self, data: StageData) -> Any:
    return (
      CroppedClips(data.training, self._crop) if self._crop else data.training
    )

  def _num_tokens(self) -> int:
    """Of what the stage trains on."""
    if self._crop is None:
      return math.prod(self._grid)
    crop = self._crop
    return math.prod(
      latent_shape(self._config["vqvae"], crop.num_frames, crop.size)
    )

  def _check_latent_shape(self) -> None:
    transformer = self._config.get("transformer")
    if transformer and tuple(transformer["latent_shape"]) != self._grid:
      raise ValueError(
        f"config.transformer.latent_shape={transformer['latent_shape']}, but "
        f"config.vqvae makes {self._grid} of clips {self._clip_shape[:3]}."
      )

  def _make_job(self, data: StageData, num_steps: int) -> _Job:
    if self._config["model_class"] == "VQGAN":
      return self._tokenizer_job(data, num_steps)
    return self._transformer_job(data, num_steps, self._tokenizer_params())

  def _tokenizer_job(self, data: StageData, num_steps: int) -> _Job:
    blocks = self._blocks
    shape = self._crop.shape if self._crop else self._clip_shape
    stage = TokenizerStage(blocks, num_steps, shape)
    if not self._config["eval_only"]:
      stage.start_from(self._config["init_from"])
    return _Job(
      "tokenizer",
      stage,
      identities.tokenizer_identity(blocks, data.identity),
      lambda state: state.ema_params,
      lambda clips: scores.TokenizerScorer(
        stage.tokenizer,
        blocks["vqvae"]["codebook_size"],
        clips,
        self._config["eval_batch_size"],
        self._mesh,
      ),
    )

  def _tokenizer_params(self) -> PyTree:
    """The frozen tokenizer of a transformer."""
    path = self._config["tokenizer"]["checkpoint_path"]
    if not path:
      raise UserError(
        "config.tokenizer.checkpoint_path is missing: a transformer needs a "
        "trained tokenizer, as RUN/tokenizer/checkpoints of a VQGAN's run or a "
        "checkpoint in upstream's format."
      )
    tokenizer = Tokenizer.from_config(self._config["vqvae"])
    clips = jax.ShapeDtypeStruct((1, *self._clip_shape), np.float32)
    like = jax.eval_shape(tokenizer.init, jax.random.key(0), clips)["params"]
    where = {"checkpoint_path": path}
    trees = initial_trees(
      where, {"ema_params": like}, "tokenizer", section="tokenizer"
    )
    return trees["ema_params"]

  def _transformer_job(
    self, data: StageData, num_steps: int, tokenizer_params: PyTree
  ) -> _Job:
    config, blocks = self._config, self._blocks
    num_classes = config["dataset_configs"]["num_classes"]
    if config["model_class"] == "LMGVT":
      model = LanguageModel(blocks, num_classes, self._grid)
      stage = LMStage(blocks, model, num_steps, tokenizer_params)
      are_classes_used = True
      scorer_class = scores.AutoregressiveScorer
    else:
      num_frames = self._clip_shape[0]
      model = TokenModel(blocks, num_frames, num_classes, self._grid)
      stage = TransformerStage(blocks, model, num_steps, tokenizer_params)
      are_classes_used = any(task.class_conditional for task in model.tasks)
      scorer_class = scores.MaskedScorer
    if not config["eval_only"]:
      stage.start_from(config["init_from"])
    data.check_classes(num_classes, are_used=are_classes_used)
    return _Job(
      "transformer",
      stage,
      identities.transformer_identity(blocks, tokenizer_params),
      lambda state: state.params,
      lambda clips: scorer_class(
        model,
        tokenizer_params,
        clips,
        config["eval_batch_size"],
        self._mesh,
        seed=config["rng_seed"],
      ),
    )
