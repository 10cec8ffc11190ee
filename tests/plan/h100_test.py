"""Steps compiled for H100s that are not here: what their devices send.

Needs CUDA's compiler, which `.ci/nightly` installs: `magvit3d[plan-gpu]`.
"""

import importlib.util
import json
import subprocess
import sys

import pytest
import shrunk

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None,
    reason="CUDA's compiler is not installed: pip install '.[plan-gpu]'.",
  ),
]
_BFLOAT16 = "--config.dtype=bfloat16"
_MAGVITS = {
  "vqgan3d_ucf101_config.py:B": (
    _BFLOAT16,
    "--config.vqgan.perceptual_loss_weight=0",
    "--config.batch_size=128",
  ),
  "maskgvt_ucf101_config.py:B": (
    _BFLOAT16,
    "--config.batch_size=64",
    "--config.eval_batch_size=64",
  ),
}


def _plan(tmp_path, config, *fields):
  path = tmp_path / "plan.json"
  found = subprocess.run(
    [
      sys.executable,
      "-m",
      "magvit3d.main",
      f"--config=configs/{config}",
      "--plan",
      "--plan_device=h100:8",
      f"--plan_json={path}",
      *fields,
    ],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
    timeout=1200,
  )
  assert found.returncode == 0, found.stderr
  return json.loads(path.read_text())


@pytest.mark.parametrize("config", _MAGVITS)
def test_data_parallel_steps_send_gradients_alone(tmp_path, config):
  """A branch around the discriminator once moved 6.2 GB of activations."""
  found = _plan(tmp_path, config, *_MAGVITS[config])
  for name in ("tokenizer", "transformer"):
    if name in found["stages"]:
      stage = found["stages"][name]
      # In the type of the computation or in float32, and a few sums besides.
      gradients = 4 * stage["parameters"]
      assert gradients / 3 < stage["collective_bytes"] < 1.1 * gradients
      assert stage["fits"] and 0 < stage["products_s"] < stage["bound_s"]
  assert found["least_hours"] > 0


@pytest.mark.parametrize(
  ("config", "names", "fields"),
  [
    ("world_model.py:tiny", ("world_model", "convlstm"), (_BFLOAT16,)),
    # The clips that it decodes are those of all devices, not of the first.
    (
      "traj2d.py:tiny",
      ("joint_i3d",),
      (
        "--config.prediction.names=joint_i3d",
        "--config.prediction.pixel_share=0.5",
        "--config.train_prediction.batch_size=128",
      ),
    ),
  ],
)
def test_steps_of_studies_send_gradients_alone(tmp_path, config, names, fields):
  found = _plan(tmp_path, config, *fields)["stages"]
  for name in names:
    stage = found[name]
    gradients = 4 * stage["parameters"]
    assert gradients / 3 < stage["collective_bytes"] < 1.1 * gradients
    assert 0 < stage["products_s"] < stage["bound_s"]
