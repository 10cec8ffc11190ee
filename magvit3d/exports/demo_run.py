"""The demo: scenes, what a model makes of them, and a page of both."""

import html
import pathlib
import tempfile

import numpy as np
from jaxtyping import UInt8

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.evaluation import motion_clips
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.evaluation.metres.tally import SceneTally
from magvit3d.exports import (
  demo_page,
  fresh_scenes,
  opened_models,
  picture_grid,
  scene_predictions,
)
from magvit3d.exports.scene_predictions import ScenePredictions
from magvit3d.inference import user_videos
from magvit3d.models.cameras import KEYS, Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.pretrained import shipped

NUM_SCENES = 12  # Of which each class has one.
_SAMPLES_PER_CLASS = 2
# Programs are compiled for one size each: so many clips, or scenes, at a time.
_BATCH_SIZE = 12
# With the seconds that they take on two CPU cores; most is compilation.
_PARTS = {
  "loading the model": 2.0,
  "rendering scenes": 1.0,
  "predicting": 20.0,
  "scoring in metres": 2.0,
  "sampling classes": 7.0,
  "writing": 3.0,
}


def check(model: pathlib.Path, seed: int) -> None:
  """Raises UserError unless --model is one and --seed can be one."""
  fresh_scenes.check_seed(seed)
  if str(model) not in shipped.names() and not model.exists():
    raise UserError(f"--model: {shipped.unknown(str(model))}")


def run(
  model: pathlib.Path,
  seed: int,
  output: pathlib.Path,
  picture: pathlib.Path | None = None,
) -> list[str]:
  """Writes the page, and the picture; shows its progress.

  Args:
    model: Folder or name.
    seed: Of scenes and draws.
    output: Folder for index.html.
    picture: File for the moving picture, if there shall be one.

  Returns:
    What to say at the end: how far off predictions are.

  Raises:
    UserError: The model cannot do this, or something cannot be written.
  """
  with (
    tempfile.TemporaryDirectory(prefix="magvit3d_demo_") as scratch,
    stage_progress.StageProgress(pathlib.Path(scratch), "demo", _PARTS),
  ):
    magvit = opened_models.open_model(model, batch_size=_BATCH_SIZE)
    scene_predictions.check(magvit)
    stage_progress.begin("rendering scenes")
    held_out = fresh_scenes.render(
      magvit.trained, pathlib.Path(scratch) / "scenes", NUM_SCENES, seed
    )
    stage_progress.begin("predicting")
    predictions = scene_predictions.predict(magvit, held_out, seed)
    stage_progress.begin("scoring in metres")
    tally = predictions.score()
    stage_progress.begin("sampling classes")
    samples = _sample_classes(magvit, held_out, seed)
    stage_progress.begin("writing")
    facts = {
      "model": str(model),
      "steps": dict(magvit.trained.steps),
      "seed": seed,
      "scenes": len(held_out.indices),
      "given frames": predictions.given_frames,
      "data": magvit.trained.data,
    }
    page = demo_page.make(
      demo_page.Demo(
        predictions, tally, samples, facts, _lead(model, seed, len(tally))
      )
    )
    (output / "index.html").write_text(page, encoding="utf-8")
    if picture is not None:
      _write_picture(picture, predictions, tally)
  return [
    f"{demo_page.HEADLINE} over {len(tally)} scenes:",
    *(f"  {line}" for line in demo_page.headlines(tally)),
  ]


def _sample_classes(
  magvit: Magvit, held_out: HeldOutScenes, seed: int
) -> UInt8[np.ndarray, "c k t h w 3"] | None:
  """Some clips of each class, as the first camera sees them."""
  sampler = magvit.sampler
  task = sampler.find("full_generation", with_class=True)
  if task is None:
    return None
  count = len(magvit.class_names)
  labels = np.repeat(np.arange(count, dtype=np.int32), _SAMPLES_PER_CLASS)
  cameras, num_views = None, 1
  if magvit.trained.sees_views:  # Those of the first scene.
    num_views = len(held_out.views)
    cameras = Cameras(
      *(
        np.repeat(held_out.samples[key][:1], len(labels), axis=0)
        for key in KEYS
      )
    )
  tokens = sampler.sample(task, None, labels, seed, cameras=cameras).tokens
  tokens = tokens[::num_views]
  stage_progress.note(1, 2)
  clips = user_videos.to_pixels(magvit.networks.decode(tokens), np.uint8)
  return clips.reshape(count, _SAMPLES_PER_CLASS, *clips.shape[1:])


def _lead(model: pathlib.Path, seed: int, count: int) -> str:
  name = html.escape(str(model))
  text = f"The model {name} on {count} scenes that it has never seen, rendered "
  text += "as its training data were."
  if str(model) in shipped.names():
    text += f" {html.escape(shipped.read_card(str(model))['summary'])}"
  return f"{text} Scenes and draws: <code>--seed={seed}</code>."


def _write_picture(
  path: pathlib.Path, predictions: ScenePredictions, tally: SceneTally
) -> None:
  """The scene of median error of each motion."""
  rows, names = motion_clips.choose(
    predictions.held_out, tally.paths()["ade"][0]
  )
  frames = picture_grid.draw(
    predictions.real[rows],
    predictions.predicted[rows],
    names,
    predictions.given_frames,
  )
  picture_grid.write(path, picture_grid.encode(frames))
