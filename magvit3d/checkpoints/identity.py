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
  given: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
  """Sections that a tokenizer's checkpoint must agree with."""
  names = ("vqvae", "discriminator")
  return {name: given[name] for name in names} | {"data": data}


def transformer_sections(given: Mapping[str, Any]) -> dict[str, Any]:
  """Sections of the config that a transformer's checkpoint must agree with."""
  names = ("transformer", "tasks", "maskgvt", "lmgvt")
  sections = {name: dict(given[name]) for name in names if name in given}
  for name in ("maskgvt", "lmgvt"):
    sections.get(name, {}).pop("sampling", None)  # May change after training.
  if sections.get("maskgvt", {}).get("draw") == "step":
    del sections["maskgvt"]["draw"]  # Older configs do not say it.
  if "tasks" in sections:
    sections["tasks"] = _trained_tasks(given)
  for field in ("attention_implementation", "remat"):  # How, not what.
    sections["transformer"].pop(field, None)
  return sections


def _trained_tasks(given: Mapping[str, Any]) -> dict[str, Any]:
  """The section `tasks` without how they are sampled."""
  return {
    name: task
    and {key: value for key, value in task.items() if key != "sampling"}
    for name, task in given["tasks"].items()
  }


def transformer_identity(
  given: Mapping[str, Any], tokenizer_params: PyTree
) -> dict[str, Any]:
  """All that a transformer's checkpoint must agree with."""
  tokenizer = {"fingerprint": fingerprint(tokenizer_params)[:16]}
  return transformer_sections(given) | {"tokenizer": tokenizer}


def token_key(
  given: Mapping[str, Any],
  cut: Mapping[str, Any],
  splits: Mapping[str, Any],
  tokenizer_params: PyTree,
) -> str:
  """Names all that cached tokens depend on.

  Args:
    given: `RunConfig.given`.
    cut: What clips are of their scenes; see `RunData.cut`.
    splits: Shards of the data, from the manifest.
    tokenizer_params: Of the trained tokenizer.
  """
  return key_of(
    {
      "tokenizer": fingerprint(tokenizer_params),
      "dtype": given["dtype"],
      "data": splits["train"]["shards"],
      "tasks": _trained_tasks(given),
      "condition_mode": given["maskgvt"]["condition_mode"],
    }
    | cut
  )


def _sampling(given: Mapping[str, Any]) -> list[dict[str, Any]]:
  """The sections that say how clips are made."""
  sections = {
    name: given[name] for name in ("maskgvt", "tasks", "lmgvt") if name in given
  }
  if "tasks" in sections:
    sections["tasks"] = {
      name: task and _without_new_fields(task)
      for name, task in given["tasks"].items()
    }
  return list(sections.values())


def _without_new_fields(task: Mapping[str, Any]) -> dict[str, Any]:
  """A task without what older configs do not say, where it says nothing."""
  sampling = task.get("sampling")
  if sampling is None:
    return dict(task)
  kept = {
    key: value
    for key, value in sampling.items()
    if value is not None or key not in ("top_k", "top_p")
  }
  return dict(task) | {"sampling": kept}


def evaluation_key(
  given: Mapping[str, Any],
  cut: Mapping[str, Any],
  splits: Mapping[str, Any],
  tokenizer_params: PyTree,
  transformer_params: PyTree | None,
  version: int,
) -> str:
  """Names all that the scores of a run depend on; see `token_key`.

  `version` is that of the scores themselves.
  """
  return key_of(
    {
      "version": version,
      "dtype": given["dtype"],
      "tokenizer": fingerprint(tokenizer_params),
      "transformer": transformer_params and fingerprint(transformer_params),
      "data": splits,
      "evaluation": given["evaluation"],
      "sampling": _sampling(given),
      "seed": given["seed"],
    }
    | cut
  )
