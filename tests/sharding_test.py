"""Several devices compute what one does."""

import json
import subprocess
import sys

import jax
import pytest
import shrunk

from magvit3d import sharding
from magvit3d.errors import UserError

_PROGRAM = """
import sys, pathlib, jax, shrunk
from magvit3d.experiment import Experiment
assert len(jax.devices()) == int(sys.argv[2]), jax.devices()
fields = {
  "train_tokenizer__batch_size": 8,
  "train_transformer__batch_size": 8,
  "evaluation__batch_size": 8,
  "train_tokenizer__num_steps": 3,
  "vqgan__codebook_init_clips": 0,
  "vqgan__quantizer_start_step": 0,
  "vqgan__discriminator_start_step": 1,
  "stages": "data,tokenizer",
}
Experiment(shrunk.make_config(**fields), pathlib.Path(sys.argv[1])).run()
"""


def _losses(workdir, num_devices):
  environment = shrunk.make_environment(num_devices)
  environment["PYTHONPATH"] += f":{shrunk.ROOT / 'tests'}"
  cache = jax.config.jax_compilation_cache_dir
  if cache:
    environment["JAX_COMPILATION_CACHE_DIR"] = cache
  found = subprocess.run(
    [sys.executable, "-c", _PROGRAM, str(workdir), str(num_devices)],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  lines = (workdir / "tokenizer/metrics.jsonl").read_text().splitlines()
  return [json.loads(line)["train/g_loss"] for line in lines]


@pytest.mark.slow
def test_eight_devices_train_as_one_does(tmp_path):
  """The same global batch; only the order of float32 sums differs."""
  wanted = _losses(tmp_path / "one", 1)
  assert len(wanted) == 3
  assert _losses(tmp_path / "eight", 8) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_of_nothing_is_refused(batch_size):
  with pytest.raises(UserError, match=f"config.size={batch_size} "):
    sharding.check_batch_size("size", batch_size, sharding.make_mesh())
