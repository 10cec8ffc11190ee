"""What is known of how a run was made, as text for the report."""

import html
import pathlib
from typing import Any

from magvit3d.evaluation import metrics_file
from magvit3d.report import data_manifest
from magvit3d.report.page_texts import (
  duration_text,
  is_finite,
  value_text,
)

Facts = dict[str, dict[str, str]]

SILENT = "the device does not tell"
UNKNOWN = "not recorded"
_TRAINED = ("tokenizer", "transformer")
_JOULES_PER_KWH = 3.6e6
_NOTE = (
  "Energy is what counters of whole devices have counted while a stage ran, "
  "other programs on them included, on the machine of the first process; it is "
  "never estimated. “At least”: an attempt was killed, or ran where nothing "
  "was counted."
)


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
    "Energy": _energy(stages),
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
    if group == "Energy":
      parts.append(note())
  return "".join(parts)


def note() -> str:
  """Returns what one must know of energy, as HTML."""
  return f'<p class="note">{html.escape(_NOTE)}</p>'


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
    pathlib.Path(next(filter(None, given), workdir / "data"))
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
    changed = {
      True: " and uncommitted changes",
      False: "",
      None: ", changes unknown",
    }
    commit = code.get("commit")
    facts["commit"] = (
      f"{commit}{changed.get(code.get('is_dirty'), '')}"
      if commit
      else "not a git checkout"
    )
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


def _energy(stages) -> dict[str, str]:
  facts, sums, is_partial, is_recorded = {}, {}, False, False
  for name, stage in stages.items():
    stage = _dict(stage)
    seconds = stage.get("seconds")
    if not is_finite(seconds) or seconds <= 0:
      continue
    joules, is_part = _joules(stage)
    is_partial |= is_part or not joules
    is_recorded |= "energy" in stage
    for device, used in joules.items():
      sums[device] = sums.get(device, 0.0) + used
    facts[name] = _kwh(joules, is_part, "energy" in stage)
  if facts:
    facts["all stages"] = _kwh(sums, is_partial, is_recorded)
  return facts


def _joules(stage) -> tuple[dict[str, float], bool]:
  """By device, and whether that was counted for a part of the time only."""
  joules, is_part = {}, bool(stage.get("was_killed"))
  for device, entry in _dict(stage.get("energy")).items():
    entry = _dict(entry)
    used, counted_s = entry.get("joules"), entry.get("seconds")
    if is_finite(used) and is_finite(counted_s):
      joules[device] = used
      is_part |= counted_s < 0.99 * stage["seconds"] - 1
  return joules, is_part


def _kwh(joules, is_partial, is_recorded) -> str:
  if not joules:
    return SILENT if is_recorded else UNKNOWN
  devices = ", ".join(
    f"{device}: {value_text(used / _JOULES_PER_KWH)}"
    for device, used in joules.items()
  )
  total = value_text(sum(joules.values()) / _JOULES_PER_KWH)
  return f"{_at_least(is_partial)}{total} kWh ({devices})"


def _at_least(is_partial: object) -> str:
  return "at least " if is_partial else ""


def _dict(value: object) -> dict[str, Any]:
  return value if isinstance(value, dict) else {}
