"""Rules by which parameters are split."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import shrunk
from jax.sharding import PartitionSpec

from configs import traj3d
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.parallel.sharding_rules import leaf_spec
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage

_ATTENTION = "params/BertLayer_3/BertAttention_0/self_attention"


@pytest.mark.parametrize(
  ("path", "shape", "fsdp", "tensor", "wanted"),
  [
    (f"{_ATTENTION}/query/kernel", (768, 12, 64), 1, 2, (None, "tensor", None)),
    (f"{_ATTENTION}/query/kernel", (768, 12, 64), 8, 2, ("fsdp", "tensor")),
    (f"{_ATTENTION}/value/bias", (12, 64), 1, 4, ("tensor", None)),
    (f"{_ATTENTION}/out/kernel", (12, 64, 768), 8, 3, ("tensor", None, "fsdp")),
    (f"{_ATTENTION}/out/bias", (768,), 1, 4, (None,)),
    ("BertMlp_0/intermediate_output/kernel", (8, 64), 1, 2, (None, "tensor")),
    ("BertMlp_0/intermediate_output/bias", (64,), 1, 2, ("tensor",)),
    ("BertMlp_0/layer_output/kernel", (64, 8), 1, 2, ("tensor", None)),
    ("MlpBlock_0/Dense_0/kernel", (8, 64), 1, 2, (None, "tensor")),
    ("MlpBlock_0/Dense_1/kernel", (64, 8), 1, 2, ("tensor", None)),
    ("SelfAttention_0/out/kernel", (4, 2, 8), 1, 2, ("tensor", None, None)),
    ("Dense_0/kernel", (8, 64), 1, 2, (None, None)),
    ("Conv_0/kernel", (3, 3, 3, 64, 64), 8, 1, (*[None] * 4, "fsdp")),
    ("Conv_0/kernel", (3, 3, 3, 64, 3), 8, 1, (*[None] * 3, "fsdp", None)),
    ("Conv_0/kernel", (3, 3, 3, 5, 23), 8, 1, (None,) * 5),  # None divides.
    ("Conv_0/bias", (64,), 8, 1, (None,)),  # Too small.
  ],
)
def test_axis_of_a_parameter(path, shape, fsdp, tensor, wanted):
  found = leaf_spec(path, shape, {"data": 1, "fsdp": fsdp, "tensor": tensor})
  padded = tuple(found) + (None,) * (len(shape) - len(found))
  assert padded == wanted + (None,) * (len(shape) - len(wanted))


def test_heads_that_do_not_divide_are_refused():
  with pytest.raises(UserError, match=r"mesh.tensor=5 .* 12 heads.*num_heads"):
    leaf_spec(
      f"{_ATTENTION}/key/kernel", (768, 12, 64), {"fsdp": 1, "tensor": 5}
    )


def _print_bytes():
  """Bytes of parameters and of states on a device, split and not."""
  config = traj3d.get_config("S").to_dict()
  model = TokenModel(RunConfig.from_dict(config), 16, 12, (4, 16, 16))
  stages = {
    "tokenizer": TokenizerStage(
      RunConfig.from_dict(config), 1000, (16, 128, 128, 3)
    ),
    "transformer": TransformerStage(
      RunConfig.from_dict(config), model, 3000, ()
    ),
  }
  sizes = {}
  for name, stage in stages.items():
    shapes = jax.eval_shape(stage.init_state)
    for fsdp in (1, 8):
      mesh = sharding.make_mesh({"data": -1, "fsdp": fsdp, "tensor": 1})
      places = sharding_rules.state_shardings(shapes, mesh)
      sizes[f"{name} {fsdp}"] = sharding_rules.bytes_per_device(shapes, places)
      table = sharding_rules.table(shapes, places)
      sizes[f"{name} {fsdp} table"] = table
  # And real arrays, where the devices say what they hold.
  mesh = sharding.make_mesh({"data": 1, "fsdp": 8, "tensor": 1})
  places = sharding_rules.state_shardings(shapes, mesh)
  params = jax.tree.map(
    lambda leaf, place: jax.device_put(np.zeros(leaf.shape, leaf.dtype), place),
    shapes.params,
    places.params,
  )
  leaves = jax.tree.leaves(params)
  sizes["whole"] = sum(leaf.nbytes for leaf in leaves)
  sizes["held"] = max(
    sum(leaf.addressable_shards[i].data.nbytes for leaf in leaves)
    for i in range(8)
  )
  print(json.dumps(sizes))


@pytest.mark.slow
def test_a_device_holds_an_eighth_under_fsdp():
  environment = shrunk.make_environment(8)
  here = pathlib.Path(__file__).parent
  environment["PYTHONPATH"] += f":{shrunk.ROOT / 'tests/fixtures'}:{here}"
  program = "import sharding_rules_test as test; test._print_bytes()"
  found = subprocess.run(
    [sys.executable, "-c", program],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  sizes = json.loads(found.stdout)
  for name in ("tokenizer", "transformer"):
    assert sizes[f"{name} 8"] <= sizes[f"{name} 1"] / 7
  assert sizes["held"] <= sizes["whole"] / 7
  table = sizes["transformer 8 table"]
  lines = [line for line in table.splitlines() if "query/kernel" in line]
  assert len(lines) == 3, table  # Parameters, and both moments.
  count, size = lines[0].split()[-2:]
  assert count == "12"  # The layers share a line.
  assert int(size.replace(",", "")) == 12 * 384 * 384 * 4 / 8
  assert "(all devices)" in table


def test_fields_that_are_no_parameters_are_whole():
  shapes = {
    "code_counts": jax.ShapeDtypeStruct((2048,), np.int32),
    "g_params": {"w": jax.ShapeDtypeStruct((2048,), np.float32)},
    "g_opt_state": {"mu": jax.ShapeDtypeStruct((2048,), np.float32)},
  }
  mesh = jax.sharding.AbstractMesh((1, 8, 1), sharding.AXES)
  found = sharding_rules.state_shardings(shapes, mesh)
  assert found["code_counts"].spec == PartitionSpec()
  assert found["g_params"]["w"].spec == PartitionSpec("fsdp")
  assert found["g_opt_state"]["mu"].spec == PartitionSpec("fsdp")


def test_nothing_is_gathered_outside_of_a_mesh():
  params = {"w": np.ones(2048)}
  assert sharding_rules.gather(params) is params
