"""Targets of a run: what was measured against what `config.evaluation` asks.

What is asked but was not measured is told, and is not passed.
"""

import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from magvit3d.config.evaluation import EvaluationConfig

COPY_LAST, CONSTANT_VELOCITY, PIXELS = (
  "copy of the last frame",
  "constant velocity",
  "pixels",
)
PREDICTED = "predicted"
PREDICTION_BASELINES = (COPY_LAST, CONSTANT_VELOCITY)
WANTED = {">=": "at least", "<=": "at most", "<": "below"}
# Questions of `probing.questions` that are checked.
PROBE_PLACES = ("t+1", "t+5")

# Field of `config.evaluation`, key of the number, name, comparison, unit.
TARGETS = (
  (
    "max_ade_over_copy_last",
    "ade_over_copy_last",
    f"Predicted ADE over that of the {COPY_LAST}",
    "<=",
    "",
  ),
  (
    "max_ade_over_constant_velocity",
    "ade_over_constant_velocity",
    f"Predicted ADE over that of {CONSTANT_VELOCITY}",
    "<=",
    "",
  ),
  (
    "min_foreground_gain_db",
    "foreground_gain_db",
    "Reconstruction: foreground PSNR above background only",
    ">=",
    "dB",
  ),
  (
    "max_color_error_ratio",
    "color_error_ratio",
    "Colour error of the object relative to background only",
    "<=",
    "",
  ),
  (
    "max_tokenizer_ade_m",
    "tokenizer_ade_m",
    "ADE through the tokenizer",
    "<=",
    "m",
  ),
  (
    "min_foreground_perplexity",
    "foreground_perplexity",
    "Code perplexity on cells that touch the object",
    ">=",
    "codes",
  ),
  (
    "max_token_error_ratio",
    "token_error_ratio",
    "Error on hidden tokens over the most frequent token's, on cells that "
    "touch the object",
    "<=",
    "",
  ),
  (
    "min_sample_shape_accuracy",
    "sample_shape_accuracy",
    "Samples of a class: right shape, says a classifier of real tokens",
    ">=",
    "",
  ),
  (
    "min_sample_motion_accuracy",
    "sample_motion_accuracy",
    "Samples of a class: right motion, says the same classifier",
    ">=",
    "",
  ),
  (
    "min_classifier_accuracy",
    "classifier_shape_accuracy",
    "That classifier on real held-out tokens: right shape",
    ">=",
    "",
  ),
  (
    "min_classifier_accuracy",
    "classifier_motion_accuracy",
    "That classifier on real held-out tokens: right motion",
    ">=",
    "",
  ),
  (
    "min_probe_motion_accuracy",
    "probe_motion_accuracy",
    "Probes of tokens or features: right motion, the best of them",
    ">=",
    "",
  ),
)


def make(
  measured: Mapping[str, float | None],
  settings: EvaluationConfig,
  motions: Sequence[str],
) -> list[dict[str, Any]]:
  """Returns the checks as `scores.json` has them.

  Args:
    measured: Numbers by key: those of `TARGETS`, of `ade_key` and of
      `probe_key`.
    settings: `config.evaluation`; targets that are None are not checked.
    motions: Names of all motions of the data.
  """
  checks = []
  for field, key, name, comparison, unit in TARGETS:
    target = getattr(settings, field)
    if target is not None:
      value = measured.get(key)
      checks.append(check(name, value, target, comparison, unit))
  if settings.motions_below_baselines:
    checks += _motion_checks(measured, motions)
  if settings.probes_below_baselines:
    checks += _probe_checks(measured)
  return checks


def ade_key(motion: str, clips: str) -> str:
  """Returns the key of an ADE of predicted clips, or of a baseline's."""
  return f"ade/{motion}/{clips}"


def probe_key(place: str, reader: str) -> str:
  """Returns the key of a probe's distance: of the best one, or a baseline."""
  return f"probe/{place}/{reader}"


def _motion_checks(measured, motions) -> Iterator[dict[str, Any]]:
  for motion in motions or ("each",):
    for baseline in PREDICTION_BASELINES:
      yield check(
        f"Predicted ADE on {motion} motion: below {baseline}",
        measured.get(ade_key(motion, PREDICTED)),
        measured.get(ade_key(motion, baseline)),
        "<",
        "m",
      )


def _probe_checks(measured) -> Iterator[dict[str, Any]]:
  for place in PROBE_PLACES:
    for baseline in (CONSTANT_VELOCITY, PIXELS):
      yield check(
        f"Position at {place} by the best probe of tokens or features: below "
        f"{baseline}",
        measured.get(probe_key(place, "best")),
        measured.get(probe_key(place, baseline)),
        "<",
        "m",
      )


def check(
  name: str,
  value: float | None,
  threshold: float | None,
  comparison: str,
  unit: str = "",
) -> dict[str, Any]:
  """Returns a check as `scores.json` has it.

  Args:
    name: What is checked.
    value: As measured; None or NaN: it was not.
    threshold: What is asked.
    comparison: One of `WANTED`.
    unit: Of both numbers.
  """
  value, threshold = _known(value), _known(threshold)
  passed = False
  if value is not None and threshold is not None:
    passed = {
      ">=": value >= threshold,
      "<=": value <= threshold,
      "<": value < threshold,
    }[comparison]
  return {
    "name": name,
    "value": value,
    "threshold": threshold,
    "comparison": comparison,
    "passed": passed,
    "unit": unit,
  }


def _known(number: float | None) -> float | None:
  return None if number is None or math.isnan(number) else float(number)


def worse_than_copying(measured: Mapping[str, float | None]) -> str:
  """Returns a sentence if the prediction is worse than a copy; else ""."""
  ratio = _known(measured.get("ade_over_copy_last"))
  gain = _known(measured.get("foreground_psnr_over_copy_last_db"))
  if ratio is not None and ratio > 1:
    how = f"its error in metres is {ratio:.2f} times as large"
  elif ratio is None and gain is not None and gain < 0:
    how = f"its foreground PSNR is {-gain:.2f} dB lower"
  else:
    return ""
  return f"The prediction is worse than copying the last given frame: {how}."


def warning_of(folder: pathlib.Path) -> str:
  """Returns the warning in the `scores.json` of a folder, or ""."""
  return str(_scores(folder).get("warning") or "")


def log_missed(folder: pathlib.Path) -> None:
  """Warns in the log of a poor prediction, and of the checks that missed."""
  found = _scores(folder).get("checks", [])
  missed = [check["name"] for check in found if not check["passed"]]
  if warning_of(folder):
    logging.warning("%s", warning_of(folder))
  if missed:
    names = "; ".join(missed)
    logging.warning(
      "%d of %d checks do not hold: %s.", len(missed), len(found), names
    )


def log(entry: Mapping[str, Any]) -> None:
  """Says in the log how a check came out."""
  logging.info("%s", say(entry))


def _scores(folder: pathlib.Path) -> dict[str, Any]:
  path = folder / "scores.json"
  return json.loads(path.read_text()) if path.exists() else {}


def say(check: Mapping[str, Any]) -> str:
  """Returns a check as a line of text."""
  unit = f" {check['unit']}" if check["unit"] else ""

  def text(number):
    return "not measured" if number is None else f"{number:.4g}{unit}"

  return (
    f"{check['name']}: {text(check['value'])} (target: "
    f"{WANTED[check['comparison']]} {text(check['threshold'])}) - "
    f"{'passed' if check['passed'] else 'MISSED'}"
  )
