"""A batch in parts gives what the whole batch gives."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import tokenizer_config, transformer_config

from magvit3d.config.run import RunConfig
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.accumulation import mean_over_parts
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage

# Sums of float32 in another order.
_TOLERANCE = dict(rtol=2e-4, atol=1e-6)


def test_parts_are_averaged_and_their_rows_joined():
  batch = {"x": jnp.arange(12.0).reshape(6, 2)}

  def function(part, number):
    assert part["x"].shape == (2, 2)
    return {"mean": jnp.mean(part["x"]), "number": number + 0.0}, part["x"]

  values, rows = jax.jit(lambda: mean_over_parts(function, batch, 3))()
  assert values == {"mean": 5.5, "number": 1.0}
  assert sorted(np.asarray(rows)[:, 0]) == [0, 2, 4, 6, 8, 10]


def test_one_part_is_the_batch_itself():
  batch = {"x": jnp.arange(3)}
  values, rows = mean_over_parts(lambda part, i: (part["x"], i), batch, 1)
  assert values is batch["x"] and rows == 0


def _tokenizer_gradients(num_parts):
  # Means over clips alone: the entropy is one of the batch.
  config = tokenizer_config()
  config["vqvae"]["entropy_loss_ratio"] = 0.0
  config["train_tokenizer"]["gradient_accumulation_steps"] = num_parts
  stage = TokenizerStage(RunConfig.from_dict(config), 1000, (2, 4, 4, 3))
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (4, 2, 4, 4, 3)).astype(np.uint8)
  batch = {"frames": frames, "masks": frames[..., 0] // 128}
  state = jax.jit(stage.init_state)()
  (grads, means, metrics), rows = jax.jit(stage.gradients)(state, batch)
  return grads, means, metrics, np.sort(rows["tokens"], axis=None)


def _transformer_gradients(num_parts, kind):
  config = transformer_config()
  config["transformer"] = config["transformer"] | {"dropout_rate": 0.0}
  config["train_transformer"]["gradient_accumulation_steps"] = num_parts
  model = TokenModel(RunConfig.from_dict(config), 4, 3, (2, 2, 2))
  rng = np.random.default_rng(0)
  batch = {"labels": np.asarray([0, 1, 2, 0])}
  params = ()
  if kind == "frames":
    frames = rng.integers(0, 256, (4, 4, 4, 4, 3)).astype(np.uint8)
    batch["frames"] = frames
    params = jax.jit(model.tokenizer.init)(jax.random.key(1), frames / 255.0)
    params = params["params"]
  else:
    batch["tokens"] = rng.integers(0, 8, (4, 2, 2, 2))
    batch["cond_tokens"] = rng.integers(0, 8, (4, 2, 2, 2, 2))
  stage = TransformerStage(RunConfig.from_dict(config), model, 1000, params)
  state = dataclasses.replace(jax.jit(stage.init_state)(), step=jnp.int32(5))
  return jax.jit(stage.gradients)(state, batch, params)


@pytest.mark.slow
@pytest.mark.parametrize(
  "compute",
  [
    _tokenizer_gradients,
    lambda num_parts: _transformer_gradients(num_parts, "tokens"),
    lambda num_parts: _transformer_gradients(num_parts, "frames"),
  ],
  ids=["tokenizer", "transformer", "transformer on frames"],
)
def test_gradients_in_parts_are_those_of_the_batch(compute):
  whole, parts = compute(1), compute(2)
  chex.assert_trees_all_close(parts, whole, **_TOLERANCE)
