"""A batch gives the same step on one device, on many, and in two processes."""

import json
import socket
import subprocess
import sys

import jax
import numpy as np
import parallel_steps
import pytest
import shrunk

# float32 sums in another order: 20 steps with a long warm-up stay as near as
# this, and the gradients of the first one are nearer.
_GRADIENT_TOLERANCE = 1e-5
_LOSS_TOLERANCE = 1e-4
_MESHES = {
  "data": (8, 1, 1),
  "data x fsdp": (2, 4, 1),
  "data x fsdp x tensor": (2, 2, 2),
}


def _start(folder, mesh, num_devices, *distributed):
  environment = shrunk.make_environment(num_devices)
  environment["PYTHONPATH"] += f":{shrunk.ROOT / 'tests/fixtures'}"
  if jax.config.jax_compilation_cache_dir:
    cache = jax.config.jax_compilation_cache_dir
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
  arguments = [parallel_steps.__file__, folder, *mesh, *distributed]
  return subprocess.Popen(
    [sys.executable, *map(str, arguments)],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _finish(process):
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return output


@pytest.fixture(scope="module")
def single(tmp_path_factory):
  folder = tmp_path_factory.mktemp("single")
  _finish(_start(folder, (1, 1, 1), 1))
  return folder


def _assert_same(found, wanted):
  for stage in ("tokenizer", "transformer"):
    _assert_same_gradients(found / stage, wanted / stage)
    metrics = [
      [
        json.loads(line)
        for line in (run / stage / "metrics.jsonl").read_text().splitlines()
      ]
      for run in (found, wanted)
    ]
    losses = [key for key in metrics[1][0] if key.endswith("loss")]
    assert len(losses) >= 1 and len(metrics[1]) == parallel_steps.NUM_STEPS
    for key in losses:
      values = [[step[key] for step in run] for run in metrics]
      np.testing.assert_allclose(
        *values, rtol=_LOSS_TOLERANCE, atol=1e-7, err_msg=key
      )


def _assert_same_gradients(found, wanted):
  """Each network's gradient, as one long vector."""
  with (
    np.load(found / "gradients.npz") as a,
    np.load(wanted / "gradients.npz") as b,
  ):
    assert set(a.files) == set(b.files)
    players = {name.partition("]")[0] for name in b.files if "_params" in name}
    for player in players or {""}:
      names = [name for name in b.files if name.startswith(player)]
      x, y = (
        np.concatenate([arrays[name].ravel() for name in names])
        for arrays in (a, b)
      )
      assert np.linalg.norm(y) > 1e-3
      difference = np.linalg.norm(x - y) / np.linalg.norm(y)
      assert difference < _GRADIENT_TOLERANCE, (player, difference)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", _MESHES.values(), ids=_MESHES)
def test_eight_devices_train_as_one_does(single, tmp_path, mesh):
  output = _finish(_start(tmp_path, mesh, 8))
  assert ("split over" in output) == (mesh[1:] != (1, 1))
  _assert_same(tmp_path, single)


@pytest.mark.slow
def test_two_processes_train_as_one_does(single, tmp_path):
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    address = f"localhost:{probe.getsockname()[1]}"
  processes = [
    _start(tmp_path, (2, 2, 2), 4, address, 2, number) for number in range(2)
  ]
  talking, silent = map(_finish, processes)
  assert "transformer DONE" in talking
  assert "transformer" not in silent
  _assert_same(tmp_path, single)
