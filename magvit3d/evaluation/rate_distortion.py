"""How good clips are that are told by few of their tokens.

Of each clip the tokens at some positions are known, the transformer fills in
the others, and the tokenizer decodes all. A receiver that knows the order of
the positions, and the networks, needs no more than these tokens' bits.
"""

import math

import jax
import numpy as np
from jaxtyping import Int

from magvit3d.evaluation import tokenizer_scores
from magvit3d.evaluation.outputs import RunOutputs, first_of_kind
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.inference.batched import map_batches
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.tokens.completion import complete
from magvit3d.tokens.masked_model import TokenBatch

_TASK = "full_generation"
_FILLS = {
  "transformer": "filled by the transformer",
  "frequent": "filled with the most frequent code of the place",
}


def score(
  outputs: RunOutputs, results: Results, train_tokens: np.ndarray
) -> None:
  """Adds rates and PSNR at `config.evaluation.token_budgets`.

  Args:
    outputs: Of the run.
    results: Where they go.
    train_tokens: Grids (k, t, h, w) of training samples, for the baseline.
  """
  model = outputs.model
  index = first_of_kind(model, _TASK)
  if index is None:
    return
  task = model.tasks[index]
  chosen = choose_samples(outputs)
  clips = _clips_of(outputs, chosen)
  real, masks = outputs.real[clips], outputs.clips["masks"][clips]
  batch = jax.tree.map(lambda x: x[chosen], outputs.tokens)
  tokens = batch.tokens
  ranks = _ranks(tokens.shape, outputs.seed)
  frequent = most_frequent_codes(train_tokens, model.vocabulary.codebook_size)
  fill = _make_fill(outputs, batch, index)
  code_bits = math.log2(model.vocabulary.codebook_size)
  class_bits = math.log2(max(len(outputs.held_out.class_names), 1))
  rows = []
  series = {name: ([], []) for name in _FILLS}
  shares = outputs.settings.token_budgets
  for number, share in enumerate(shares):
    stage_progress.note(number, len(shares))
    num_known = round(share * model.num_tokens)
    is_known = ranks < num_known
    is_whole = num_known == model.num_tokens
    if is_whole:
      shown = dict.fromkeys(_FILLS, outputs.reconstruction[clips])
    else:
      frequents = np.where(is_known, tokens, frequent)
      shown = {
        "transformer": outputs.decode(fill(is_known)),
        "frequent": outputs.decode(frequents),
      }
    for name, made in shown.items():
      has_class = name == "transformer" and task.class_conditional
      bits = num_known * code_bits + class_bits * (has_class and not is_whole)
      scores = tokenizer_scores.image_scores(made, real, masks)
      num_positions = num_known // model.num_views
      rate = bits / model.num_views
      rows.append(
        Row.of(
          f"{num_positions} positions, {_FILLS[name]}",
          "model" if name == "transformer" else "baseline",
          (rate, *scores.values()),
        )
      )
      score = scores["foreground_psnr"]
      if score is not None:
        series[name][0].append(rate)
        series[name][1].append(score)
  class_note = ""
  if task.class_conditional:
    class_note = (
      f"With the transformer the class is told too ({class_bits:.3g} bits). "
    )
  note = (
    f"Tokens of a clip at some of {model.num_tokens // model.num_views} "
    "positions, in a random order that is known, "
    f"{code_bits:.3g} bits each; the others are filled in. {class_note}"
    f"Uncompressed, a clip has {outputs.clips['frames'][0].size * 8:,} bits."
  )
  results.add_table(
    "Rate and reconstruction",
    note,
    [Column("bits per clip", "", None), *tokenizer_scores.IMAGE_COLUMNS],
    rows,
    n=len(real),
  )
  if series["transformer"][0]:
    results.add_plot(
      "Rate and reconstruction",
      note,
      ("bits per clip", "foreground PSNR, dB"),
      [
        {
          "name": _FILLS[name],
          "x": x,
          "y": y,
          "is_baseline": name != "transformer",
        }
        for name, (x, y) in series.items()
      ],
    )


def most_frequent_codes(tokens: np.ndarray, codebook_size: int) -> np.ndarray:
  """Returns the most frequent code of each place, (t, h, w) of (n, t, h, w)."""
  flat = tokens.reshape(len(tokens), -1)
  codes = [np.bincount(c, minlength=codebook_size).argmax() for c in flat.T]
  return np.array(codes, tokens.dtype).reshape(tokens.shape[1:])


def choose_samples(outputs: RunOutputs) -> Int[np.ndarray, " k"]:
  """The samples that are scored, spread over all."""
  count = len(outputs.tokens.labels)
  limit = outputs.settings.num_rate_clips
  if limit is None:
    return np.arange(count)
  limit = min(max(limit // outputs.model.num_views, 1), count)
  return np.arange(limit) * count // limit


def _clips_of(
  outputs: RunOutputs, samples: Int[np.ndarray, " k"]
) -> Int[np.ndarray, " n"]:
  """The clips of samples."""
  views = outputs.model.num_views
  return (samples[:, None] * views + np.arange(views)).ravel()


def _ranks(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """Of each sample, a random order of its positions."""
  order = np.random.default_rng(seed).uniform(
    size=(shape[0], math.prod(shape[1:]))
  )
  return order.argsort(1).argsort(1).reshape(shape)


def _make_fill(outputs: RunOutputs, tokens: TokenBatch, task_index: int):
  """Returns `is_known -> grids`: the likeliest tokens where none is known."""
  model = outputs.model

  @jax.jit
  def fill(params, batch):
    return complete(
      model,
      params,
      task_index,
      batch["labels"],
      batch["tokens"],
      batch["is_known"],
      Cameras.from_batch(batch),
    )

  arrays = {"tokens": tokens.tokens, "labels": tokens.labels}
  if tokens.cameras:
    arrays |= vars(tokens.cameras)
  return lambda is_known: map_batches(
    lambda batch: fill(outputs.params, batch),
    arrays | {"is_known": is_known},
    outputs.batch_size,
    outputs.mesh,
  )
