"""Memory of a transformer's step on scenes of several views.

  python benchmarks/multiview_memory.py --num_views=3,8 --scenes=1

Compiles the training step of configs/traj3d_multiview.py and prints what XLA
plans to allocate, for layers that are kept and layers that are computed again
(`transformer.remat`). Nothing is run, but with --run, which also prints the
measured peak and the time of a step, where the device tells.
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import traj3d_multiview
from magvit3d.tokens.token_model import TokenModel
from magvit3d.training.transformer import TransformerStage

_VARIANT = flags.DEFINE_string("variant", "B", "Of the config.")
_NUM_VIEWS = flags.DEFINE_list("num_views", ["3", "8"], "Cameras of a scene.")
_SCENES = flags.DEFINE_list("scenes", ["1"], "Scenes of a batch.")
_DTYPE = flags.DEFINE_string("dtype", "bfloat16", "Of the computation.")
_ATTENTION = flags.DEFINE_string(
  "attention", None, "config.transformer.attention_implementation."
)
_RUN = flags.DEFINE_boolean("run", False, "Runs steps as well.")
_GRID = (4, 16, 16)
_NUM_STEPS = 5


def make_stage(num_views: int, remat: bool) -> TransformerStage:
  """Returns the stage of a config, for tokens that are made already."""
  config = traj3d_multiview.get_config(_VARIANT.value).to_dict()
  config["dtype"] = _DTYPE.value
  config["transformer"] |= {
    "num_views": num_views,
    "remat": remat,
    "attention_implementation": _ATTENTION.value,
  }
  model = TokenModel(
    config, 16, 12, _GRID, num_cameras=num_views, image_size=128
  )
  return TransformerStage(config, model, 10_000, ())


def make_batch(stage: TransformerStage, scenes: int) -> dict[str, np.ndarray]:
  """Returns a batch of one code."""
  views = stage.model.num_views
  grid = (views * _GRID[0], *_GRID[1:])
  eye = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (scenes, views, 3, 4))
  return {
    "tokens": np.zeros((scenes, *grid), np.int32),
    "cond_tokens": np.zeros((scenes, len(stage.model.tasks), *grid), np.int32),
    "labels": np.zeros(scenes, np.int32),
    "views": np.tile(np.arange(views, dtype=np.int32), (scenes, 1)),
    "intrinsics": eye[..., :3],
    "camera_from_world": eye,
  }


def report(num_views: int, scenes: int, remat: bool) -> None:
  """Prints a row."""
  stage = make_stage(num_views, remat)
  batch = make_batch(stage, scenes)
  step = jax.jit(stage.train_step, donate_argnums=0)
  state = jax.eval_shape(stage.init_state)
  started_s = time.perf_counter()
  compiled = step.lower(state, batch, ()).compile()
  compile_s = time.perf_counter() - started_s
  plan = compiled.memory_analysis()
  total = plan.argument_size_in_bytes + plan.temp_size_in_bytes
  row = [
    num_views,
    num_views * int(np.prod(_GRID)),
    scenes,
    "yes" if remat else "no",
    f"{plan.argument_size_in_bytes / 2**30:.1f}",
    f"{plan.temp_size_in_bytes / 2**30:.1f}",
    f"{total / 2**30:.1f}",
    f"{compile_s:.0f}",
  ]
  if _RUN.value:
    row += _measure(stage, compiled, batch)
  print(" | ".join(map(str, row)), flush=True)


def _measure(stage, compiled, batch) -> list[str]:
  state = jax.jit(stage.init_state)()
  batch = jax.tree.map(jnp.asarray, batch)
  state, _ = compiled(state, batch, ())
  jax.block_until_ready(state)
  started_s = time.perf_counter()
  for _ in range(_NUM_STEPS):
    state, metrics = compiled(state, batch, ())
  jax.block_until_ready(metrics)
  step_s = (time.perf_counter() - started_s) / _NUM_STEPS
  found = jax.devices()[0].memory_stats() or {}
  peak = found.get("peak_bytes_in_use")
  return [
    f"{step_s:.3f}",
    "unknown" if peak is None else f"{peak / 2**30:.1f}",
  ]


def main(argv: list[str]) -> None:
  del argv
  print(f"{jax.devices()[0].device_kind}, {_VARIANT.value}, {_DTYPE.value}")
  heads = (
    "views | tokens | scenes | remat | state, GiB | intermediate, GiB | "
    "together, GiB | compiled, s"
  )
  print(heads + (" | step, s | peak so far, GiB" if _RUN.value else ""))
  for num_views in map(int, _NUM_VIEWS.value):
    for scenes in map(int, _SCENES.value):
      for remat in (False, True):
        report(num_views, scenes, remat)


if __name__ == "__main__":
  app.run(main)
