"""Memory of a transformer's step on scenes of several views.

  python benchmarks/multiview_memory.py --num_views=3,8 --scenes=1

Computes, from the shapes that autodiff keeps, the memory of a training step of
configs/traj3d_multiview.py: parameters with optimizer and gradients; what the
forward pass keeps; and with `transformer.remat` the layer that is computed
again. Needs no accelerator. --run also compiles and runs steps, and prints what
XLA planned, the time of a step and the device's peak. (XLA on a CPU computes
nothing again: there, both rows have the same plan.)
"""

import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import traj3d_multiview
from magvit3d.config.run import RunConfig
from magvit3d.models.bert_layers import BertLayer
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.masked_stage import TransformerStage

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
    RunConfig.from_dict(config),
    16,
    12,
    _GRID,
    num_cameras=num_views,
    image_size=128,
  )
  return TransformerStage(RunConfig.from_dict(config), model, 10_000, ())


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


def num_bytes(tree: Any) -> int:
  """Returns the bytes of arrays, or of their shapes."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def kept_bytes(function: Callable, *arguments: Any) -> int:
  """Returns what a function's backward pass needs of its forward pass.

  Autodiff's list: arguments are on it, fusion and in-place updates are not.
  """
  return num_bytes(
    jax.eval_shape(lambda *a: jax.vjp(function, *a)[1], *arguments)
  )


def step_bytes(stage: TransformerStage, batch: Any) -> tuple[int, int, int]:
  """Computes the memory of a step, in bytes.

  Returns:
    state: Parameters, what the optimizer keeps of them, and gradients.
    kept: Of the forward pass, for the backward pass.
    again: A layer that is computed again then; 0 without remat.
  """
  state = jax.eval_shape(stage.init_state)
  network = stage.model.transformer
  ids, _, camera = jax.eval_shape(stage.model.init_arguments)
  count = len(batch["labels"])
  ids, camera = (
    jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype) for x in (ids, camera)
  )

  def forward(params):
    rng = {"dropout": jax.random.key(0)}
    logits = network.apply(
      {"params": params},
      jnp.zeros(ids.shape, ids.dtype),
      None,
      jnp.zeros(camera.shape, camera.dtype),
      train=True,
      rngs=rng,
    )
    return jax.nn.log_softmax(logits)

  kept = kept_bytes(forward, state.params) - num_bytes(state.params)
  again = 0
  if network.remat:
    layer = BertLayer(
      network.num_heads,
      network.mlp_dim,
      network.dropout_rate,
      network.attention_dropout_rate,
      network.dtype,
      jax.nn.initializers.zeros,
      network.attention_implementation,
    )
    params = state.params["BertLayer_0"]
    hidden = jax.ShapeDtypeStruct((*ids.shape, network.hidden_size), np.float32)

    def run(params, x):
      rng = {"dropout": jax.random.key(0)}
      return layer.apply({"params": params}, x, True, rngs=rng)

    again = kept_bytes(run, params, hidden) - num_bytes(params)
  return num_bytes(state) + num_bytes(state.params), kept, again


def report(num_views: int, scenes: int, remat: bool) -> None:
  """Prints a row."""
  stage = make_stage(num_views, remat)
  batch = make_batch(stage, scenes)
  sizes = step_bytes(stage, batch)
  row = [
    num_views,
    num_views * int(np.prod(_GRID)),
    scenes,
    "yes" if remat else "no",
    *(f"{size / 2**30:.1f}" for size in (*sizes, sum(sizes))),
  ]
  if _RUN.value:
    row += _measure(stage, batch)
  print(" | ".join(map(str, row)), flush=True)


def _measure(stage, batch) -> list[str]:
  step = jax.jit(stage.train_step, donate_argnums=0)
  state = jax.jit(stage.init_state)()
  compiled = step.lower(state, batch, ()).compile()
  plan = compiled.memory_analysis()
  planned = plan.argument_size_in_bytes + plan.temp_size_in_bytes
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
    f"{planned / 2**30:.1f}",
    f"{step_s:.3f}",
    "unknown" if peak is None else f"{peak / 2**30:.1f}",
  ]


def main(argv: list[str]) -> None:
  del argv
  print(f"{jax.devices()[0].device_kind}, {_VARIANT.value}, {_DTYPE.value}")
  heads = (
    "views | tokens | scenes | remat | state | kept | again | together, GiB"
  )
  more = " | XLA's plan, GiB | step, s | peak so far, GiB"
  print(heads + (more if _RUN.value else ""))
  for num_views in map(int, _NUM_VIEWS.value):
    for scenes in map(int, _SCENES.value):
      for remat in (False, True):
        report(num_views, scenes, remat)


if __name__ == "__main__":
  app.run(main)
