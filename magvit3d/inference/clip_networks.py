"""Trained networks as functions of NumPy arrays with any number of clips.

They are jitted once: clips are worked on a fixed number at a time, so that
what becomes of a clip does not depend on how many others there are.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from magvit3d.inference.batched import map_batches
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.models.cameras import Cameras
from magvit3d.parallel import sharding
from magvit3d.parallel.number_types import in_own_types
from magvit3d.tokens import surprise


class ClipNetworks:
  """Tokenizer and transformer, on all devices of this process.

  Args:
    trained: Networks.
    batch_size: Clips at a time; made a multiple of the number of devices.
  """

  def __init__(self, trained: TrainedNetworks, batch_size: int):
    self._mesh = sharding.make_mesh()
    self.batch_size = sharding.divisible_batch_size(batch_size, self._mesh)
    self.model = trained.model
    self._tokenizer_params = trained.tokenizer_params
    self._transformer_params = trained.transformer_params
    self._precision = trained.config.matmul_precision

  @in_own_types
  def encode(
    self, clips: Float[np.ndarray, "b t h w 3"]
  ) -> Int[np.ndarray, "b s y x"]:
    """Returns the tokens of clips in [0, 1]."""
    return self._map(self._encode, self._tokenizer_params, {"clips": clips})

  @functools.cached_property
  def _encode(self):
    def encode(params, batch):
      return self.model.encode(params, batch["clips"]).astype(jnp.int32)

    return jax.jit(encode)

  @in_own_types
  def decode(
    self, tokens: Int[np.ndarray, "b s y x"]
  ) -> Float[np.ndarray, "b t h w 3"]:
    """Returns the clips in [0, 1] that tokens stand for."""
    return self._map(self._decode, self._tokenizer_params, {"tokens": tokens})

  @functools.cached_property
  def _decode(self):
    def decode(params, batch):
      clips = self.model.tokenizer.apply(
        {"params": params}, batch["tokens"], method="decode_tokens"
      )
      return jnp.clip(clips, 0, 1)

    return jax.jit(decode)

  @in_own_types
  def complete(
    self,
    task_index: int,
    labels: Int[np.ndarray, " b"],
    cond_tokens: Int[np.ndarray, "b s y x"],
    cond_mask: Bool[np.ndarray, "b s y x"],
    seed: int,
    condition_mode: str | None = None,
    cameras: Cameras | None = None,
    is_given: Bool[np.ndarray, "b v"] | None = None,
  ) -> Int[np.ndarray, "b s y x"]:
    """Returns the tokens that a task makes of a condition.

    Args:
      task_index: Of `model.tasks`.
      labels: Classes; the number of classes stands for none.
      cond_tokens: Of the condition.
      cond_mask: Where they say something.
      seed: Of all draws; each batch has random numbers of its own.
      condition_mode: Takes the place of the task's, if given.
      cameras: Of scenes with several views, whose grids stand behind one
        another along s; else None.
      is_given: Which of the views are given.
    """
    arrays = {
      "labels": labels.astype(np.int32),
      "cond_tokens": cond_tokens,
      "cond_mask": cond_mask,
      "number": np.arange(len(labels), dtype=np.int32),
    }
    if cameras is not None:
      arrays |= dataclasses.asdict(cameras)
    if is_given is not None:
      arrays["is_given"] = is_given
    complete = functools.partial(
      self._complete, task_index=task_index, condition_mode=condition_mode
    )
    key = jax.random.key(seed)
    return self._map(complete, (self._transformer_params, key), arrays)

  @functools.cached_property
  def _complete(self):
    def complete(params_and_key, batch, *, task_index, condition_mode):
      params, key = params_and_key
      steps = self.model.generate(
        params,
        jax.random.fold_in(key, batch["number"][0]),
        task_index,
        batch["labels"],
        batch["cond_tokens"],
        cond_mask=batch["cond_mask"],
        condition_mode=condition_mode,
        cameras=Cameras.from_batch(batch),
        is_given=batch.get("is_given"),
      )
      return steps.tokens[-1]

    return jax.jit(complete, static_argnames=("task_index", "condition_mode"))

  @in_own_types
  def frame_bits(
    self,
    task_index: int,
    labels: Int[np.ndarray, " b"],
    tokens: Int[np.ndarray, "b s y x"],
    seed: int,
    cameras: Cameras | None = None,
    *,
    past_alone: bool = False,
    num_draws: int | None = None,
  ) -> Float[np.ndarray, "b t"]:
    """Returns the bits of each latent frame; see `surprise.frame_bits`."""
    arrays = {
      "labels": labels.astype(np.int32),
      "tokens": tokens,
      "number": np.arange(len(labels), dtype=np.int32),
    }
    if cameras is not None:
      arrays |= dataclasses.asdict(cameras)
    frame_bits = functools.partial(
      self._frame_bits,
      task_index=task_index,
      past_alone=past_alone,
      num_draws=num_draws,
    )
    key = jax.random.key(seed)
    return self._map(frame_bits, (self._transformer_params, key), arrays)

  @functools.cached_property
  def _frame_bits(self):
    def frame_bits(params_and_key, batch, **options):
      params, key = params_and_key
      return surprise.frame_bits(
        self.model,
        params,
        jax.random.fold_in(key, batch["number"][0]),
        batch["tokens"],
        batch["labels"],
        cameras=Cameras.from_batch(batch),
        **options,
      )

    options = ("task_index", "past_alone", "num_draws")
    return jax.jit(frame_bits, static_argnames=options)

  def _map(self, function, params: Any, arrays: dict[str, np.ndarray]) -> Any:
    with jax.default_matmul_precision(self._precision):
      return map_batches(
        lambda batch: function(params, batch),
        arrays,
        self.batch_size,
        self._mesh,
      )
