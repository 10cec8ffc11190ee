"""Program of parallel_test.py: some steps of a stage on a mesh.

  python parallel_steps.py FOLDER DATA FSDP TENSOR [ADDRESS COUNT ID]

Writes FOLDER/gradients.npz, of the first step, and the metrics of 20 steps.
"""

import pathlib
import sys

import jax
import numpy as np
import shrunk

from magvit3d import console, processes, sharding, sharding_rules
from magvit3d.data.batches import make_batches
from magvit3d.tokens.token_model import TokenModel
from magvit3d.training import loop
from magvit3d.training.checkpoints import Checkpoints
from magvit3d.training.tokenizer import TokenizerStage
from magvit3d.training.transformer import TransformerStage

NUM_STEPS = 20
BATCH_SIZE = 8
_GRID, _NUM_CLASSES, _NUM_CODES = (4, 6, 6), 12, 32


class _Clips:
  """Noise with a square in it, of two brightnesses."""

  def __len__(self):
    return 24

  def __getitem__(self, index):
    rng = np.random.default_rng(int(index))
    frames = rng.integers(0, 256, (8, 24, 24, 3)).astype(np.uint8)
    masks = np.zeros(frames.shape[:-1], np.uint8)
    masks[:, 4:12, 8:16] = 1
    frames[masks == 1] = 255 * (index % 2)
    return {"frames": frames, "masks": masks, "labels": np.int32(index % 12)}


class _Tokens:
  def __len__(self):
    return 24

  def __getitem__(self, index):
    rng = np.random.default_rng(int(index))
    tokens = rng.integers(0, _NUM_CODES, (3, *_GRID)).astype(np.int32)
    return {
      "tokens": tokens[0],
      "cond_tokens": tokens[1:],
      "labels": np.int32(index % _NUM_CLASSES),
    }


def _make_config():
  training = dict(num_steps=1000, warmup_steps=100, batch_size=BATCH_SIZE)
  fields = {
    f"{section}__{name}": value
    for section in ("train_tokenizer", "train_transformer")
    for name, value in training.items()
  }
  return shrunk.make_config(
    vqgan__discriminator_start_step=0,
    vqgan__quantizer_start_step=0,
    vqgan__codebook_init_clips=0,
    transformer__num_heads=4,
    transformer__dropout_rate=0.1,
    **fields,
  )


def _gradients(stage, source, mesh):
  """Gradients of the first step, whole, by path."""
  with jax.set_mesh(mesh):
    shapes = jax.eval_shape(stage.init_state)
    places = sharding_rules.state_shardings(shapes, mesh)
    state = jax.jit(stage.init_state, out_shardings=places)()
    rows = [source[i] for i in range(BATCH_SIZE)]
    batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    batch = sharding.shard_same_batch(batch, mesh)
    grads = jax.jit(stage.gradients)(state, batch, stage.frozen)[0]
    if isinstance(stage, TokenizerStage):
      grads = grads[0]
  leaves, _ = jax.tree_util.tree_flatten_with_path(sharding.fetch(grads))
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _train(name, stage, source, mesh, folder):
  batches = make_batches(
    source,
    batch_size=BATCH_SIZE // jax.process_count(),
    seed=0,
    num_threads=1,
    shard_index=jax.process_index(),
    shard_count=jax.process_count(),
  )
  checkpoints = Checkpoints(folder / name / "checkpoints", {})
  options = loop.LoopOptions(
    num_steps=NUM_STEPS,
    log_every_steps=1,
    validate_every_steps=NUM_STEPS,
    checkpoint_every_steps=NUM_STEPS,
    max_skipped_steps=0,
  )
  try:
    loop.train(
      name,
      stage,
      workdir=folder,
      batches=batches,
      options=options,
      checkpoints=checkpoints,
      mesh=mesh,
      validate=lambda state: {},
    )
  finally:
    batches.close()
    checkpoints.close()


def main(folder, data, fsdp, tensor, address=None, count=None, number=None):
  if address:
    processes.start(address, int(count), int(number))
  console.set_up(is_quiet=not processes.is_main())
  mesh = sharding.make_mesh(
    {"data": int(data), "fsdp": int(fsdp), "tensor": int(tensor)}
  )
  folder = pathlib.Path(folder)
  config = _make_config()
  model = TokenModel(config, 8, _NUM_CLASSES, _GRID)
  stages = {
    "tokenizer": (TokenizerStage(config, 1000, (8, 24, 24, 3)), _Clips()),
    "transformer": (TransformerStage(config, model, 1000, ()), _Tokens()),
  }
  for name, (stage, source) in stages.items():
    gradients = _gradients(stage, source, mesh)
    if processes.is_main():
      (folder / name).mkdir(parents=True, exist_ok=True)
      np.savez(folder / name / "gradients.npz", **gradients)
    _train(name, stage, source, mesh, folder)


if __name__ == "__main__":
  main(*sys.argv[1:])
