"""Bits that a clip's tokens take, by the transformer and without it."""

import math

import jax
import numpy as np
from jaxtyping import Float, Int

from magvit3d.evaluation import rate_distortion
from magvit3d.evaluation.outputs import RunOutputs
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.inference.batched import map_batches
from magvit3d.models.cameras import Cameras
from magvit3d.tokens import surprise
from magvit3d.tokens.masked_model import TokenBatch


def score(
  outputs: RunOutputs,
  results: Results,
  train_tokens: Int[np.ndarray, "k t h w"],
) -> None:
  """Adds bits a clip, beside those of codes that no network predicts.

  Args:
    outputs: Of the run.
    results: Where they go.
    train_tokens: Grids of training samples, for a baseline.
  """
  model = outputs.model
  chosen = rate_distortion.choose_samples(outputs)
  batch = jax.tree.map(lambda x: x[chosen], outputs.tokens)
  rows = []
  for has_class in (False, True):
    index = surprise.asked_task(model.tasks, has_class)
    is_told = index is not None and model.tasks[index].class_conditional
    if index is None or is_told != has_class:
      continue
    bits = _bits(outputs, batch, index, has_class).sum(1)
    name = "transformer" + ", told the class" * has_class
    rows.append((name, "model", float(bits.mean())))
  if not rows:
    return
  size = model.vocabulary.codebook_size
  rows += [
    (
      "codes of the place, as often as in training",
      "baseline",
      _place_bits(batch.tokens, train_tokens, size),
    ),
    (
      "any code alike",
      "baseline",
      model.num_tokens * math.log2(size),
    ),
  ]
  results.add_table(
    "Bits of a clip",
    "-log2 of the probability of a clip's tokens: latent frame by latent "
    "frame, each given the earlier ones alone; the tokens of a frame count as "
    "independent. Frequencies of codes are of the training samples, each code "
    "counted once more than it came.",
    [
      Column("bits per clip", "", "lower"),
      Column("bits per token", "", "lower"),
    ],
    [
      Row.of(name, role, (bits / model.num_views, bits / model.num_tokens))
      for name, role, bits in rows
    ],
    n=len(chosen) * model.num_views,
  )


def _bits(
  outputs: RunOutputs, batch: TokenBatch, task_index: int, has_class: bool
) -> Float[np.ndarray, "n t"]:
  model = outputs.model
  labels = batch.labels
  if not has_class:
    labels = np.full_like(labels, len(outputs.held_out.class_names))

  @jax.jit
  def frame_bits(params, arrays):
    return surprise.frame_bits(
      model,
      params,
      jax.random.key(0),  # Nothing is drawn.
      arrays["tokens"],
      arrays["labels"],
      task_index,
      Cameras.from_batch(arrays),
      past_alone=True,
    )

  arrays = {"tokens": batch.tokens, "labels": labels}
  if batch.cameras:
    arrays |= vars(batch.cameras)
  return map_batches(
    lambda part: frame_bits(outputs.params, part),
    arrays,
    outputs.batch_size,
    outputs.mesh,
  )


def _place_bits(
  tokens: Int[np.ndarray, "n t h w"],
  train_tokens: Int[np.ndarray, "k t h w"],
  codebook_size: int,
) -> float:
  """Mean bits of grids, by how often codes came at each place in training."""
  flat = train_tokens.reshape(len(train_tokens), -1).T
  counts = np.stack([np.bincount(c, minlength=codebook_size) for c in flat])
  shares = (counts + 1) / (len(train_tokens) + codebook_size)
  places = tokens.reshape(len(tokens), -1)
  found = shares[np.arange(places.shape[1]), places]
  return float(-np.log2(found).sum(1).mean())
