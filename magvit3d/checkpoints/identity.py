"""What a checkpoint belongs to: it is only restored where this is the same."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from data_gen import schema


def fingerprint(params: PyTree) -> str:
  """SHA-256 of all values."""
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(params):
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def manifest_sha256(folder: pathlib.Path) -> str | None:
  """SHA-256 of a data set's manifest, in hex; None if it has none."""
  path = folder / schema.MANIFEST_NAME
  if not path.exists():
    return None
  return hashlib.sha256(path.read_bytes()).hexdigest()


def key_of(parts: Mapping[str, Any]) -> str:
  """SHA-256 of JSON-serialisable parts, whatever their order."""
  text = json.dumps(parts, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def tokenizer_identity(
  config: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
  """Sections that a tokenizer's checkpoint must agree with."""
  names = ("vqvae", "discriminator")
  return {name: config[name] for name in names} | {"data": data}


def transformer_sections(config: Mapping[str, Any]) -> dict[str, Any]:
  """Sections of the config that a transformer's checkpoint must agree with."""
  names = ("transformer", "tasks", "maskgvt", "lmgvt")
  sections = {name: dict(config[name]) for name in names if name in config}
  for name in ("maskgvt", "lmgvt"):
    sections.get(name, {}).pop("sampling", None)  # May change after training.
  if sections.get("maskgvt", {}).get("draw") == "step":
    del sections["maskgvt"]["draw"]  # Older configs do not say it.
  if "tasks" in sections:
    sections["tasks"] = _trained_tasks(config)
  for field in ("attention_implementation", "remat"):  # How, not what.
    sections["transformer"].pop(field, None)
  return sections


def _trained_tasks(config: Mapping[str, Any]) -> dict[str, Any]:
  """`config.tasks` without how they are sampled."""
  return {
    name: task
    and {key: value for key, value in task.items() if key != "sampling"}
    for name, task in config["tasks"].items()
  }


def transformer_identity(
  config: Mapping[str, Any], tokenizer_params: PyTree
) -> dict[str, Any]:
  """All that a transformer's checkpoint must agree with."""
  tokenizer = {"fingerprint": fingerprint(tokenizer_params)[:16]}
  return transformer_sections(config) | {"tokenizer": tokenizer}


def token_key(
  config: Mapping[str, Any],
  cut: Mapping[str, Any],
  splits: Mapping[str, Any],
  tokenizer_params: PyTree,
) -> str:
  """Names all that cached tokens depend on.

  Args:
    config: See `configs/traj3d.py`.
    cut: What clips are of their scenes; see `RunData.cut`.
    splits: Shards of the data, from the manifest.
    tokenizer_params: Of the trained tokenizer.
  """
  return key_of(
    {
      "tokenizer": fingerprint(tokenizer_params),
      "dtype": config["dtype"],
      "data": splits["train"]["shards"],
      "tasks": _trained_tasks(config),
      "condition_mode": config["maskgvt"]["condition_mode"],
    }
    | cut
  )


def evaluation_key(
  config: Mapping[str, Any],
  cut: Mapping[str, Any],
  splits: Mapping[str, Any],
  tokenizer_params: PyTree,
  transformer_params: PyTree,
  version: int,
) -> str:
  """Names all that the scores of a run depend on; see `token_key`.

  `version` is that of the scores themselves.
  """
  return key_of(
    {
      "version": version,
      "dtype": config["dtype"],
      "tokenizer": fingerprint(tokenizer_params),
      "transformer": fingerprint(transformer_params),
      "data": splits,
      "evaluation": config["evaluation"],
      "sampling": [config["maskgvt"], config["tasks"]],
      "seed": config["seed"],
    }
    | cut
  )
