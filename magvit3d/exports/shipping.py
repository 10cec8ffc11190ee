"""Makes a folder that comes with the package from a finished run."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from data_gen.files import json_files
from magvit3d.api import Magvit
from magvit3d.checkpoints import identity
from magvit3d.errors import UserError
from magvit3d.evaluation import evaluate
from magvit3d.exports import model_card, shipped_check
from magvit3d.files import new_folder
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.pretrained import shipped
from magvit3d.run import record
from magvit3d.run.data import RunData

MAX_BYTES = 12_000_000  # Of all models.
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def ship(
  run: pathlib.Path,
  name: str,
  folder: pathlib.Path,
  command: str | None = None,
) -> pathlib.Path:
  """Writes parameters as float16, and the card; returns their folder.

  Args:
    run: Work folder, evaluated; its data are still there.
    name: Of the model.
    folder: Where models are, each in a folder of its name.
    command: That trained the run; None: what its config tells.

  Raises:
    UserError: The run has no transformer, or its scores are not those of its
      checkpoints; or all models together take too many bytes.
  """
  if not _NAME.fullmatch(name):
    raise UserError(
      f"--name={name} must be small letters and digits, with - between words."
    )
  target = folder / name
  new_folder.check(target)
  magvit = Magvit.from_run(run)
  trained = magvit.trained
  if trained.transformer_params is None:
    raise UserError(f"--run={run} has no transformer yet: train it first.")
  scores = _read_scores(run, trained)
  command = command or model_card.training_command(trained.config.document)
  if command is None:
    raise UserError(
      f"--run={run} is not of configs/traj3d.py: say by --command how it was "
      "trained."
    )
  with new_folder.written_whole(target) as temporary:
    magvit.save_pretrained(temporary, dtype="float16")
    _check_size(folder, temporary)
    rounded = Magvit.from_pretrained(
      temporary, batch_size=shipped_check.BATCH_SIZE
    )
    found, tolerances = shipped_check.measure_with_tolerances(
      rounded, Magvit(trained, batch_size=shipped_check.BATCH_SIZE)
    )
    card = model_card.make(
      name=name,
      command=command,
      trained={
        "steps": trained.steps,
        "data": trained.data,
        "clip_shape": trained.clip_shape,
      },
      scores=scores,
      check={
        "num_scenes": shipped_check.NUM_SCENES,
        "seed": shipped_check.SEED,
        "scores": found,
        "tolerances": tolerances,
      },
    )
    record.write_json(temporary / shipped.CARD_NAME, card)
    text = model_card.to_markdown(card)
    (temporary / "README.md").write_text(text, encoding="utf-8")
    _check_size(folder, temporary)
  return target


def _check_size(folder: pathlib.Path, added: pathlib.Path) -> None:
  paths = [p for p in folder.rglob("*") if added not in p.parents]
  paths += added.rglob("*")
  total = sum(path.stat().st_size for path in paths if path.is_file())
  if total > MAX_BYTES:
    raise UserError(
      f"All models in {folder} would take {total:,} bytes, more than the "
      f"{MAX_BYTES:,} that may come with the package. Take another out first, "
      "or ship a smaller one."
    )


def _read_scores(
  run: pathlib.Path, trained: TrainedNetworks
) -> Mapping[str, Any]:
  """evaluation/scores.json, if it is of these very networks and data."""
  path = run / "evaluation" / "scores.json"
  advice = f"Run python -m magvit3d.main for {run}: it evaluates it anew."
  try:
    scores = json_files.read(path)
  except (OSError, json_files.JsonError) as error:
    raise UserError(f"{path} cannot be read ({error}). {advice}") from error
  config = trained.config
  data = RunData(config, run)
  key = identity.evaluation_key(
    config.given,
    data.cut(),
    data.splits(),
    trained.tokenizer_params,
    trained.transformer_params,
    evaluate.VERSION,
  )
  if scores.get("key") != key:
    raise UserError(
      f"{path} has scores of other checkpoints, of other data, or of another "
      f"version of the scores. {advice}"
    )
  return scores
