"""A small tokenizer, and the tokens of a small data set.

As a program: one of two processes that make the tokens together.

  python small_tokens.py DATA_DIR TOKENS_DIR ADDRESS ID
"""

import pathlib
import sys

import jax
import numpy as np
from small_networks import MASKGVT, TRANSFORMER, VQVAE

from data_gen.scene_source import SceneSource
from magvit3d import processes, sharding
from magvit3d.data.clips import ClipSource
from magvit3d.tokens.token_model import TokenModel
from magvit3d.training import token_cache

GRID, NUM_FRAMES, SIZE = (4, 16, 16), 8, 32
BATCH_SIZE, BATCHES_PER_SHARD = 6, 2  # Of 36 clips.


def make_model():
  config = dict(
    seed=0,
    dtype="float32",
    vqvae=dict(VQVAE, codebook_size=300),  # Tokens of two bytes.
    transformer=TRANSFORMER,
    tasks=dict(
      full_generation=dict(weight=1.0, class_conditional=True),
      frame_prediction=dict(weight=1.0, cond_frames=2, cond_latent_frames=None),
    ),
    maskgvt=MASKGVT,
  )
  return TokenModel(config, NUM_FRAMES, 12, GRID)


def make_params(model, seed=0):
  clips = np.zeros((1, NUM_FRAMES, SIZE, SIZE, 3), np.float32)
  variables = jax.jit(model.tokenizer.init)(jax.random.key(seed), clips)
  return variables["params"]


def make_tokens(folder, scenes, model, params, key="a", **options):
  """Calls `load_or_make`; `options` replace its other arguments."""
  arguments = dict(batch_size=BATCH_SIZE, mesh=sharding.make_mesh()) | options
  return token_cache.load_or_make(
    folder, ClipSource(scenes), model, params, key=key, **arguments
  )


def main(data_dir, folder, address, number):
  processes.start(address, 2, int(number))
  token_cache._BATCHES_PER_SHARD = BATCHES_PER_SHARD
  model = make_model()
  params = sharding.replicate(make_params(model), sharding.make_mesh())
  source = make_tokens(
    pathlib.Path(folder), SceneSource(data_dir, "train"), model, params
  )
  print(f"Process {number} reads {len(source)} clips.")


if __name__ == "__main__":
  main(*sys.argv[1:])
