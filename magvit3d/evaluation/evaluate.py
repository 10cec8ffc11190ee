"""The evaluate stage: scores and clips of held-out scenes, for the report."""

import datetime
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

import magvit3d
from magvit3d import atomic_file, processes
from magvit3d.data.scene_clips import fold_views
from magvit3d.evaluation import (
  image_metrics,
  prediction_scores,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.models.cameras import Cameras
from magvit3d.tokens.token_model import TokenBatch, TokenModel
from magvit3d.tokens.views import as_clips

_NO_OBJECTS = (
  "No clip has a mask, so there are no scores of the foreground (n = 0)."
)
_GENERATION, _PREDICTION = "full_generation", "frame_prediction"
_COPIES = {
  "copy_last": "copy of the last given frame",
  "nearest_view": "copy of the nearest given view",
}


class Evaluation:
  """Scores of one tokenizer and transformer on some clips.

  Args:
    model: The transformer with its tasks.
    tokenizer_params: Moving average of the generator.
    params: Parameters of the transformer.
    clips: See `load_clips`; of a model of several views, scenes with as many,
      and their cameras: (n, v, ...).
    settings: `config.evaluation`.
    seed: Of masks and samples.
    mesh: Devices.
  """

  def __init__(
    self,
    model: TokenModel,
    tokenizer_params: PyTree,
    params: PyTree,
    clips: Mapping[str, np.ndarray],
    *,
    settings: Mapping[str, Any],
    seed: int,
    mesh: Mesh,
  ):
    self._model = model
    self._tokenizer_params = tokenizer_params
    self._params = params
    self._num_views = model.num_views
    self._scenes = clips
    self._clips = clips if model.num_views == 1 else fold_views(clips)
    self._settings = settings
    self._seed = seed
    self._mesh = mesh
    self._batch_size = settings["batch_size"]
    self._real = self._clips["frames"].astype(np.float32) / 255
    self._is_object = self._clips["masks"] > 0
    self._has_objects = bool(self._is_object.any())
    self._decode = tokenizer_scores.make_decode(
      model.tokenizer, self._batch_size, mesh
    )
    self._scene_batch_size = self._batch_size // model.num_views
    self._generate = transformer_scores.make_generate(
      model, self._scene_batch_size, mesh, seed
    )
    self.tables: list[dict[str, Any]] = []
    self.checks: list[dict[str, Any]] = []
    self.shown: dict[str, np.ndarray] = {}

  def run(self, class_names: Sequence[str]) -> None:
    """Fills `tables`, `checks` and `shown` (clips for the report)."""
    tokenize = transformer_scores.make_tokenize(
      self._model, self._scene_batch_size, self._mesh
    )
    tokens = tokenize(self._tokenizer_params, self._scenes)
    reconstruction = self._decode_scenes(tokens.tokens)
    cells = image_metrics.foreground_cells(
      self._is_object, self._model.latent_shape
    ).reshape(tokens.tokens.shape)
    captions = np.array([class_names[i] for i in self._clips["labels"]])
    self._score_reconstruction(reconstruction, captions)
    self._score_codes(tokens.tokens, cells)
    task_names = [task.name for task in self._model.tasks]
    self._score_hidden_tokens(tokens, cells, task_names)
    for index, task in enumerate(self._model.tasks):
      if task.name == _PREDICTION or task.num_given_views:
        self._score_prediction(tokens, index, reconstruction, captions)
    if _GENERATION in task_names:
      self._show_samples(task_names.index(_GENERATION), class_names)

  def _decode_scenes(self, grids) -> np.ndarray:
    """Clips of scenes' grids (n, v*t, h, w), those of a scene in a row."""
    return self._decode(
      self._tokenizer_params, as_clips(grids, self._num_views)
    )

  def _add_table(
    self, title, note, columns, rows, baselines, count=None
  ) -> None:
    self.tables.append(
      {
        "title": title,
        "note": note if self._has_objects else f"{note} {_NO_OBJECTS}",
        "split": self._settings["split"],
        "n": len(self._real) if count is None else count,
        "columns": columns,
        "rows": rows,
        "baselines": baselines,
      }
    )

  def _add_check(self, name, value, threshold, comparison, unit) -> None:
    if value is None:
      logging.warning("Not checked: %s. %s", name, _NO_OBJECTS)
      return
    passed = value >= threshold if comparison == ">=" else value <= threshold
    self.checks.append(
      {
        "name": name,
        "value": float(value),
        "threshold": threshold,
        "comparison": comparison,
        "passed": bool(passed),
        "unit": unit,
      }
    )

  def _score_reconstruction(self, reconstruction, captions) -> None:
    rows, gain, color_ratio = tokenizer_scores.reconstruction_table(
      reconstruction, self._clips
    )
    self._add_table(
      "Reconstruction",
      "Foreground: pixels within 2 of the true object mask. Most of a frame is "
      "background, so PSNR over whole frames says little. Colour error: of the "
      "object's mean colour, root mean square over red, green, blue in [0, 1].",
      ["", "PSNR, dB", "SSIM", "foreground PSNR, dB", "colour error"],
      rows,
      [row[0] for row in rows[1:]],
    )
    self._add_check(
      "Reconstruction: foreground PSNR above background only",
      gain,
      self._settings["min_foreground_gain_db"],
      ">=",
      "dB",
    )
    if self._settings["max_color_error_ratio"] is not None:
      self._add_check(
        "Colour error of the object relative to background only",
        color_ratio,
        self._settings["max_color_error_ratio"],
        "<=",
        "",
      )
    shown = slice(self._settings["num_shown_clips"])
    self.shown |= {
      "reconstruction/real": self._clips["frames"][shown],
      "reconstruction/reconstructed": _to_uint8(reconstruction[shown]),
      "reconstruction/captions": captions[shown],
    }

  def _score_codes(self, tokens, cells) -> None:
    rows, perplexity = tokenizer_scores.code_table(
      tokens, cells, self._model.vocabulary.codebook_size
    )
    self._add_table(
      "Use of the codebook",
      f"{self._model.vocabulary.codebook_size} codes; perplexity is the number "
      "of codes that, used equally often, would be as varied.",
      ["", "tokens", "share of codes used", "perplexity"],
      rows,
      [rows[-1][0]],
    )
    self._add_check(
      "Code perplexity on cells that touch the object",
      perplexity,
      self._settings["min_foreground_perplexity"],
      ">=",
      "codes",
    )

  def _score_hidden_tokens(self, tokens, cells, task_names) -> None:
    rows = []
    for name in task_names:
      measure = transformer_scores.make_masked_errors(
        self._model, name, self._scene_batch_size, self._mesh
      )
      is_wrong, is_masked = measure(self._params, tokens, self._seed)
      for where, chosen in (
        ("all cells", np.ones_like(cells)),
        ("cells that touch the object", cells),
      ):
        if not chosen.any():
          continue
        error, baseline = transformer_scores.error_rates(
          is_wrong, is_masked, tokens.tokens, chosen
        )
        ratio = error / baseline if baseline else float("nan")
        rows.append(
          [f"{name}, {where}", 1 - error, 1 - baseline, error, baseline, ratio]
        )
        if name == _GENERATION and chosen is cells:
          self._add_check(
            "Error on hidden tokens over the most frequent token's, on cells "
            "that touch the object",
            ratio,
            self._settings["max_token_error_ratio"],
            "<=",
            "",
          )
    self._add_table(
      "Hidden tokens",
      "Half of the tokens are hidden at random; the transformer's likeliest "
      "code against always the most frequent token of the same cells.",
      [
        "task, cells",
        "accuracy",
        "accuracy of most frequent",
        "error",
        "error of most frequent",
        "error ratio",
      ],
      rows,
      [],
    )

  def _score_prediction(self, tokens, index, reconstruction, captions) -> None:
    task = self._model.tasks[index]
    is_given, poses = None, None
    if task.num_given_views:
      is_given = transformer_scores.draw_given_views(
        np.random.default_rng(self._seed),
        len(tokens.labels),
        self._num_views,
        task.num_given_views,
      )
      poses = tokens.cameras.camera_from_world
    grids = self._generate(self._params, tokens, index, is_given)
    predicted = self._decode_scenes(grids)
    simple = prediction_scores.baselines(task, self._clips, is_given, poses)
    named = {
      "transformer": predicted,
      "floor: true frames through the tokenizer": reconstruction,
    } | simple
    first = task.condition.cond_frames if task.condition else 0
    is_asked = np.ones(len(self._real), bool)
    given = f"The first {first} frames are given"
    if is_given is not None:
      is_asked = ~is_given.ravel()
      given = f"{task.num_given_views} of {self._num_views} views are given"
      if first:
        given += f", and the first {first} frames of the others"
    self._add_table(
      "Predicted clips" if is_given is None else f"Predicted: {task.name}",
      f"{given}; scores are of the rest. One sample a clip.",
      ["", "PSNR, dB", "SSIM", "foreground PSNR, dB"],
      prediction_scores.score_rows(named, self._clips, is_asked, first),
      list(simple),
      count=int(is_asked.sum()),
    )
    prefix = "prediction" if is_given is None else task.name
    shown = np.flatnonzero(is_asked)[: self._settings["num_shown_clips"]]
    self.shown |= {
      f"{prefix}/real": self._clips["frames"][shown],
      f"{prefix}/reconstructed": _to_uint8(reconstruction[shown]),
      f"{prefix}/predicted": _to_uint8(predicted[shown]),
      f"{prefix}/captions": captions[shown],
      f"{prefix}/given_frames": np.array(first),
    }
    column = "copy_last" if is_given is None else "nearest_view"
    self.shown[f"{prefix}/{column}"] = _to_uint8(simple[_COPIES[column]][shown])

  def _show_samples(self, index, class_names) -> None:
    count = self._settings["num_samples_per_class"]
    labels = np.repeat(np.arange(len(class_names)), count).astype(np.int32)
    shape = (len(labels), *self._model.grid_shape)
    nothing = np.zeros((len(labels), len(self._model.tasks), *shape[1:]))
    cameras = Cameras.from_batch(self._scenes)
    if cameras:  # Those of the first scene.
      repeats = [len(labels)]
      cameras = jax.tree.map(
        lambda x: np.tile(x[:1], repeats + [1] * (x.ndim - 1)), cameras
      )
    batch = TokenBatch(
      np.zeros(shape, np.int32), nothing.astype(np.int32), labels, cameras
    )
    clips = self._decode_scenes(self._generate(self._params, batch, index))
    clips = _side_by_side(_to_uint8(clips), self._num_views)
    known = _side_by_side(self._clips["frames"], self._num_views)
    real = []
    for label in range(len(class_names)):
      of_class = np.flatnonzero(self._scenes["labels"] == label)
      real.append(known[of_class[0]] if of_class.size else 0 * known[0])
    self.shown |= {
      "samples/frames": clips.reshape(
        len(class_names), count, *clips.shape[1:]
      ),
      "samples/class_names": np.array(class_names),
      "samples/real": np.stack(real),
    }


def _side_by_side(clips: np.ndarray, num_views: int) -> np.ndarray:
  """Returns (n, t, h, v*w, 3) of clips (n*v, t, h, w, 3)."""
  _, t, h, w, _ = clips.shape
  views = clips.reshape(-1, num_views, t, h, w, 3).transpose(0, 2, 3, 1, 4, 5)
  return views.reshape(-1, t, h, num_views * w, 3)


def evaluate(
  folder: pathlib.Path,
  model: TokenModel,
  tokenizer_params: PyTree,
  params: PyTree,
  clips: Mapping[str, np.ndarray],
  *,
  class_names: Sequence[str],
  settings: Mapping[str, Any],
  seed: int,
  mesh: Mesh,
  key: str,
) -> None:
  """Scores a run and writes `scores.json` and `clips.npz` into `folder`.

  Arguments as of `Evaluation`; `key` names all that the scores depend on.
  """
  evaluation = Evaluation(
    model,
    tokenizer_params,
    params,
    clips,
    settings=settings,
    seed=seed,
    mesh=mesh,
  )
  evaluation.run(class_names)
  for check in evaluation.checks:
    logging.info(
      "%s: %.3f %s (target: %s %.3f) %s",
      check["name"],
      check["value"],
      check["unit"],
      "at least" if check["comparison"] == ">=" else "at most",
      check["threshold"],
      "- passed" if check["passed"] else "- MISSED",
    )
  if not processes.is_main():
    return
  folder.mkdir(parents=True, exist_ok=True)
  np.savez_compressed(folder / "clips.npz", **evaluation.shown)
  scores = {
    "key": key,
    "tables": evaluation.tables,
    "checks": evaluation.checks,
    "run": _describe_run(tokenizer_params, params),
  }
  text = json.dumps(scores, indent=2) + "\n"
  atomic_file.write_text(folder / "scores.json", text)


def _describe_run(tokenizer_params: PyTree, params: PyTree) -> dict[str, Any]:
  def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))

  devices = jax.devices()
  return {
    "devices": f"{len(devices)} x {devices[0].device_kind}",
    "parameters": {
      "tokenizer": count(tokenizer_params),
      "transformer": count(params),
    },
    "code_version": magvit3d.__version__,
    "jax_version": jax.__version__,
    "date": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
  }


def _to_uint8(clips: np.ndarray) -> np.ndarray:
  return np.rint(clips * 255).astype(np.uint8)
