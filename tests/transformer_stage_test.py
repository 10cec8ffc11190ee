"""Tests of the transformer stage's step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import transformer_config

from magvit3d.tokens import vocabulary
from magvit3d.tokens.token_model import TokenBatch, TokenModel
from magvit3d.training.transformer import TransformerStage

_LATENT_SHAPE = (2, 2, 2)


@pytest.fixture(scope="module")
def setup():
  model = TokenModel(transformer_config(), 4, 3, _LATENT_SHAPE)
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (4, 4, 4, 4, 3)).astype(np.uint8)
  batch = {
    "frames": jnp.asarray(frames),
    "labels": jnp.asarray([0, 1, 2, 0]),
  }
  clips = batch["frames"].astype(jnp.float32) / 255
  params = jax.jit(model.tokenizer.init)(jax.random.key(1), clips)["params"]
  tokens = jax.jit(model.tokenize)(params, clips, batch["labels"])
  cached = {
    "tokens": tokens.tokens,
    "cond_tokens": tokens.cond_tokens,
    "labels": tokens.labels,
  }
  stage = TransformerStage(transformer_config(), model, 1000, params)
  state = jax.jit(stage.init_state)()
  return stage, state, jax.jit(stage.train_step), batch, cached


def test_cached_tokens_give_the_step_that_frames_give(setup):
  stage, state, step, batch, cached = setup
  with_cache, metrics = step(state, cached, stage.frozen)
  without, expected = step(state, batch, stage.frozen)
  np.testing.assert_array_equal(metrics["loss"], expected["loss"])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
    with_cache.params,
    without.params,
  )


def test_same_seed_and_step_give_the_same_step(setup):
  stage, state, step, _, cached = setup
  a, first = step(state, cached, stage.frozen)
  b, _ = step(jax.jit(stage.init_state)(), cached, stage.frozen)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)
  _, later = step(state.replace(step=state.step + 1), cached, stage.frozen)
  assert later["mask_ratio"] != first["mask_ratio"]


def test_the_logged_rate_is_the_optimizers_and_the_norm_the_new_states(setup):
  """Also where the optimizer has made fewer updates than there were steps."""
  stage, state, step, _, cached = setup
  late = state.replace(step=jnp.asarray(500, jnp.int32))
  after, metrics = step(late, cached, stage.frozen)
  np.testing.assert_allclose(metrics["learning_rate"], 1e-2, rtol=1e-6)
  leaves = jax.tree.leaves(after.params)
  norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in leaves))
  np.testing.assert_allclose(metrics["param_norm"], norm, rtol=1e-5)


def test_loss_falls_on_one_batch(setup):
  stage, state, step, _, cached = setup
  values = []
  for _ in range(30):
    state, metrics = step(state, cached, stage.frozen)
    values.append(float(metrics["loss"]))
  assert np.mean(values[-5:]) < 0.7 * np.mean(values[:5])


def test_sequences_start_with_task_and_class(setup):
  stage, _, _, _, cached = setup
  model = stage.model
  names = [task.name for task in model.tasks]
  assert names == ["frame_prediction", "full_generation"]
  batch = TokenBatch(**cached)
  score = jax.random.uniform(jax.random.key(0), batch.tokens.shape)
  full = vocabulary.TASK_TOKENS["full_generation"]
  for index, class_ids in enumerate([[11] * 4, [8, 9, 10, 8]]):
    cond_tokens = batch.cond_tokens[:, index]
    masked = model.mask(batch.tokens, cond_tokens, index, score, 1.0)
    sequence = model.sequence(masked, batch.labels, cond_tokens, index)
    task = vocabulary.TASK_TOKENS[names[index]]
    np.testing.assert_array_equal(sequence.masked_inputs[:, 0], task)
    np.testing.assert_array_equal(sequence.masked_inputs[:, 1], class_ids)
    np.testing.assert_array_equal(sequence.uncond_masked_inputs[:, 0], full)
    np.testing.assert_array_equal(sequence.uncond_masked_inputs[:, 1], 11)
    np.testing.assert_array_equal(sequence.weights[:, :2], 0)
    latents = sequence.targets[:, 2:]
    np.testing.assert_array_equal(latents, batch.tokens.reshape(4, -1))


def test_generation_returns_codes(setup):
  stage, state, _, _, cached = setup
  generate = jax.jit(stage.model.generate, static_argnums=2)
  steps = generate(
    state.params,
    jax.random.key(0),
    1,
    cached["labels"],
    cached["cond_tokens"][:, 1],
  )
  got = steps.tokens[-1]
  assert got.shape == (4, *_LATENT_SHAPE)
  assert np.all((got >= 0) & (got < 8))
