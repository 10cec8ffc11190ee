"""Scores of one stage on any videos, each beside trivial baselines.

There are no masks of objects here, so all scores are of whole frames; PSNR
flatters clips with much flat background, which is why baselines stand beside.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.evaluation import (
  image_metrics,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.files import atomic_file
from magvit3d.inference.batched import map_batches
from magvit3d.media import animations
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel

SCORES_NAME = "scores.json"
SAMPLES_NAME = "samples.webp"
_NUM_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Tables of scores and clips to look at.

  Attributes:
    num_clips: Clips that were scored.
    tables: By title, rows by name, values by column.
    shown: Columns of the picture, by name: uint8 (n, t, h, w, 3).
  """

  num_clips: int
  tables: Mapping[str, Mapping[str, Mapping[str, float]]]
  shown: Mapping[str, np.ndarray]

  def lines(self) -> list[str]:
    """The tables as text."""
    lines = []
    for title, rows in self.tables.items():
      lines.append(f"{title} (n = {self.num_clips}):")
      for name, values in rows.items():
        text = ", ".join(f"{key} {value:.3f}" for key, value in values.items())
        lines.append(f"  {name}: {text}")
    return lines

  def write(self, folder: pathlib.Path) -> None:
    """Writes scores.json and samples.webp."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
      "num_clips": self.num_clips,
      "tables": self.tables,
      "columns_of_samples": list(self.shown),
    }
    text = json.dumps(content, indent=2) + "\n"
    columns = [clips[:_NUM_SHOWN] for clips in self.shown.values()]
    strips = [
      animations.strip_frames(list(row)) for row in zip(*columns, strict=True)
    ]
    picture = animations.encode_webp(np.concatenate(strips, axis=1), quality=85)
    atomic_file.write_bytes(folder / SAMPLES_NAME, picture)
    atomic_file.write_text(folder / SCORES_NAME, text)


class Scorer(Protocol):
  """Scores parameters on the clips that it was made with."""

  def validate(self, params: PyTree) -> dict[str, float]:
    """Returns what training logs."""

  def evaluate(self, params: PyTree) -> Evaluation:
    """Returns all scores."""


def _image_rows(
  real: np.ndarray, named: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
  return {
    name: {
      "psnr_db": float(np.mean(image_metrics.psnr(clips, real))),
      "ssim": float(np.mean(image_metrics.ssim(clips, real))),
    }
    for name, clips in named.items()
  }


def _to_uint8(clips: np.ndarray) -> np.ndarray:
  return np.round(clips * 255).astype(np.uint8)


class TokenizerScorer:
  """Scores reconstructions.

  Args:
    tokenizer: The network.
    codebook_size: Number of codes.
    clips: See `load_clips`.
    batch_size: Clips at a time, over all devices of `mesh`.
    mesh: Devices.
  """

  def __init__(
    self,
    tokenizer: Tokenizer,
    codebook_size: int,
    clips: Mapping[str, np.ndarray],
    batch_size: int,
    mesh: Mesh,
  ):
    self._codebook_size = codebook_size
    self._frames = clips["frames"]
    self._real = self._frames.astype(np.float32) / 255
    self._reconstruct = tokenizer_scores.make_reconstruct(
      tokenizer, batch_size, mesh
    )

  def validate(self, params: PyTree) -> dict[str, float]:
    """Returns what training logs."""
    clips, tokens = self._reconstruct(params, self._frames)
    usage = image_metrics.code_usage(tokens, self._codebook_size)
    return {
      "psnr": float(np.mean(image_metrics.psnr(clips, self._real))),
      "code_perplexity": usage["perplexity"],
    }

  def evaluate(self, params: PyTree) -> Evaluation:
    """Returns all scores."""
    clips, tokens = self._reconstruct(params, self._frames)
    mean = self._real.mean(axis=(1, 2, 3), keepdims=True)
    rows = _image_rows(
      self._real,
      {
        "tokenizer (moving average)": clips,
        "baseline: copy of the first frame": image_metrics.copy_first_frame(
          self._real
        ),
        "baseline: the clip's mean colour": np.broadcast_to(
          mean, self._real.shape
        ),
      },
    )
    usage = image_metrics.code_usage(tokens, self._codebook_size)
    codes = {
      "tokenizer": usage,
      "baseline: one code for everything": {
        "usage": 1 / self._codebook_size,
        "perplexity": 1.0,
      },
    }
    return Evaluation(
      len(clips),
      {"Reconstruction": rows, "Codes": codes},
      {"real": self._frames, "reconstructed": _to_uint8(clips)},
    )


class MaskedScorer:
  """Scores hidden tokens and decoded clips of the masked transformer.

  Args:
    model: The transformer.
    tokenizer_params: Of its tokenizer.
    clips: See `load_clips`.
    batch_size: Clips at a time, over all devices of `mesh`.
    mesh: Devices.
    seed: Of masks and samples.
  """

  def __init__(
    self,
    model: TokenModel,
    tokenizer_params: PyTree,
    clips: Mapping[str, np.ndarray],
    batch_size: int,
    mesh: Mesh,
    *,
    seed: int,
  ):
    self._model = model
    self._tokenizer_params = tokenizer_params
    self._clips = clips
    self._seed = seed
    self._tokens = transformer_scores.make_tokenize(model, batch_size, mesh)(
      tokenizer_params, clips
    )
    self._decode = tokenizer_scores.make_decode(
      model.tokenizer, batch_size, mesh
    )
    self._generate = transformer_scores.make_generate(
      model, batch_size, mesh, seed
    )
    self._errors = {
      task.name: transformer_scores.make_masked_errors(
        model, task.name, batch_size, mesh
      )
      for task in model.tasks
    }

  def validate(self, params: PyTree) -> dict[str, float]:
    """Returns what training logs: the error on hidden tokens, by task."""
    return {
      f"{name}/masked_error": error
      for name, (error, _) in self._hidden_errors(params).items()
    }

  def _hidden_errors(self, params) -> dict[str, tuple[float, float]]:
    found, tokens = {}, self._tokens.tokens
    for name, measure in self._errors.items():
      is_wrong, is_masked = measure(params, self._tokens, self._seed)
      found[name] = transformer_scores.error_rates(
        is_wrong, is_masked, tokens, np.ones(tokens.shape, bool)
      )
    return found

  def evaluate(self, params: PyTree) -> Evaluation:
    """Returns all scores; one sample of each task for each clip."""
    real = self._clips["frames"].astype(np.float32) / 255
    tables = {
      "Error on the hidden half of the tokens": {
        name: {"transformer": error, "most frequent token": baseline}
        for name, (error, baseline) in self._hidden_errors(params).items()
      }
    }
    floor = self._decode(self._tokenizer_params, self._tokens.tokens)
    shown = {"real": self._clips["frames"]}
    for index, task in enumerate(self._model.tasks):
      generated = self._generate(params, self._tokens, index)
      clips = self._decode(self._tokenizer_params, generated)
      shown[task.name] = _to_uint8(clips)
      if task.condition is None:
        continue
      given = np.asarray(task.condition_video(jnp.asarray(real)))
      tables[f"Clips of {task.name}, one sample each"] = _image_rows(
        real,
        {
          "transformer": clips,
          "floor: true clips through the tokenizer": floor,
          "baseline: the condition as it is padded": np.clip(given, 0, 1),
        },
      )
    return Evaluation(len(real), tables, shown)


class AutoregressiveScorer:
  """Scores next tokens and samples of the autoregressive transformer.

  Arguments are `MaskedScorer`'s.
  """

  def __init__(
    self,
    model: LanguageModel,
    tokenizer_params: PyTree,
    clips: Mapping[str, np.ndarray],
    batch_size: int,
    mesh: Mesh,
    *,
    seed: int,
  ):
    self._model = model
    self._tokenizer_params = tokenizer_params
    self._frames, self._labels = clips["frames"], clips["labels"]
    self._batch_size = batch_size
    self._mesh = mesh
    self._seed = seed
    encode = jax.jit(
      lambda params, batch: model.encode(params, to_unit_range(batch["frames"]))
    )
    self._tokens = map_batches(
      lambda batch: encode(tokenizer_params, batch),
      {"frames": self._frames},
      batch_size,
      mesh,
    )

    @jax.jit
    def is_wrong(params, batch):
      sequence = model.sequence(batch["tokens"], batch["labels"])
      guess = jnp.argmax(model.logits(params, sequence[:, :-1]), axis=-1)
      # The class comes before the codes, and is not asked for here.
      return (guess != sequence[:, 1:])[:, 1:]

    self._is_wrong = is_wrong

  def validate(self, params: PyTree) -> dict[str, float]:
    """Returns what training logs."""
    return {"next_token_error": self._next_token_error(params)}

  def _next_token_error(self, params: PyTree) -> float:
    wrong = map_batches(
      lambda batch: self._is_wrong(params, batch),
      {"tokens": self._tokens, "labels": self._labels},
      self._batch_size,
      self._mesh,
    )
    return float(np.mean(wrong))

  def evaluate(self, params: PyTree) -> Evaluation:
    """Returns all scores; one sample of each clip's class."""

    @jax.jit
    def generate(params, batch):
      rng = jax.random.fold_in(jax.random.key(self._seed), batch["number"][0])
      return self._model.generate(params, rng, batch["labels"])

    numbers = np.arange(len(self._labels), dtype=np.int32)
    shown = slice(_NUM_SHOWN)
    generated = map_batches(
      lambda batch: generate(params, batch),
      {"labels": self._labels[shown], "number": numbers[shown]},
      self._batch_size,
      self._mesh,
    )
    decode = tokenizer_scores.make_decode(
      self._model.tokenizer, self._batch_size, self._mesh
    )
    baseline = image_metrics.most_frequent_token_error(self._tokens)
    errors = {
      "transformer": self._next_token_error(params),
      "baseline: most frequent token": baseline,
    }
    return Evaluation(
      len(self._labels),
      {
        "Next tokens": {name: {"error": e} for name, e in errors.items()},
      },
      {
        "real": self._frames,
        "class-conditional sample": _to_uint8(
          decode(self._tokenizer_params, generated)
        ),
      },
    )
