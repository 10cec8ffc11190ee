"""The evaluate stage: scores and clips of held-out scenes, for the report."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.data.scene_clips import SceneClips
from magvit3d.evaluation import (
  hidden_tokens,
  likelihood,
  predictions,
  rate_distortion,
  reconstruction,
)
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.metres import score_files
from magvit3d.evaluation.metres.tally import SceneTally
from magvit3d.evaluation.outputs import RunOutputs, to_uint8
from magvit3d.evaluation.probing import probes, samples
from magvit3d.evaluation.published import clips
from magvit3d.evaluation.published.networks import MetricNetworks
from magvit3d.evaluation.results import Results, exchanged
from magvit3d.monitoring import stage_progress
from magvit3d.parallel import processes
from magvit3d.tokens.masked_model import TokenModel

VERSION = 6  # Scores of another version are made anew.
# With the seconds that they took of `:tiny` on two CPU cores, about.
PARTS = {
  "tokenizer": 10.0,
  "paths through the tokenizer": 4.0,
  "hidden tokens": 3.0,
  "predictions": 8.0,
  "predicted paths": 4.0,
  "samples": 14.0,
  "reading scenes for probes": 18.0,
  "probes": 66.0,
  "rates": 11.0,
  "bits of clips": 4.0,
  "classifier of samples": 19.0,
  "tables": 1.0,
}


def evaluate(
  folder: pathlib.Path,
  model: TokenModel,
  tokenizer_params: PyTree,
  params: PyTree,
  held_out: HeldOutScenes,
  *,
  settings: EvaluationConfig,
  seed: int,
  mesh: Mesh,
  key: str,
  run: Mapping[str, Any],
  clips_of: Callable[[str], SceneClips] | None = None,
  training_tokens: Callable[[], probes.TrainingTokens | None] = lambda: None,
) -> None:
  """Scores a run and writes `scores.json` and what the report shows.

  Args:
    folder: `evaluation` of the run; beside `scores.json` it gets `clips.npz`,
      `paths.npz` and `paths_*.json` and `.csv`, as `magvit3d.score` writes.
    model: The transformer with its tasks.
    tokenizer_params: Moving average of the generator.
    params: Parameters of the transformer.
    held_out: Scenes; of a model of several views, with as many.
    settings: `config.evaluation`.
    seed: Of masks and samples.
    mesh: Devices.
    key: Names all that the scores depend on.
    run: What the report says of the run, see `run.passport`.
    clips_of: Returns the scenes of a split, to fit probes on and to compare
      samples with; None leaves these scores out, as does the setting
      `num_probe_scenes=0`.
    training_tokens: Returns the tokens of all training samples, those of a
      scene in a row; None where they are not kept: then those that probes are
      fitted on count.
  """
  networks = clips.load(settings, mesh)
  stage_progress.begin("tokenizer")
  outputs = RunOutputs(
    model, tokenizer_params, params, held_out, settings, seed, mesh
  )
  if networks:  # What they cannot read is better known before the work.
    shape = outputs.clips["frames"].shape
    num_samples = settings.num_samples_per_class * len(held_out.class_names)
    networks.check_clips(shape[0], min(shape[0], num_samples), shape[1:])
  results = Results(settings.split, bool(outputs.is_object.any()))
  tallies = _score(outputs, results, networks)
  stage_progress.begin("samples")
  drawn = samples.draw(outputs)
  if drawn:
    samples.show(outputs, results, drawn)
    if networks:
      order = held_out.apart(len(outputs.real))
      clips.score(
        networks,
        results,
        "Samples of a class, by published networks",
        outputs.clips["frames"][order],
        to_uint8(outputs.decode(drawn.grids)),
        is_paired=False,
      )
  if clips_of is not None and settings.num_probe_scenes:
    stage_progress.begin("reading scenes for probes")
    tokens = training_tokens()
    scenes = probes.read_scenes(outputs, clips_of, tokens)
    test = clips_of(settings.split)
    stage_progress.begin("probes")
    probes.score(outputs, results, scenes, test)
    known = samples.known_samples(scenes.train, tokens)
    stage_progress.begin("rates")
    rate_distortion.score(outputs, results, known.grids)
    stage_progress.begin("bits of clips")
    likelihood.score(outputs, results, known.grids)
    if drawn:
      stage_progress.begin("classifier of samples")
      samples.score(outputs, results, drawn, scenes, known, test)
  if not processes.is_main():
    return
  stage_progress.begin("tables")
  results.check(settings, held_out.motion_names)
  why = held_out.why_not_scored()
  if not why and not results.paths:
    why = "The run has no task frame_prediction."
  facts = {"key": key, "run": dict(run), "why_no_paths": why}
  with exchanged(folder) as new:
    for name, tally in tallies.items():
      _write_paths(new / f"paths_{name}.json", tally, outputs)
    results.write(new, facts)


def _score(
  outputs: RunOutputs, results: Results, networks: MetricNetworks | None
) -> dict[str, SceneTally]:
  """Fills the results; returns what was scored in metres, by name."""
  tallies = {}
  order = outputs.held_out.apart(len(outputs.real))
  why_not_scored = outputs.held_out.why_not_scored()
  reconstruction.score_clips(outputs, results)
  if not why_not_scored:
    stage_progress.begin("paths through the tokenizer")
    tallies["reconstruction"] = reconstruction.score_paths(outputs, results)
  reconstruction.score_codes(outputs, results)
  stage_progress.begin("hidden tokens")
  hidden_tokens.score(outputs, results)
  for index, task in enumerate(outputs.model.tasks):
    if not predictions.is_prediction(task):
      continue
    stage_progress.begin("predictions")
    predicted = predictions.PredictedClips(outputs, index)
    predicted.score_pixels(results)
    if networks and not task.num_given_views:
      clips.score(
        networks,
        results,
        "Predicted clips, by published networks",
        outputs.clips["frames"][order],
        predicted.clips[order],
        is_paired=True,
      )
    if not why_not_scored:
      stage_progress.begin("predicted paths")
      tallies[task.name] = predicted.score_paths(results)
  return tallies


def _write_paths(
  output: pathlib.Path, tally: SceneTally, outputs: RunOutputs
) -> None:
  num_frames, image_size = outputs.real.shape[1:3]
  facts = {
    "split": outputs.held_out.split,
    "num_views": len(outputs.held_out.views),
    "image_size": image_size,
    "scored_frames": num_frames - tally.given_frames,
    "given_frames": tally.given_frames,
  }
  score_files.write(output, tally.lines(outputs.seed), outputs.seed, facts)
