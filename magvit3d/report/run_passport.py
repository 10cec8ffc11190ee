"""What is known of how a run was made, as text for the report."""

import html
import pathlib
from typing import Any

from data_gen.files import user_paths
from magvit3d.monitoring import metrics_file
from magvit3d.report.page_texts import (
  duration_text,
  is_finite,
  value_text,
)
from magvit3d.run import data_manifest

Facts = dict[str, dict[str, str]]

UNKNOWN = "not recorded"
_TRAINED = ("tokenizer", "transformer")


def read(
  workdir: pathlib.Path,
  config: dict[str, Any],
  stages: dict[str, Any],
  scores: dict[str, Any],
) -> Facts:
  """Returns facts by group and name.

  Args:
    workdir: Of the run. Its metrics are read, and the manifest of its data
      where the scores do not tell of it.
    config: config.json.
    stages: stages.json.
    scores: evaluation/scores.json. Those of older versions tell less.
  """
  run = _dict(scores.get("run"))
  facts = {
    "Data": _data(workdir, config, run),
    "Code": _code(run),
    "Hardware": _hardware(run),
    "Versions": _versions(run),
    "Training": _training(workdir, config, run),
    "Time": {name: _time(_dict(stage)) for name, stage in stages.items()},
  }
  return {group: found for group, found in facts.items() if found}


def section(facts: Facts) -> str:
  """Returns the facts as HTML."""
  parts = []
  for group, found in facts.items():
    rows = "".join(
      f"<tr><td>{html.escape(name)}</td>"
      f'<td class="reason">{html.escape(text)}</td></tr>'
      for name, text in found.items()
    )
    parts.append(
      f'<h3>{group}</h3><div class="scroll"><table class="text passport">'
      f"<tbody>{rows}</tbody></table></div>"
    )
  return "".join(parts)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Returns the values of nested objects by their names with dots."""
  flat = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      flat |= flatten(value, f"{prefix}{key}.")
    else:
      flat[f"{prefix}{key}"] = value
  return flat


def data_facts(
  workdir: pathlib.Path, config: dict[str, Any], run: dict[str, Any]
) -> dict[str, Any]:
  """Returns `data_manifest.describe` as the scores tell, or as of now."""
  stored = _dict(run.get("data"))
  if stored:
    return stored
  given = [
    _dict(config.get(section)).get("data_dir")
    for section in ("data", "dataset_configs")
  ]
  return data_manifest.describe(
    user_paths.read(next(filter(None, given), workdir / "data"))
  )


def _data(workdir, config, run) -> dict[str, str]:
  found = data_facts(workdir, config, run)
  if not found:
    return {"manifest": "not there"}
  facts = {
    name.replace("_", " "): value_text(found.get(name))
    for name in ("manifest", "sha256", "dataset", "seed")
  }
  facts["made by version"] = value_text(found.get("code_version"))
  for split, count in _dict(found.get("scenes")).items():
    facts[f"scenes, {split}"] = value_text(count)
  changed = flatten(_dict(found.get("arguments")))
  facts["not as by default"] = (
    ", ".join(f"{name}={value}" for name, value in changed.items()) or "nothing"
  )
  return facts


def _code(run) -> dict[str, str]:
  code = _dict(run.get("code"))
  version = code.get("version", run.get("code_version"))
  facts = {"magvit3d": value_text(version)}
  if code:
    commit, is_dirty = code.get("commit"), code.get("is_dirty")
    changed = ", changes unknown" if is_dirty is None else ""
    changed = " and uncommitted changes" if is_dirty is True else changed
    facts["commit"] = f"{commit}{changed}" if commit else "not a git checkout"
  if run.get("date"):
    facts["evaluated"] = value_text(run["date"])
  return facts if run else {}


def _hardware(run) -> dict[str, str]:
  hardware = _dict(run.get("hardware"))
  if not hardware:
    return {"devices": str(run["devices"])} if run.get("devices") else {}
  facts = {
    name: value_text(hardware.get(name))
    for name in ("devices", "platform", "processes")
  }
  cores = value_text(hardware.get("cpu_cores"))
  facts["CPU"] = f"{value_text(hardware.get('cpu'))}, {cores} cores"
  facts["memory"] = f"{value_text(hardware.get('memory_gib'))} GiB"
  return facts


def _versions(run) -> dict[str, str]:
  versions = _dict(run.get("versions"))
  if not versions and run.get("jax_version"):
    versions = {"JAX": run["jax_version"]}
  return {name: str(version) for name, version in versions.items()}


def _training(workdir, config, run) -> dict[str, str]:
  facts = {}
  for stage in _TRAINED:
    count = _dict(run.get("parameters")).get(stage)
    if count is not None:
      facts[f"{stage}, parameters"] = value_text(count)
    records = metrics_file.read_metrics(workdir / stage / "metrics.jsonl")
    if not records:
      continue
    steps = records[-1]["step"]
    facts[f"{stage}, steps"] = value_text(steps)
    size = _dict(config.get(f"train_{stage}")).get("batch_size")
    if not isinstance(size, int):
      continue
    facts[f"{stage}, clips seen"] = value_text(steps * size)
    tokens = run.get("tokens_per_clip")
    if isinstance(tokens, int):
      facts[f"{stage}, tokens seen"] = value_text(steps * size * tokens)
  return facts


def _time(stage) -> str:
  seconds = stage.get("seconds")
  if not is_finite(seconds):
    return "–"
  return _at_least(stage.get("was_killed")) + duration_text(seconds)


def _at_least(is_partial: object) -> str:
  return "at least " if is_partial else ""


def _dict(value: object) -> dict[str, Any]:
  return value if isinstance(value, dict) else {}
