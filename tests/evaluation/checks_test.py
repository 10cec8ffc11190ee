"""Checks hold only where a number was measured and reaches its target."""

import pytest

from configs import traj3d
from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.evaluation import checks
from magvit3d.evaluation.results import Results

_MOTIONS = ("linear", "helical")
# Of a good run: all that is measured.
_GOOD = {
  "ade_over_copy_last": 0.3,
  "ade_over_constant_velocity": 0.3,
  "foreground_gain_db": 12.0,
  "color_error_ratio": 0.1,
  "tokenizer_ade_m": 0.02,
  "foreground_perplexity": 60.0,
  "token_error_ratio": 0.5,
  "sample_shape_accuracy": 0.9,
  "sample_motion_accuracy": 0.9,
  "classifier_shape_accuracy": 0.95,
  "classifier_motion_accuracy": 0.95,
  "probe_motion_accuracy": 0.95,
}
_BASELINE_KEYS = {}
for _motion in _MOTIONS:
  _GOOD[checks.ade_key(_motion, checks.PREDICTED)] = 0.1
  for _name in checks.PREDICTION_BASELINES:
    _BASELINE_KEYS[checks.ade_key(_motion, _name)] = 0.2
for _place in checks.PROBE_PLACES:
  _GOOD[checks.probe_key(_place, "best")] = 0.1
  for _name in (checks.CONSTANT_VELOCITY, checks.PIXELS):
    _BASELINE_KEYS[checks.probe_key(_place, _name)] = 0.2
_GOOD |= _BASELINE_KEYS
_SETTINGS = traj3d.get_config("tiny").evaluation.to_dict() | {
  "max_ade_over_copy_last": 0.5,
  "max_ade_over_constant_velocity": 0.45,
}


def _make(measured, settings=None):
  settings = EvaluationConfig(**(settings or _SETTINGS))
  found = checks.make(measured, settings, _MOTIONS)
  assert len({check["name"] for check in found}) == len(found)
  return {check["name"]: check for check in found}


def _missed(measured):
  return {
    name for name, check in _make(measured).items() if not check["passed"]
  }


def test_a_good_run_passes_all():
  assert len(_make(_GOOD)) == 12 + 2 * 2 + 2 * 2
  assert _missed(_GOOD) == set()


@pytest.mark.parametrize("key", sorted(set(_GOOD) - set(_BASELINE_KEYS)))
def test_a_number_that_misses_fails_its_own_checks_alone(key):
  worst = -1.0 if "accuracy" in key or "gain" in key or "perpl" in key else 9.0
  missed = _missed(_GOOD | {key: worst})
  assert len(missed) == (2 if key.startswith(("ade/", "probe/")) else 1)
  assert {_make(_GOOD | {key: worst})[name]["value"] for name in missed} == {
    worst
  }


@pytest.mark.parametrize("nothing", [None, float("nan"), "absent"])
@pytest.mark.parametrize("key", sorted(_GOOD))
def test_what_is_not_measured_does_not_pass(key, nothing):
  measured = _GOOD | {key: nothing}
  if nothing == "absent":
    del measured[key]
  missed = _missed(measured)
  is_read_twice = key not in _BASELINE_KEYS and key.startswith(
    ("ade/", "probe/")
  )
  assert len(missed) == 1 + is_read_twice
  for name in missed:
    check = _make(measured)[name]
    assert None in (check["value"], check["threshold"])
    assert "not measured" in checks.say(check) and "MISSED" in checks.say(check)


@pytest.mark.parametrize("key", sorted(_BASELINE_KEYS))
def test_as_good_as_a_baseline_is_not_below_it(key):
  assert len(_missed(_GOOD | {key: 0.1})) == 1


def test_what_no_field_asks_is_not_checked():
  assert not checks.make(_GOOD, EvaluationConfig(), _MOTIONS)
  fields = {field for field, *_ in checks.TARGETS}
  assert fields < set(_SETTINGS)
  for field in (*fields, "motions_below_baselines", "probes_below_baselines"):
    assert len(_make(_GOOD, _SETTINGS | {field: None})) < len(_make(_GOOD))


def test_data_without_motions_cannot_pass_the_check_of_motions():
  found = checks.make({}, EvaluationConfig(motions_below_baselines=True), ())
  assert found and not any(check["passed"] for check in found)


@pytest.mark.parametrize(
  "measured, part",
  [
    ({"ade_over_copy_last": 1.25}, "1.25 times as large"),
    ({"foreground_psnr_over_copy_last_db": -2.0}, "2.00 dB lower"),
    (
      {"ade_over_copy_last": 0.9, "foreground_psnr_over_copy_last_db": -2.0},
      None,
    ),
    ({"ade_over_copy_last": 1.0}, None),
    ({"foreground_psnr_over_copy_last_db": 0.5}, None),
    ({}, None),
  ],
)
def test_a_prediction_worse_than_a_copy_is_told(measured, part):
  text = checks.worse_than_copying(measured)
  assert bool(text) == (part is not None)
  if part:
    assert text.startswith("The prediction is worse than copying the last")
    assert part in text


def test_results_keep_checks_and_warning(tmp_path, caplog):
  results = Results("test", has_objects=True)
  results.measured = _GOOD | {"ade_over_copy_last": 1.5}
  results.check(EvaluationConfig(**_SETTINGS), _MOTIONS)
  caplog.clear()
  results.write(tmp_path, {"key": "k"})
  text = (tmp_path / "scores.json").read_text()
  assert '"warning": "The prediction is worse than copying' in text
  assert text.count('"passed": false') == 1
  assert checks.warning_of(tmp_path).startswith("The prediction is worse")
  checks.log_missed(tmp_path)
  first, second = caplog.messages
  assert first == checks.warning_of(tmp_path)
  assert second.startswith("1 of 20 checks do not hold: Predicted ADE over")
  assert checks.warning_of(tmp_path / "none") == ""
