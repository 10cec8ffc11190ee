"""Writes loaded parameters as a folder that a run can start from.

  OUTPUT/params/        Orbax checkpoint of the trees and the step
  OUTPUT/upstream.json  kind, source, SHA-256, step, counts, config

The folder appears complete or not at all.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from magvit3d.checkpoints.orbax import ocp
from magvit3d.errors import UserError
from magvit3d.files import new_folder
from magvit3d.upstream import matching, networks
from magvit3d.upstream.checkpoint import UpstreamCheckpoint
from magvit3d.upstream.locations import CONVERTED_NOTE, CONVERTED_PARAMS

NOT_CONVERTED = (
  "optimizer state, random state, and the discriminator loss's averages"
)


def convert(
  checkpoint: UpstreamCheckpoint,
  config: Mapping[str, Any],
  inflation: str | None = None,
  allow: str = "",
) -> tuple[dict[str, PyTree], matching.MatchReport]:
  """Puts a checkpoint's trees into the networks that a config describes.

  Leaves that are allowed to be missing get fresh initial values.

  Raises:
    UserError: The config is wrong, or does not fit (`MismatchError`).
  """
  kind = checkpoint.kind
  shapes = jax.eval_shape(lambda: networks.fresh_params(config, kind))
  # A tokenizer file need not have all trees.
  targets = {
    name: tree for name, tree in shapes.items() if name in checkpoint.trees
  }
  trees, report = matching.match_trees(
    checkpoint.trees, targets, inflation, allow, checkpoint.source
  )
  if kept := report.kept():
    fresh = _fresh_leaves(config, kind, kept)
    flat = traverse_util.flatten_dict(trees, sep="/")
    trees = traverse_util.unflatten_dict(flat | fresh, sep="/")
  return trees, report


def _fresh_leaves(
  config: Mapping[str, Any], kind: str, names: list[str]
) -> dict[str, jax.Array]:
  """Initial values by name; the others are not even computed."""

  def draw():
    trees = networks.fresh_params(config, kind)
    flat = traverse_util.flatten_dict(trees, sep="/")
    return {name: flat[name] for name in names}

  return jax.jit(draw)()


def describe(
  checkpoint: UpstreamCheckpoint,
  config: Mapping[str, Any],
  report: matching.MatchReport,
  inflation: str | None,
  allow: str,
) -> dict[str, Any]:
  """Returns what upstream.json says."""
  sections = networks.SECTIONS[checkpoint.kind]
  return {
    "kind": checkpoint.kind,
    "layout": checkpoint.layout,
    "source": checkpoint.source,
    "sha256": checkpoint.sha256,
    "step": checkpoint.step,
    "trees": sorted(checkpoint.trees),
    "inflation": inflation or None,
    "allow": allow,
    "counts": report.counts(),
    "fresh": report.kept(),
    "not_converted": NOT_CONVERTED,
    "config": {name: config[name] for name in sections if name in config},
  }


def write(
  output: pathlib.Path, trees: Mapping[str, PyTree], note: Mapping[str, Any]
) -> None:
  """Writes the folder `output`.

  Raises:
    UserError: It exists and is not empty, or cannot be written.
  """
  try:
    with new_folder.written_whole(output) as temporary:
      with ocp.StandardCheckpointer() as writer:
        step = note["step"]
        item = {} if step is None else {"step": np.asarray(step)}
        writer.save(temporary / CONVERTED_PARAMS, item | dict(trees))
      text = json.dumps(note, indent=2) + "\n"
      (temporary / CONVERTED_NOTE).write_text(text, encoding="utf-8")
  except ValueError as error:  # Of Orbax's storage.
    raise UserError(
      f"--output={output} cannot be written ({error}). Name a folder that you "
      "may write to."
    ) from error
