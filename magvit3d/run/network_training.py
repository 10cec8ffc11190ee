"""One training stage of a run: batches, options of the loop, checkpoints."""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import PyTree

from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.config.training import TrainingConfig
from magvit3d.data.batches import make_batches
from magvit3d.run.data import TrainingSamples
from magvit3d.run.stages import Run
from magvit3d.training import loop


def train_network(
  run: Run,
  name: str,
  stage: loop.Stage,
  samples: TrainingSamples,
  checkpoints: Checkpoints,
  validate: Callable[[PyTree], Mapping[str, float]],
  draw: Callable[[PyTree], np.ndarray] | None = None,
  *,
  training: TrainingConfig,
  num_steps: int,
  per_step: Mapping[str, int],
) -> None:
  """Trains a stage to its last step, from its newest checkpoint if any.

  Args:
    run: That it is of.
    name: Of the stage, and of its folder.
    stage: See `loop.train`, and there for `validate` and `draw`.
    samples: To train on.
    checkpoints: Of the stage; closed at the end.
    validate: Scores a state.
    draw: Makes a picture of a state's work; None: no pictures.
    training: Section of the config.
    num_steps: Of the whole stage.
    per_step: What a step consumes, over all devices.

  Raises:
    Interrupted: A signal to stop came, or `run.stop_after` was reached.
    UserError: See `loop.train`.
  """
  config = run.config
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
    num_steps=num_steps,
    log_every_steps=training.log_every_steps,
    validate_every_steps=training.validate_every_steps,
    checkpoint_every_steps=training.checkpoint_every_steps,
    max_skipped_steps=config.max_skipped_steps,
    stop_after_step=run.stop_after.get(name),
    monitoring=config.monitoring,
    dtype=config.dtype,
    num_parts=training.gradient_accumulation_steps,
    per_step=per_step,
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
