"""How many steps of each stage fit into a time."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

TRAINED = ("tokenizer", "transformer")
# Takes the place of what the config says where evaluation takes too long.
SHORT_EVALUATION = {
  "evaluation.num_clips": 96,
  "evaluation.num_probe_scenes": 0,
}
_SAFETY = 0.85  # Share of the time that steps may take.
_TOKENIZER_SHARE = 0.6
_START_S = 15.0  # Imports, checks and restoring, for each call.
_SHORT_EVALUATION_SHARE = 0.3
_NUM_CHECKPOINTS = 4
_NUM_VALIDATIONS = 4
_NUM_LOGS = 60
_MIN_LOG_INTERVAL = 10  # A log waits for the device.
_STEPS_WITHOUT_PILOT = 5  # Times its number of steps.


class Plan(NamedTuple):
  """What the long run does.

  Attributes:
    tokenizer_steps: Of the first stage.
    transformer_steps: Of the second.
    evaluation_s: Kept for evaluation and report.
    has_short_evaluation: Whether `SHORT_EVALUATION` is taken.
  """

  tokenizer_steps: int
  transformer_steps: int
  evaluation_s: float
  has_short_evaluation: bool


def make(
  seconds: Mapping[str, float],
  step_s: Mapping[str, float],
  *,
  num_pilot_steps: int,
  seconds_left: float,
  is_evaluated: bool,
) -> Plan:
  """Plans from what a short run of all stages took.

  Args:
    seconds: Of each stage.
    step_s: Of a step, of those that train.
    num_pilot_steps: Steps that it had of each.
    seconds_left: For training and evaluation.
    is_evaluated: Whether its evaluation was done within the time it had.
  """
  fixed_s = sum(
    max(0.0, seconds[name] - num_pilot_steps * step_s[name]) for name in TRAINED
  )
  evaluation_s = seconds["evaluate"] + seconds["report"] + _START_S
  is_short = not is_evaluated or evaluation_s > seconds_left / 2
  if is_short:
    evaluation_s = _SHORT_EVALUATION_SHARE * seconds_left
  left = seconds_left - fixed_s - evaluation_s - _START_S
  left = max(0.0, left) * _SAFETY
  shares = (_TOKENIZER_SHARE, 1 - _TOKENIZER_SHARE)
  steps = [
    max(num_pilot_steps, int(left * share / step_s[name]))
    for name, share in zip(TRAINED, shares, strict=True)
  ]
  return Plan(*steps, evaluation_s, is_short)


def without_pilot(num_pilot_steps: int, seconds_left: float) -> Plan:
  """Plans where the short run failed: few steps, which the clock may stop."""
  steps = _STEPS_WITHOUT_PILOT * num_pilot_steps
  return Plan(steps, steps, _SHORT_EVALUATION_SHARE * seconds_left, True)


def scaled_fields(
  config: Mapping[str, Any], tokenizer_steps: int, transformer_steps: int
) -> dict[str, Any]:
  """Returns the fields of a run with other numbers of steps, by path.

  What happens at a step moves in proportion; intervals are those of a run that
  is looked at some times on its way.
  """
  steps = dict(zip(TRAINED, (tokenizer_steps, transformer_steps), strict=True))
  fields = {}
  for name, count in steps.items():
    section = f"train_{name}"
    ratio = count / _planned_steps(config, section)
    warmup = config[section]["warmup_steps"]
    fields |= {
      f"{section}.num_steps": count,
      f"{section}.warmup_steps": max(1, min(round(warmup * ratio), count // 4)),
      f"{section}.log_every_steps": max(
        _MIN_LOG_INTERVAL, _interval(count, _NUM_LOGS)
      ),
      f"{section}.validate_every_steps": _interval(count, _NUM_VALIDATIONS),
      f"{section}.checkpoint_every_steps": _interval(count, _NUM_CHECKPOINTS),
    }
  ratio = tokenizer_steps / _planned_steps(config, "train_tokenizer")
  for name in ("discriminator_start_step", "quantizer_start_step"):
    start = config["vqgan"][name]
    if start is not None:
      fields[f"vqgan.{name}"] = round(start * ratio)
  period = config["vqgan"]["dead_code_reset_steps"]
  if period is not None:
    fields["vqgan.dead_code_reset_steps"] = max(1, round(period * ratio))
  return fields


def _interval(num_steps: int, count: int) -> int:
  return max(1, math.ceil(num_steps / count))


def _planned_steps(config: Mapping[str, Any], section: str) -> float:
  training, data = config[section], config["data"]
  if training["num_steps"] is not None:
    return training["num_steps"]
  num_clips = 3 * data["num_train"]  # Of the three cameras.
  return num_clips * training["num_epochs"] / training["batch_size"]
