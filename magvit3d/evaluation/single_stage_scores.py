"""Scores of one stage on any videos, each beside trivial baselines.

There are no masks of objects here, so all scores are of whole frames; PSNR
flatters clips with much flat background, which is why baselines stand beside.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
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
from magvit3d.evaluation.results import write_scores
from magvit3d.evaluation.tables import Column, Role, Row, Table
from magvit3d.files import atomic_file
from magvit3d.inference.batched import map_batches
from magvit3d.media import animations
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel

SAMPLES_NAME = "samples.webp"
_NUM_SHOWN = 8
_SPLIT = "test"


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Tables of scores and clips to look at.

  Attributes:
    tables: Of scores.
    shown: Columns of the picture, by name: uint8 (n, t, h, w, 3).
  """

  tables: Sequence[Table]
  shown: Mapping[str, np.ndarray]

  def lines(self) -> list[str]:
    """The tables as text."""
    lines = []
    for table in self.tables:
      lines.append(f"{table.title} (n = {table.n}):")
      for row in table.rows:
        texts = [
          f"{column.name} {cell.value:.3f} {column.unit}".rstrip()
          for column, cell in zip(table.columns, row.cells, strict=True)
          if cell.value is not None
        ]
        lines.append(f"  {row.name}: {', '.join(texts)}")
    return lines

  def write(self, folder: pathlib.Path) -> None:
    """Writes scores.json and samples.webp."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [clips[:_NUM_SHOWN] for clips in self.shown.values()]
    strips = [
      animations.strip_frames(list(row)) for row in zip(*columns, strict=True)
    ]
    picture = animations.encode_webp(np.concatenate(strips, axis=1), quality=85)
    atomic_file.write_bytes(folder / SAMPLES_NAME, picture)
    facts = {"columns_of_samples": list(self.shown)}
    write_scores(folder, facts, self.tables)


class Scorer(Protocol):
  """Scores parameters on the clips that it was made with."""

  def validate(self, params: PyTree) -> dict[str, float]:
    """Returns what training logs."""

  def evaluate(self, params: PyTree) -> Evaluation:
    """Returns all scores."""


def _table(
  title: str, n: int, columns: Sequence[Column], rows: Sequence[Row]
) -> Table:
  return Table(title, "", _SPLIT, n, tuple(columns), tuple(rows))


def _image_table(
  title: str, real: np.ndarray, named: Mapping[str, tuple[Role, np.ndarray]]
) -> Table:
  rows = [
    Row.of(
      name,
      role,
      [
        float(np.mean(image_metrics.psnr(clips, real))),
        float(np.mean(image_metrics.ssim(clips, real))),
      ],
    )
    for name, (role, clips) in named.items()
  ]
  columns = [Column("PSNR", "dB", "higher"), Column("SSIM", "", "higher")]
  return _table(title, len(real), columns, rows)


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
    table = _image_table(
      "Reconstruction",
      self._real,
      {
        "tokenizer (moving average)": ("model", clips),
        "baseline: copy of the first frame": (
          "baseline",
          image_metrics.copy_first_frame(self._real),
        ),
        "baseline: the clip's mean colour": (
          "baseline",
          np.broadcast_to(mean, self._real.shape),
        ),
      },
    )
    usage = image_metrics.code_usage(tokens, self._codebook_size)
    least = (1 / self._codebook_size, 1.0, None)
    codes = _table(
      "Codes",
      len(clips),
      [
        Column("usage", "", None),
        Column("perplexity", "", None),
        Column("dead codes", "", None),
      ],
      [
        Row.of(
          "tokenizer",
          "model",
          [usage[key] for key in ("usage", "perplexity", "dead_codes")],
        ),
        Row.of("baseline: one code for everything", "baseline", least),
      ],
    )
    return Evaluation(
      [table, codes],
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
    tables = [
      _table(
        "Error on the hidden half of the tokens",
        len(real),
        [
          Column("transformer", "", "lower"),
          Column("most frequent token", "", None),
        ],
        [
          Row.of(name, "model", errors)
          for name, errors in self._hidden_errors(params).items()
        ],
      )
    ]
    floor = self._decode(self._tokenizer_params, self._tokens.tokens)
    shown = {"real": self._clips["frames"]}
    for index, task in enumerate(self._model.tasks):
      generated = self._generate(params, self._tokens, index)
      clips = self._decode(self._tokenizer_params, generated)
      shown[task.name] = _to_uint8(clips)
      if task.condition is None:
        continue
      given = np.asarray(task.condition_video(jnp.asarray(real)))
      tables.append(
        _image_table(
          f"Clips of {task.name}, one sample each",
          real,
          {
            "transformer": ("model", clips),
            "floor: true clips through the tokenizer": ("floor", floor),
            "baseline: the condition as it is padded": (
              "baseline",
              np.clip(given, 0, 1),
            ),
          },
        )
      )
    return Evaluation(tables, shown)


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
    table = _table(
      "Next tokens",
      len(self._labels),
      [Column("error", "", "lower")],
      [
        Row.of("transformer", "model", [self._next_token_error(params)]),
        Row.of("baseline: most frequent token", "baseline", [baseline]),
      ],
    )
    return Evaluation(
      [table],
      {
        "real": self._frames,
        "class-conditional sample": _to_uint8(
          decode(self._tokenizer_params, generated)
        ),
      },
    )
