"""README.md of a folder with trained networks: the model card of a hub.

Its head is the metadata of the Hugging Face Hub: YAML, with lists written as in
JSON, which is YAML too.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from data_gen.files import plain_files
from magvit3d.checkpoints.code_version import code_version
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.pretrained import score_texts
from magvit3d.report.file_reading import read_tables

NAME = "README.md"
_LIBRARY = "library_name: magvit3d"
_MOST_BYTES = 2**20
_TAGS = ("jax", "flax", "magvit", "video", "video-tokenizer", "3d-motion")
_NO_SCORES = (
  "None are known here: the networks are of no run whose evaluation is done. "
  "`python -m magvit3d.score` scores clips of any model in metres."
)


def is_ours(path: pathlib.Path) -> bool:
  """Whether a README.md is a card of `make`."""
  try:
    text = plain_files.read_bytes(path, _MOST_BYTES).decode(errors="replace")
  except OSError:
    return False
  return text.startswith("---\n") and _LIBRARY in text.partition("\n---\n")[0]


def make(
  trained: TrainedNetworks, dtype: str, license: str | None, title: str
) -> str:
  """Returns the card.

  Args:
    trained: Networks.
    dtype: Of the parameters in the file.
    license: An identifier such as "apache-2.0"; None says nothing of it.
    title: Of the model.
  """
  frames, size = trained.clip_shape[:2]
  head = [_LIBRARY, f"tags: {json.dumps(_TAGS)}"]
  if license:
    head.insert(0, f"license: {json.dumps(license)}")
  views = f"{trained.num_cameras} cameras" if trained.sees_views else "a camera"
  return "\n".join(
    [
      "---",
      *head,
      "---",
      "",
      f"# {title}",
      "",
      f"Video tokens of clips with {frames} frames of {size} x {size} pixels, "
      f"of {views}: networks of magvit3d, which re-implements MAGVIT "
      "(arXiv 2212.05199) in JAX and Flax.",
      "",
      "```python",
      "from magvit3d.api import Magvit",
      "",
      "# This folder, or its name on the hub.",
      'm = Magvit.from_pretrained("DIR")',
      *_examples(trained),
      "```",
      "",
      "## What it is",
      "",
      *(f"- {line}" for line in _facts(trained, dtype)),
      "",
      "## Scores of its run",
      "",
      _scores(trained.scores),
      "",
      "## Limits",
      "",
      "It knows clips like those that it was trained on alone.",
      "",
    ]
  )


def _examples(trained: TrainedNetworks) -> list[str]:
  lines = ["tokens = m.tokenize(video)  # uint8 (t, h, w, 3)."]
  if trained.transformer_params is not None:
    lines.append("future = m.predict(video)")
  return lines


def _facts(trained: TrainedNetworks, dtype: str) -> list[str]:
  versions = code_version()
  trees = {"tokenizer": trained.tokenizer_params}
  if trained.transformer_params is not None:
    trees["transformer"] = trained.transformer_params
  lines = [
    f"{name}: {_count(tree):,} parameters, {trained.steps[name]:,} steps"
    for name, tree in trees.items()
  ]
  t, h, w = trained.model.latent_shape
  lines.append(
    f"Tokens of a clip: {t} x {h} x {w}, of "
    f"{trained.model.vocabulary.codebook_size:,} codes."
  )
  lines.append(f"Stored as {dtype}.")
  lines.append(f"Classes: {', '.join(trained.class_names) or 'none'}.")
  if trained.data is not None:
    options = ", ".join(f"{name}={v}" for name, v in trained.data.items())
    lines.append(f"Data, rendered by `python -m data_gen`: {options}.")
  lines.append(
    f"Written by magvit3d {versions['magvit3d']} with JAX {versions['jax']}."
  )
  return lines


def _count(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _scores(scores: Mapping[str, Any] | None) -> str:
  tables = [
    table
    for table in read_tables(scores or {})
    if table.title in score_texts.TABLES
  ]
  if scores is None or not tables:
    return _NO_SCORES
  return "\n\n".join(
    [
      score_texts.INTERVALS,
      *map(score_texts.score_table, tables),
      score_texts.missed_checks(scores.get("checks")),
    ]
  )
