"""The demo's page: clips, paths and samples of scenes nobody has seen."""

import dataclasses
import html
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from magvit3d.evaluation import motion_clips
from magvit3d.evaluation.metres import path_tables, run_paths
from magvit3d.evaluation.metres.tally import SceneTally
from magvit3d.evaluation.outputs import side_by_side
from magvit3d.evaluation.results import Results
from magvit3d.exports.scene_predictions import ScenePredictions
from magvit3d.report import (
  clip_sections,
  motion_section,
  page_texts,
  pages,
  path_section,
  score_tables,
)

HEADLINE = "Mean distance from the true path (ADE)"
_SPLIT = "fresh"
_SHOWN = {
  "predicted": "the prediction",
  "copy_last": "a copy of the last given frame",
  "constant_velocity": "constant velocity, of the true past",
  "reconstructions": "the true clips through the tokenizer",
}


@dataclasses.dataclass(frozen=True)
class Demo:
  """What the page shows.

  Attributes:
    predictions: Of n scenes.
    tally: Their scores and paths.
    samples: k clips of each class, as one camera sees them; None if the model
      has not learnt to make some.
    facts: Said at the end, by name.
    lead: A sentence or two for the head, HTML.
  """

  predictions: ScenePredictions
  tally: SceneTally
  samples: UInt8[np.ndarray, "c k t h w 3"] | None
  facts: Mapping[str, Any]
  lead: str


def make(demo: Demo) -> str:
  """Returns the page, one file that needs no network."""
  results = _results(demo)
  rows = path_section.choose_scenes(results.paths, ())
  linked = results.paths["scene_id"][rows].tolist()
  first, *_ = motion_section.scene_ids(results.shown)
  settings = html.escape(json.dumps(dict(demo.facts), indent=2))
  return pages.make_page(
    "magvit3d: predicted motion",
    demo.lead,
    {
      "Motions": motion_section.section(results.shown, linked),
      "Metres": _metres(demo.tally) + score_tables.section(results.tables),
      "Paths": path_section.section(results.paths, rows, first),
      "Samples": _samples(demo),
      "Settings": f"<pre>{settings}</pre>",
    },
    path_section.script(),
  )


def headlines(tally: SceneTally) -> list[str]:
  """Returns ADE in metres of the prediction and of what it is measured by."""
  lines = tally.lines(seed=0)
  return [
    f"{path_tables.mean_ade(lines, name):.3f} m  {text}"
    for name, text in _SHOWN.items()
  ]


def _results(demo: Demo) -> Results:
  """Tables, clips of motions and paths, as the evaluate stage keeps them."""
  made, tally = demo.predictions, demo.tally
  results = Results(_SPLIT, has_objects=True)
  path_tables.add_tables(
    results,
    "Predicted paths",
    f"The first {made.given_frames} frames are given; scores are of the rest, "
    "from all cameras.",
    tally.lines(seed=0),
  )
  real, predicted = (
    clips.reshape(-1, *clips.shape[2:]) for clips in (made.real, made.predicted)
  )
  motion_clips.keep(
    results,
    made.held_out,
    real,
    predicted,
    made.given_frames,
    tally.paths()["ade"][0],
  )
  num_views = made.real.shape[1]
  run_paths.keep_paths(
    results,
    made.held_out,
    tally,
    side_by_side(real, num_views),
    side_by_side(predicted, num_views),
  )
  return results


def _metres(tally: SceneTally) -> str:
  items = "".join(f"<li>{line}</li>" for line in headlines(tally))
  return f"<p>{HEADLINE}:</p><ul>{items}</ul>"


def _samples(demo: Demo) -> str:
  if demo.samples is None:
    return page_texts.say_missing(
      "The model has not learnt to generate clips of a class."
    )
  held_out = demo.predictions.held_out
  names = [name.replace("_", " ") for name in held_out.class_names]
  arrays = {
    "samples/frames": demo.samples,
    "samples/class_names": np.array(names),
  }
  labels = held_out.samples["labels"].tolist()
  if set(labels) == set(range(len(names))):
    first = [labels.index(label) for label in range(len(names))]
    arrays["samples/real"] = demo.predictions.real[first, 0]
  return clip_sections.samples(arrays)
