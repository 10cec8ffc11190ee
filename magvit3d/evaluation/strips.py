"""What networks make of some clips, beside them: looked at during training."""

from collections.abc import Callable, Mapping

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, PyTree, UInt8

from magvit3d.evaluation import tokenizer_scores, transformer_scores
from magvit3d.media import animations
from magvit3d.models import cameras
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.parallel import sharding
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.tokens.views import as_clips

NUM_CLIPS = 4


def rows_of(
  real: UInt8[np.ndarray, "n t h w 3"], made: Float[np.ndarray, "n t h w 3"]
) -> UInt8[np.ndarray, "t height width 3"]:
  """Returns frames with a row a clip: what is real, then what was made of it.

  Args:
    real: Clips.
    made: In [0, 1].
  """
  pixels = np.rint(made * 255).astype(np.uint8)
  rows = [
    animations.strip_frames(
      [one, other], predicted_columns=(1,), given_frames=0
    )
    for one, other in zip(real, pixels, strict=True)
  ]
  return np.concatenate(rows, axis=1)


def make_reconstruction_strips(
  tokenizer: Tokenizer, clips: Mapping[str, np.ndarray], mesh: Mesh
) -> Callable[[PyTree, bool], UInt8[np.ndarray, "t height width 3"]]:
  """Returns `(params, is_quantizing) -> frames` of some reconstructions."""
  frames = clips["frames"][:NUM_CLIPS]
  reconstruct = tokenizer_scores.make_reconstruct(
    tokenizer, sharding.divisible_batch_size(NUM_CLIPS, mesh), mesh
  )

  def draw(params, is_quantizing):
    made, _ = reconstruct(params, frames, is_quantizing)
    return rows_of(frames, made)

  return draw


def make_generation_strips(
  model: TokenModel,
  tokenizer_params: PyTree,
  clips: Mapping[str, np.ndarray],
  mesh: Mesh,
) -> Callable[[PyTree], UInt8[np.ndarray, "t height width 3"]]:
  """Returns `params -> frames` of samples.

  They are of the first task that is shown a part of the clips, if any.
  """
  keys = ("frames", "labels", *cameras.KEYS)
  some = {key: clips[key][:NUM_CLIPS] for key in keys if key in clips}
  size = sharding.divisible_batch_size(NUM_CLIPS, mesh)
  tokens = transformer_scores.make_tokenize(model, size, mesh)(
    tokenizer_params, some
  )
  generate = transformer_scores.make_generate(model, size, mesh, seed=0)
  decode = tokenizer_scores.make_decode(model.tokenizer, size, mesh)
  conditional = [i for i, t in enumerate(model.tasks) if t.is_conditional]
  task_index = conditional[0] if conditional else 0
  num_given = model.tasks[task_index].num_given_views
  is_given = None
  if num_given:  # The first views of each scene.
    is_given = np.arange(model.num_views) < num_given
    is_given = np.tile(is_given, (len(some["labels"]), 1))
  real = some["frames"].reshape(-1, *some["frames"].shape[-4:])

  def draw(params):
    grids = generate(params, tokens, task_index, is_given)
    made = decode(tokenizer_params, as_clips(grids, model.num_views))
    return rows_of(real[:NUM_CLIPS], made[:NUM_CLIPS])

  return draw
