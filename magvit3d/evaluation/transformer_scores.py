"""How well the transformer fills in hidden tokens."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, PyTree

from magvit3d.data.pixels import to_unit_range
from magvit3d.evaluation import image_metrics
from magvit3d.inference.batched import map_batches
from magvit3d.models import cameras
from magvit3d.models.cameras import Cameras
from magvit3d.tokens import vocabulary
from magvit3d.tokens.masked_model import TokenBatch, TokenModel
from magvit3d.tokens.views import in_given_views, join_views

MASKED_SHARE = 0.5


def make_masked_errors(
  model: TokenModel, task_name: str, batch_size: int, mesh: Mesh
) -> Callable[[PyTree, TokenBatch, int], tuple[np.ndarray, np.ndarray]]:
  """Returns a function that hides half of the tokens and asks for them.

  It maps `(params, tokens, seed)` to `is_wrong` and `is_masked`, both bool
  (n, t, h, w); the former is the likeliest code against the true one. Of a
  task that gives views, some are given at random.
  """
  task_index = [task.name for task in model.tasks].index(task_name)
  num_given = model.tasks[task_index].num_given_views
  prefix = model.prefix_length

  @jax.jit
  def predict(params, batch):
    cond_tokens = batch["cond_tokens"][:, task_index]
    masked = model.mask(
      batch["tokens"],
      cond_tokens,
      task_index,
      batch["score"],
      MASKED_SHARE,
      batch.get("is_given"),
    )
    sequence = model.sequence(masked, batch["labels"], cond_tokens, task_index)
    logits = model.logits(params, sequence, Cameras.from_batch(batch))
    logits = logits[:, prefix:]
    guess = jnp.argmax(logits, axis=-1).reshape(batch["tokens"].shape)
    is_masked = masked.masked_inputs == vocabulary.MASK
    return guess != batch["tokens"], is_masked

  def run(params, tokens, seed):
    rng = np.random.default_rng(seed)
    arrays = {
      "tokens": tokens.tokens,
      "cond_tokens": tokens.cond_tokens,
      "labels": tokens.labels,
      "score": rng.uniform(size=tokens.tokens.shape).astype(np.float32),
    } | _camera_arrays(tokens)
    if num_given:
      arrays["is_given"] = draw_given_views(
        rng, len(tokens.labels), model.num_views, num_given
      )
    return map_batches(
      lambda batch: predict(params, batch), arrays, batch_size, mesh
    )

  return run


def _camera_arrays(tokens: TokenBatch) -> dict[str, np.ndarray]:
  return dataclasses.asdict(tokens.cameras) if tokens.cameras else {}


def draw_given_views(
  rng: np.random.Generator, count: int, num_views: int, num_given: int
) -> Bool[np.ndarray, "n v"]:
  """Draws `num_given` views of each scene."""
  return rng.uniform(size=(count, num_views)).argsort().argsort() < num_given


def error_rates(
  is_wrong: Bool[np.ndarray, "n t h w"],
  is_masked: Bool[np.ndarray, "n t h w"],
  tokens: np.ndarray,
  cells: Bool[np.ndarray, "n t h w"],
) -> tuple[float, float]:
  """Error on the hidden tokens among `cells`: the model's, the baseline's.

  The baseline always says the most frequent of these very tokens.
  """
  asked = is_masked & cells
  baseline = image_metrics.most_frequent_token_error(tokens[asked])
  return float(np.mean(is_wrong[asked])), baseline


def make_tokenize(
  model: TokenModel, batch_size: int, mesh: Mesh
) -> Callable[[PyTree, Mapping[str, np.ndarray]], TokenBatch]:
  """Returns `(tokenizer_params, clips) -> tokens`, jitted; NumPy arrays.

  `clips` has `frames` and `labels`; see `load_clips`. With several views these
  are (n, v, t, h, w, 3), and the fields of `Cameras` are there.
  """

  @jax.jit
  def tokenize(params, batch):
    clips = to_unit_range(batch["frames"])
    return model.tokenize(
      params, clips, batch["labels"], Cameras.from_batch(batch)
    )

  def run(params, clips):
    keys = ("frames", "labels", *cameras.KEYS)
    arrays = {key: clips[key] for key in keys if key in clips}
    return map_batches(
      lambda batch: tokenize(params, batch), arrays, batch_size, mesh
    )

  return run


def make_generate(
  model: TokenModel, batch_size: int, mesh: Mesh, seed: int
) -> Callable[..., np.ndarray]:
  """Returns `(params, tokens, task_index) -> token grids`, decoded in parallel.

  One sample for each of the clips, whose labels and condition tokens are
  given; each batch has random numbers of its own. A fourth argument, bool
  (n, v), says which views are given, if the task gives any.
  """

  @functools.partial(jax.jit, static_argnums=2)
  def generate(params, batch, task_index):
    rng = jax.random.fold_in(jax.random.key(seed), batch["number"][0])
    steps = model.generate(
      params,
      rng,
      task_index,
      batch["labels"],
      batch["cond_tokens"],
      cameras=Cameras.from_batch(batch),
      is_given=batch.get("is_given"),
    )
    return steps.tokens[-1]

  def run(params, tokens, task_index, is_given=None):
    cond_tokens = tokens.cond_tokens[:, task_index]
    arrays = {
      "labels": tokens.labels,
      "cond_tokens": cond_tokens,
      "number": np.arange(len(tokens.labels), dtype=np.int32),
    } | _camera_arrays(tokens)
    if is_given is not None:
      kept = np.asarray(in_given_views(is_given, model.latent_shape[0]))
      arrays["is_given"] = is_given
      arrays["cond_tokens"] = np.where(kept, tokens.tokens, cond_tokens)
    return map_batches(
      lambda batch: generate(params, batch, task_index),
      arrays,
      batch_size,
      mesh,
    )

  return run


def make_validation(
  model: TokenModel,
  tokenizer_params: PyTree,
  clips: Mapping[str, np.ndarray],
  batch_size: int,
  mesh: Mesh,
) -> Callable[[PyTree], dict[str, float]]:
  """Returns the scores of parameters on some clips, for each task.

  The error on the hidden half of the tokens: on all cells, and on those that
  touch the object, the latter beside the most frequent token's. Without any
  masks the latter two are left out.
  """
  tokens = make_tokenize(model, batch_size, mesh)(tokenizer_params, clips)
  masks = clips["masks"]
  if model.num_views > 1:
    masks = join_views(masks)
  cells = image_metrics.foreground_cells(masks > 0, tokens.tokens.shape[1:])
  errors = {
    task.name: make_masked_errors(model, task.name, batch_size, mesh)
    for task in model.tasks
  }

  def validate(params):
    scores = {}
    for name, measure in errors.items():
      is_wrong, is_masked = measure(params, tokens, seed=0)
      everywhere = np.ones_like(cells)
      error, _ = error_rates(is_wrong, is_masked, tokens.tokens, everywhere)
      scores[f"{name}/masked_error"] = error
      if not cells.any():
        continue
      error, baseline = error_rates(is_wrong, is_masked, tokens.tokens, cells)
      scores[f"{name}/foreground_masked_error"] = error
      scores[f"{name}/foreground_most_frequent_error"] = baseline
    return scores

  return validate
