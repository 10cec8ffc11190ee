"""Tests of Weights & Biases, by a module that stands for it."""

import importlib.util
import json
import sys
import types

import pytest
import shrunk

from configs import traj3d, upstream_base
from magvit3d.config.run import MonitoringConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.monitoring import metric_writers, monitor


class _Run:
  def __init__(self):
    self.logged = []
    self.exit_code = None

  def log(self, values, step):
    self.logged.append((step, values))

  def finish(self, exit_code):
    self.exit_code = exit_code


@pytest.fixture
def wandb(monkeypatch):
  module = types.ModuleType("wandb")
  module.calls, module.runs, ids = [], [], iter(("first", "second"))

  def init(**arguments):
    module.calls.append(arguments)
    module.runs.append(_Run())
    return module.runs[-1]

  module.init = init
  module.util = types.SimpleNamespace(generate_id=lambda: next(ids))
  monkeypatch.setitem(sys.modules, "wandb", module)
  return module


def _monitor(workdir, **kwargs):
  options = MonitoringConfig(wandb_project="clips")
  return monitor.Monitor(
    workdir, "tokenizer", 100, 10, options=options, **kwargs
  )


def test_scalars_and_config_go_to_the_project(wandb, tmp_path):
  with _monitor(tmp_path / "run7", document={"seed": 3}) as run:
    run.start(0)
    run.log(10, {"train/loss": 0.5, "train/x": float("nan")})
    run.log(100, {"train/loss": 0.25})
  (call,) = wandb.calls
  assert call["project"] == "clips" and call["config"] == {"seed": 3}
  assert call["name"] == "run7/tokenizer" and call["group"] == "run7"
  assert [step for step, _ in wandb.runs[0].logged] == [10, 100]
  assert wandb.runs[0].logged[0][1] == {"train/loss": 0.5}
  assert wandb.runs[0].exit_code == 0


def test_a_resume_goes_on_with_the_same_run(wandb, tmp_path):
  for step in (0, 50):
    with _monitor(tmp_path) as run:
      run.start(step)
  assert [call["id"] for call in wandb.calls] == ["first", "first"]
  assert {call["resume"] for call in wandb.calls} == {"allow"}
  with _monitor(tmp_path / "other") as run:
    run.start(0)
  assert wandb.calls[-1]["id"] == "second"


def test_a_failed_run_is_one_there_too(wandb, tmp_path):
  with pytest.raises(ValueError), _monitor(tmp_path) as run:
    run.start(0)
    raise ValueError("loss is NaN")
  assert wandb.runs[0].exit_code == 1


def test_other_processes_and_other_configs_do_without(wandb, tmp_path):
  with _monitor(tmp_path, is_main_process=False) as run:
    run.start(0)
  with monitor.Monitor(tmp_path, "tokenizer", 100, 10) as run:
    run.start(0)
  assert wandb.calls == []


def test_a_login_that_is_missing_says_what_to_do(wandb, tmp_path):
  def init(**_):
    raise RuntimeError("no API key")

  wandb.init = init
  message = (
    r"config\.monitoring\.wandb_project='clips'.*no API key.*wandb login"
  )
  with pytest.raises(UserError, match=message), _monitor(tmp_path) as run:
    run.start(0)
  status = json.loads((tmp_path / "status.json").read_text())
  assert status["state"] == "FAILED" and "no API key" in status["reason"]


def test_a_package_that_is_missing_is_told_at_the_start(monkeypatch, tmp_path):
  monkeypatch.delitem(sys.modules, "wandb", raising=False)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(
    UserError,
    match=r"config\.monitoring\.wandb_project='clips' .*pip install wandb",
  ):
    Experiment(shrunk.make_config(monitoring__wandb_project="clips"), tmp_path)
  with pytest.raises(UserError, match="wandb_project=''"):
    metric_writers.check_wandb("")


@pytest.mark.parametrize("field", ["stall_after_s", "peak_flops_per_second"])
def test_values_that_cannot_be_name_their_field(field):
  block = traj3d.get_config().monitoring.to_dict() | {field: 0.0}
  with pytest.raises(UserError, match=rf"config\.monitoring\.{field}=0\.0 "):
    MonitoringConfig(**block)


def test_the_configs_hold_the_defaults():
  upstream = upstream_base.make_vqgan(
    "vqgan3d_bair_config", "B", "3dcnn", upstream_base.BAIR, {"B": 400}
  )
  for config in (traj3d.get_config(), upstream):
    block = config.monitoring.to_dict()
    assert MonitoringConfig(**block) == MonitoringConfig()
