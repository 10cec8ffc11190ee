"""Tests of benchmarks/gpu/time_plan.py."""

import pytest

from benchmarks.gpu import time_plan
from configs import traj3d

_SECONDS = {
  "data": 0.0,
  "tokenizer": 30.0,
  "transformer": 20.0,
  "evaluate": 25.0,
  "report": 5.0,
}
_STEP_S = {"tokenizer": 0.1, "transformer": 0.05}


def _make(seconds=_SECONDS, left=300.0, is_evaluated=True):
  return time_plan.make(
    seconds,
    _STEP_S,
    num_pilot_steps=40,
    seconds_left=left,
    is_evaluated=is_evaluated,
  )


def test_steps_fill_the_time_but_for_what_is_fixed():
  plan = _make()
  assert not plan.has_short_evaluation
  spent = plan.tokenizer_steps * 0.1 + plan.transformer_steps * 0.05
  fixed = (30 - 40 * 0.1) + (20 - 40 * 0.05)
  free = 300 - fixed - plan.evaluation_s
  assert 0.7 * free < spent < free
  assert plan.evaluation_s > 30


@pytest.mark.parametrize("is_evaluated", [True, False])
def test_a_long_evaluation_is_made_short(is_evaluated):
  seconds = _SECONDS | {"evaluate": 200.0 if is_evaluated else 0.0}
  plan = _make(seconds, is_evaluated=is_evaluated)
  assert plan.has_short_evaluation
  assert plan.evaluation_s == pytest.approx(90.0)


def test_there_are_some_steps_however_little_time_is_left():
  plan = _make(left=20.0)
  assert plan.tokenizer_steps == plan.transformer_steps == 40


def test_what_starts_at_a_step_moves_in_proportion():
  config = traj3d.get_config("tiny").to_dict()
  config["vqgan"] |= {
    "discriminator_start_step": 750,
    "quantizer_start_step": 300,
    "dead_code_reset_steps": 100,
  }
  config["train_tokenizer"] |= {"num_steps": 850, "warmup_steps": 20}
  config["train_transformer"] |= {"num_steps": 1500, "warmup_steps": 50}
  fields = time_plan.scaled_fields(config, 8500, 150)
  assert fields["train_tokenizer.num_steps"] == 8500
  assert fields["vqgan.discriminator_start_step"] == 7500
  assert fields["vqgan.quantizer_start_step"] == 3000
  assert fields["vqgan.dead_code_reset_steps"] == 1000
  assert fields["train_tokenizer.warmup_steps"] == 200
  assert fields["train_transformer.warmup_steps"] == 5
  assert fields["train_transformer.validate_every_steps"] == 38
  config["vqgan"]["discriminator_start_step"] = None  # There is none.
  fields = time_plan.scaled_fields(config, 8500, 150)
  assert "vqgan.discriminator_start_step" not in fields


def test_epochs_are_counted_in_steps():
  config = traj3d.get_config("S").to_dict()
  steps = 3 * 6000 * 150 // 48
  fields = time_plan.scaled_fields(config, steps, steps)
  assert fields["train_tokenizer.warmup_steps"] == 375
  assert fields["vqgan.dead_code_reset_steps"] == 1000
