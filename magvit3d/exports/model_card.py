"""The card of a shipped model: what it is, and how well it does.

`card.json` is read by programs, `README.md` says the same to people.
"""

import importlib
import json
from collections.abc import Mapping
from typing import Any

from magvit3d.evaluation.tables import SCHEMA_VERSION
from magvit3d.pretrained import score_texts
from magvit3d.report.file_reading import read_tables
from magvit3d.report.run_passport import flatten

LICENCE = (
  "Apache-2.0, as magvit3d itself. The parameters were trained from random "
  "ones, on scenes that magvit3d renders; nobody else's data or weights are in "
  "them."
)
# Fields of a run's config that say where, or when, but not what.
_PLACES = (
  "compilation_cache_dir",
  "data.data_dir",
  "data.num_workers",
  "stages",
)
_CHECK_NOTE = (
  "What `tests/pretrained/shipped_models_test.py` computes again: scenes are "
  "rendered by the options of the model's data with a fixed seed. A tolerance "
  "is how far off another machine's rounding may bring a mean: why so far is "
  "said in `magvit3d/exports/shipped_check.py`."
)


def training_command(document: Mapping[str, Any]) -> str | None:
  """Returns the command that trains a run, by its config.

  Fields that differ from those of the config's file are flags, but for places.

  Args:
    document: A run's config.json.

  Returns:
    None for runs of other files than `configs/traj3d*.py`.
  """
  name, _, variant = str(document["experiment_name"]).rpartition("_")
  if name not in ("traj3d", "traj3d_multiview"):
    return None
  module = importlib.import_module(f"configs.{name}")
  if variant not in module.VARIANTS:
    return None
  default = flatten(_as_json(module.get_config(variant).to_dict()))
  found = flatten(_as_json(document))
  command = [
    f"python -m magvit3d.main --config=configs/{name}.py:{variant}",
    *(
      f"--config.{field}={_flag_text(found[field])}"
      for field in sorted(default.keys() & found.keys())
      if found[field] != default[field] and field not in _PLACES
    ),
  ]
  return " ".join(command)


def _as_json(document: Mapping[str, Any]) -> dict[str, Any]:
  """Tuples as lists."""
  return json.loads(json.dumps(document))


def _flag_text(value: Any) -> str:
  text = str(tuple(value) if isinstance(value, list) else value)
  return f"'{text}'" if set(text) & set(" ()*;") else text


def make(
  *,
  name: str,
  command: str,
  trained: Mapping[str, Any],
  scores: Mapping[str, Any],
  check: Mapping[str, Any],
) -> dict[str, Any]:
  """Returns the card, as for JSON.

  Args:
    name: Of the model.
    command: That trained it.
    trained: `steps`, `data` and `clip_shape`; see `TrainedNetworks`.
    scores: evaluation/scores.json of the run.
    check: `num_scenes`, `seed`, `scores` and `tolerances`; see
      `shipped_check`.
  """
  run = scores["run"]
  tables = [
    table for table in read_tables(scores) if table.title in score_texts.TABLES
  ]
  return {
    "name": name,
    "summary": _summary(trained, run, check),
    "command": command,
    "commit": run["code"]["commit"],
    "has_uncommitted_changes": run["code"]["is_dirty"],
    "evaluated": run["date"],
    "steps": dict(trained["steps"]),
    "parameters": run["parameters"],
    "stored_as": "float16",
    "data": dict(trained["data"]),
    "schema_version": SCHEMA_VERSION,
    "scores": [table.to_json() for table in tables],
    "checks": [
      {
        key: found[key]
        for key in (
          "name",
          "value",
          "comparison",
          "threshold",
          "unit",
          "passed",
        )
      }
      for found in scores["checks"]
    ],
    "check": dict(check),
    "limits": _limits(trained),
    "licence": LICENCE,
  }


def _summary(trained, run, check) -> str:
  frames, size = trained["clip_shape"][:2]
  millions = sum(run["parameters"].values()) / 1e6
  found = check["scores"]
  return (
    f"{frames} frames of {size} px, {millions:.1f} million parameters; on "
    f"{check['num_scenes']} new scenes its predictions are "
    f"{found['predicted_ade_m']:.3f} m off, a copy of the last given frame "
    f"{found['copy_last_ade_m']:.3f} m."
  )


def _limits(trained) -> list[str]:
  data, (frames, size) = trained["data"], trained["clip_shape"][:2]
  colors = f"{data['num_colors']} colours" if data["num_colors"] else "colours"
  return [
    f"It knows scenes like those it was trained on alone: one cube, cylinder "
    f"or cone of scale {data['size_min']:g} to {data['size_max']:g} and of "
    f"{colors}, before the background {data['background']}, seen by the camera "
    f"rig {data['camera_rig']!r}.",
    f"Clips have {frames} frames of {size} x {size} pixels.",
    "Scores of the run are those before parameters were rounded to float16; "
    "scores of the new scenes are those after.",
  ]


def to_markdown(card: Mapping[str, Any]) -> str:
  """Returns the card for people."""
  changes = card["has_uncommitted_changes"]
  commit = f"`{card['commit']}`" + (" with uncommitted changes" * bool(changes))
  steps = ", ".join(f"{name} {n:,}" for name, n in card["steps"].items())
  sizes = ", ".join(f"{name} {n:,}" for name, n in card["parameters"].items())
  data = ", ".join(f"{name}={value}" for name, value in card["data"].items())
  check = card["check"]
  parts = [
    f"# {card['name']}",
    card["summary"],
    "```python\nfrom magvit3d.api import Magvit\n\n"
    f'm = Magvit.from_pretrained("{card["name"]}")\n```',
    "## Training",
    f"```sh\n{card['command']}\n```",
    f"- Commit (of the evaluation): {commit}, {card['evaluated']}.\n"
    f"- Steps: {steps}.\n- Parameters: {sizes}; stored as "
    f"{card['stored_as']}.\n- Data, rendered by `python -m data_gen`: {data}.",
    "## Scores of the run",
    score_texts.INTERVALS,
  ]
  tables = read_tables({**card, "tables": card["scores"]})
  parts += map(score_texts.score_table, tables)
  parts.append(score_texts.missed_checks(card["checks"]))
  rows = [
    [name.replace("_", " "), value, check["tolerances"][name]]
    for name, value in check["scores"].items()
  ]
  return (
    "\n\n".join(
      [
        *parts,
        f"## Scores of {check['num_scenes']} new scenes",
        _CHECK_NOTE,
        score_texts.plain_table(["", "mean", "tolerance"], rows),
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
        "## Licence",
        card["licence"],
      ]
    )
    + "\n"
  )
