"""A plan says what the programs of a run take, and starts nothing."""

import json
import math

import jax
import pytest
import shrunk

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.plan import described_devices, plan, program_bounds, table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The plan of a shrunk run on this machine, and its work folder."""
  workdir = tmp_path_factory.mktemp("plan") / "run"
  config = RunConfig.from_dict(shrunk.make_config())
  return plan.make(config, workdir, "here", price=2.0), workdir


def test_every_program_of_the_run_is_told(made):
  found, workdir = made
  assert list(found.stages) == ["tokenizer", "transformer", "decoding"]
  assert not workdir.exists()
  for stage in found.stages.values():
    assert stage.flops > 1e6 and stage.temporary_bytes > 0
    assert stage.bound_s is None and stage.fits is None  # Nobody knows.
  assert found.stages["tokenizer"].num_steps == shrunk.NUM_STEPS
  assert found.stages["tokenizer"].batch_size == 4


def test_parameters_and_state_are_those_of_training(made, tmp_path):
  run = Experiment(shrunk.make_config(), tmp_path)._run
  params = run.networks.tokenizer_shapes()
  model = run.networks.token_model(12)
  stage = run.networks.transformer_stage(model, params, 10)
  state = jax.eval_shape(stage.init_state)

  def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))

  found = made[0].stages["transformer"]
  assert found.parameters == count(state.params)
  size = sum(
    math.prod(leaf.shape) * leaf.dtype.itemsize
    for leaf in jax.tree.leaves(state)
  )
  # Besides there is the batch, a few KB of tokens.
  assert size <= found.state_bytes < 1.1 * size


def test_it_is_json_and_text(made):
  content = json.loads(json.dumps(made[0].to_json()))
  assert content["least_hours"] is None and content["least_cost"] is None
  assert {
    "parameters",
    "state_bytes",
    "temporary_bytes",
    "collective_bytes",
    "largest_collective",
    "bound_s",
    "products_s",
  } < set(content["stages"]["tokenizer"])
  text = table.to_text(made[0])
  assert "tokenizer: 4 clips a step" in text and "at least" not in text


def test_a_known_device_has_bounds_hours_and_a_cost():
  stage = plan.StagePlan(
    parameters=10,
    batch_size=16,
    num_steps=7200,
    flops=1e12,
    state_bytes=2**30,
    temporary_bytes=90 * 2**30,
    fits=False,
    largest_batch=8,
    collective_bytes=3 * 2**20,
    largest_collective={"bytes": 2**20, "operation": "all-reduce", "type": "x"},
    bound_s=0.5,
    products_s=0.25,
    longest_s={"convolution": 0.25},
    compile_s=1.0,
  )
  whole = plan.Plan("h100:8", 8, 80 * 2**30, {"tokenizer": stage}, price=2.0)
  assert whole.to_json()["least_hours"] == 1.0
  assert whole.to_json()["least_cost"] == 16.0
  text = table.to_text(whole)
  assert "500.0 ms, 50 % of it products" in text
  assert "DOES NOT FIT: tokenizer." in text
  assert "16.00 at 2 a device and hour" in text


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("a100:8", r"--plan_device=a100:8 is unknown; use here, h100:8"),
    ("v5e:8", r"v5e:8 is unknown"),
    ("h100:12", r"h100:12 fills no nodes of eight"),
  ],
)
def test_a_device_that_cannot_be_is_told(name, message):
  with pytest.raises(UserError, match=message):
    described_devices.describe(name)


def test_a_compiler_that_is_missing_is_named(monkeypatch):
  def refuse(**_):
    raise NotImplementedError("topology not implemented")

  monkeypatch.setattr(described_devices.topologies, "get_topology_desc", refuse)
  for name, extra in (("h100:8", "plan-gpu"), ("v5e:2x2", "plan-tpu")):
    with pytest.raises(UserError, match=rf"magvit3d\[{extra}\]"):
      described_devices.describe(name)


@pytest.mark.slow
def test_the_command_prints_the_plan_and_starts_nothing(tmp_path):
  found = shrunk.run_main(
    *shrunk.make_arguments(),
    f"--workdir={tmp_path / 'run'}",
    "--plan",
    f"--plan_json={tmp_path / 'plan.json'}",
    num_devices=2,
  )
  assert found.returncode == 0, found.stderr
  assert found.stdout.startswith("2 x here")
  stages = json.loads((tmp_path / "plan.json").read_text())["stages"]
  # Two devices sum their gradients, and send nothing that grows with the clips.
  gradients = 4 * stages["tokenizer"]["parameters"]
  assert 0 < stages["tokenizer"]["collective_bytes"] < 1.1 * gradients
  assert not (tmp_path / "run").exists()


def test_collectives_are_read_from_the_program():
  text = """
  %all-reduce.1 = f32[8,4]{1,0} all-reduce(%x), replica_groups={}
  %gather = (f32[2]{0}, bf16[3]{0}) all-gather-start(%y, %z), dimensions={0}
  %add = f32[8,4]{1,0} add(%a, %b)
"""
  assert program_bounds.collectives(text) == [
    (128, "all-reduce", "f32[8,4]{1,0}"),
    (14, "all-gather", "(f32[2]{0}, bf16[3]{0})"),
  ]
