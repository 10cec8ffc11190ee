"""Scores of one network on clips of any videos, each beside trivial baselines.

Objects have no masks here, so all scores are of whole frames; PSNR flatters
clips with much flat background, which is why baselines stand beside.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh
from jaxtyping import PyTree

from magvit3d.config.run import RunConfig
from magvit3d.data.pixels import to_unit_range
from magvit3d.evaluation import (
  image_metrics,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.evaluation.outputs import to_uint8
from magvit3d.evaluation.results import SAMPLES_NAME, Results, exchanged
from magvit3d.evaluation.tables import Column, Role, Row, Table
from magvit3d.files import atomic_file
from magvit3d.inference.batched import map_batches
from magvit3d.media import animations
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.parallel import processes
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.tokens.tasks import Task

_NUM_SHOWN = 8


def evaluate(
  folder: pathlib.Path,
  model: TokenModel | LanguageModel | None,
  params: Mapping[str, PyTree],
  clips: Mapping[str, np.ndarray],
  *,
  config: RunConfig,
  mesh: Mesh,
  facts: Mapping[str, Any],
) -> None:
  """Scores a network; writes scores.json, clips.npz and samples.webp.

  Args:
    folder: `evaluation` of the run.
    model: The transformer; None scores the tokenizer.
    params: Parameters of 'tokenizer' and, for a model, 'transformer'.
    clips: See `load_clips`.
    config: Of the run.
    mesh: Devices.
    facts: What scores.json says besides.
  """
  results = Results(config.evaluation.split, has_objects=True)
  batch_size = config.evaluation.batch_size
  if model is None:
    shown = _score_tokenizer(results, params, clips, config, mesh)
  elif isinstance(model, LanguageModel):
    shown = _score_autoregressive(
      results, model, params, clips, batch_size, mesh, config.seed
    )
  else:
    shown = _score_masked(
      results, model, params, clips, batch_size, mesh, config.seed
    )
  for table in results.tables:
    _log(table)
  if not processes.is_main():
    return
  with exchanged(folder) as new:
    _write_samples(new / SAMPLES_NAME, list(shown.values()))
    results.write(new, {**facts, "columns_of_samples": list(shown)})


def _log(table: Table) -> None:
  logging.info("%s (n = %d):", table.title, table.n)
  for row in table.rows:
    cells = zip(table.columns, row.cells, strict=True)
    texts = [
      f"{column.name} {cell.value:.3f} {column.unit}".rstrip()
      for column, cell in cells
      if cell.value is not None
    ]
    logging.info("  %s: %s", row.name, ", ".join(texts))


def _write_samples(path: pathlib.Path, columns: Sequence[np.ndarray]) -> None:
  rows = zip(*(clips[:_NUM_SHOWN] for clips in columns), strict=True)
  strips = [animations.strip_frames(list(row)) for row in rows]
  picture = animations.encode_webp(np.concatenate(strips, axis=1), quality=85)
  atomic_file.write_bytes(path, picture)


def _add_images(
  results: Results,
  title: str,
  real: np.ndarray,
  named: Mapping[str, tuple[Role, np.ndarray]],
) -> None:
  results.add_table(
    title,
    "",
    [Column("PSNR", "dB", "higher"), Column("SSIM", "", "higher")],
    [
      Row.of(
        name,
        role,
        [
          float(np.mean(image_metrics.psnr(clips, real))),
          float(np.mean(image_metrics.ssim(clips, real))),
        ],
      )
      for name, (role, clips) in named.items()
    ],
    n=len(real),
  )


def _score_tokenizer(
  results, params, clips, config, mesh
) -> dict[str, np.ndarray]:
  """Adds its scores; returns columns of clips, as the functions below."""
  frames = clips["frames"]
  real = frames.astype(np.float32) / 255
  made, tokens = tokenizer_scores.make_reconstruct(
    Tokenizer.from_config(config.vqvae, jnp.dtype(config.dtype)),
    config.evaluation.batch_size,
    mesh,
  )(params["tokenizer"], frames)
  mean = real.mean(axis=(1, 2, 3), keepdims=True)
  first = image_metrics.copy_first_frame(real)
  _add_images(
    results,
    "Reconstruction",
    real,
    {
      "tokenizer (moving average)": ("model", made),
      "baseline: copy of the first frame": ("baseline", first),
      "baseline: the clip's mean colour": (
        "baseline",
        np.broadcast_to(mean, real.shape),
      ),
    },
  )
  size = config.vqvae.codebook_size
  usage = image_metrics.code_usage(tokens, size)
  names = ("usage", "perplexity", "dead_codes")
  results.add_table(
    "Codes",
    "",
    [Column(name.replace("_", " "), "", None) for name in names],
    [
      Row.of("tokenizer", "model", [usage[name] for name in names]),
      Row.of(
        "baseline: one code for everything", "baseline", (1 / size, 1.0, None)
      ),
    ],
    n=len(frames),
  )
  shown = {"real": frames, "reconstructed": to_uint8(made)}
  _show(results, "reconstruction", shown)
  return shown


def _show(results, part: str, columns: Mapping[str, np.ndarray]) -> None:
  results.shown |= {
    f"{part}/{name}": clips[:_NUM_SHOWN] for name, clips in columns.items()
  }


def _score_masked(
  results, model, params, clips, batch_size, mesh, seed
) -> dict[str, np.ndarray]:
  """Hidden tokens, and one sample of each task for each clip."""
  frames = clips["frames"]
  real = frames.astype(np.float32) / 255
  tokens = transformer_scores.make_tokenize(model, batch_size, mesh)(
    params["tokenizer"], clips
  )
  _add_hidden_errors(
    results, model, params["transformer"], tokens, batch_size, mesh, seed
  )
  decode = tokenizer_scores.make_decode(model.tokenizer, batch_size, mesh)
  generate = transformer_scores.make_generate(model, batch_size, mesh, seed)
  floor = decode(params["tokenizer"], tokens.tokens)
  shown = {"real": frames}
  for index, task in enumerate(model.tasks):
    grids = generate(params["transformer"], tokens, index)
    made = decode(params["tokenizer"], grids)
    shown[task.name] = to_uint8(made)
    if task.condition is None:
      _show_samples(results, frames, shown[task.name])
      continue
    given = np.asarray(task.condition_video(jnp.asarray(real)))
    _add_images(
      results,
      f"Clips of {task.name}, one sample each",
      real,
      {
        "transformer": ("model", made),
        "floor: true clips through the tokenizer": ("floor", floor),
        "baseline: the condition as it is padded": (
          "baseline",
          np.clip(given, 0, 1),
        ),
      },
    )
    columns = {"real": frames, "reconstructed": to_uint8(floor)}
    _show(results, task.name, columns | {"predicted": shown[task.name]})
    _note_given_frames(results, task)
  return shown


def _note_given_frames(results: Results, task: Task) -> None:
  if task.kind == "frame_prediction":
    given = np.array(task.condition.cond_frames)
    results.shown[f"{task.name}/given_frames"] = given


def _show_samples(results, frames: np.ndarray, made: np.ndarray) -> None:
  """Real clips, each beside a sample of its class."""
  results.shown |= {
    "samples/real": frames[:_NUM_SHOWN],
    "samples/frames": made[:_NUM_SHOWN, None],
  }


def _add_hidden_errors(
  results, model, params, tokens, batch_size, mesh, seed
) -> None:
  rows = []
  for task in model.tasks:
    measure = transformer_scores.make_masked_errors(
      model, task.name, batch_size, mesh
    )
    is_wrong, is_masked = measure(params, tokens, seed)
    everywhere = np.ones(tokens.tokens.shape, bool)
    errors = transformer_scores.error_rates(
      is_wrong, is_masked, tokens.tokens, everywhere
    )
    rows.append(Row.of(task.name, "model", errors))
  results.add_table(
    "Error on the hidden half of the tokens",
    "",
    [
      Column("transformer", "", "lower"),
      Column("most frequent token", "", None),
    ],
    rows,
    n=len(tokens.labels),
  )


def make_next_token_error(
  model: LanguageModel,
  tokenizer_params: PyTree,
  clips: Mapping[str, np.ndarray],
  batch_size: int,
  mesh: Mesh,
) -> Callable[[PyTree], tuple[float, float]]:
  """Returns `params -> (error, baseline)` on the codes of some clips.

  The error is that of the likeliest code after each; the baseline always says
  the most frequent of these codes.
  """
  encode = jax.jit(
    lambda params, batch: model.encode(params, to_unit_range(batch["frames"]))
  )
  tokens = map_batches(
    lambda batch: encode(tokenizer_params, batch),
    {"frames": clips["frames"]},
    batch_size,
    mesh,
  )
  arrays = {"tokens": tokens, "labels": clips["labels"]}

  @jax.jit
  def is_wrong(params, batch):
    sequence = model.sequence(batch["tokens"], batch["labels"])
    guess = jnp.argmax(model.logits(params, sequence[:, :-1]), axis=-1)
    # The class comes before the codes, and is not asked for here.
    return (guess != sequence[:, 1:])[:, 1:]

  def run(params):
    wrong = map_batches(
      lambda batch: is_wrong(params, batch), arrays, batch_size, mesh
    )
    baseline = image_metrics.most_frequent_token_error(tokens)
    return float(np.mean(wrong)), baseline

  return run


def _score_autoregressive(
  results, model, params, clips, batch_size, mesh, seed
) -> dict[str, np.ndarray]:
  """Next tokens, and one sample of each clip's class."""
  error, baseline = make_next_token_error(
    model, params["tokenizer"], clips, batch_size, mesh
  )(params["transformer"])
  results.add_table(
    "Next tokens",
    "",
    [Column("error", "", "lower")],
    [
      Row.of("transformer", "model", [error]),
      Row.of("baseline: most frequent token", "baseline", [baseline]),
    ],
    n=len(clips["labels"]),
  )

  @jax.jit
  def generate(batch):
    rng = jax.random.fold_in(jax.random.key(seed), batch["number"][0])
    return model.generate(params["transformer"], rng, batch["labels"])

  labels = clips["labels"][:_NUM_SHOWN]
  numbers = np.arange(len(labels), dtype=np.int32)
  grids = map_batches(
    generate, {"labels": labels, "number": numbers}, batch_size, mesh
  )
  decode = tokenizer_scores.make_decode(model.tokenizer, batch_size, mesh)
  made = to_uint8(decode(params["tokenizer"], grids))
  _show_samples(results, clips["frames"], made)
  return {"real": clips["frames"], "class-conditional sample": made}
