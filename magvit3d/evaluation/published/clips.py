"""Scores by networks that others trained, where their weights are given."""

import numpy as np
from jax.sharding import Mesh
from jaxtyping import UInt8

from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.evaluation.published import metrics
from magvit3d.evaluation.published.networks import MetricNetworks, WeightPaths
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row

FIELDS = ("i3d_weights", "c3d_weights", "lpips_weights")


def load(settings: EvaluationConfig, mesh: Mesh) -> MetricNetworks | None:
  """Returns the networks of `config.evaluation`; None without any weights.

  Raises:
    UserError: A file is not usable.
  """
  if not any(getattr(settings, field) for field in FIELDS):
    return None
  lpips = settings.lpips_weights
  paths = WeightPaths(
    settings.i3d_weights,
    settings.c3d_weights,
    lpips and lpips.split(","),
    prefix="config.evaluation.",
    frames_field="config.data.num_frames",
  )
  return MetricNetworks(paths, settings.batch_size, mesh)


def score(
  networks: MetricNetworks,
  results: Results,
  title: str,
  real: UInt8[np.ndarray, "n t h w 3"],
  generated: UInt8[np.ndarray, "m t h w 3"],
  *,
  is_paired: bool,
) -> None:
  """Adds a table of all metrics.

  Args:
    networks: With their weights.
    results: Where it goes.
    title: Of the table.
    real: Clips.
    generated: Clips.
    is_paired: Whether each shows what the real clip of its number shows;
      otherwise there is no LPIPS.
  """
  if not is_paired:
    networks = networks.without_lpips()
  entries = metrics.score(
    networks,
    real,
    generated,
    real_of=range(len(generated)) if is_paired else None,
  )
  if not entries:
    return
  notes = [f"{entry.metric}: {entry.note}" for entry in entries]
  weights = {
    path: sha for entry in entries for path, sha in entry.weights.items()
  }
  notes += [f"Weights {path}: SHA-256 {sha}." for path, sha in weights.items()]
  row_heading, generated_name, *simple = metrics.COLUMNS
  results.add_table(
    title,
    " ".join(notes),
    [
      Column(generated_name, "", "by row"),
      *(Column(name, "", None) for name in simple),
    ],
    [
      Row.of(
        entry.metric,
        "model",
        (entry.value, entry.real, entry.copy_first),
        entry.direction,
      )
      for entry in entries
    ],
    n=len(generated),
    row_heading=row_heading,
  )
