"""How well the transformer knows tokens that are hidden from it."""

import numpy as np

from magvit3d.evaluation import transformer_scores
from magvit3d.evaluation.outputs import RunOutputs
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row

_CHECKED_TASK = "full_generation"


def score(outputs: RunOutputs, results: Results) -> None:
  """Adds the errors of all tasks on the hidden half of the tokens."""
  tokens, cells = outputs.tokens, outputs.object_cells
  rows = []
  for task in outputs.model.tasks:
    measure = transformer_scores.make_masked_errors(
      outputs.model, task.name, outputs.batch_size, outputs.mesh
    )
    is_wrong, is_masked = measure(outputs.params, tokens, outputs.seed)
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
      values = (1 - error, 1 - baseline, error, baseline, ratio)
      rows.append(Row.of(f"{task.name}, {where}", "model", values))
      if task.name == _CHECKED_TASK and chosen is cells:
        results.measured["token_error_ratio"] = ratio
  results.add_table(
    "Hidden tokens",
    "Half of the tokens are hidden at random; the transformer's likeliest "
    "code against always the most frequent token of the same cells.",
    [
      Column("accuracy", "", "higher"),
      Column("accuracy of most frequent", "", None),
      Column("error", "", "lower"),
      Column("error of most frequent", "", None),
      Column("error ratio", "", "lower"),
    ],
    rows,
    n=len(outputs.real),
    row_heading="task, cells",
  )
