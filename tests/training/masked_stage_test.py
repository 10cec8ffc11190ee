"""Tests of the transformer stage's step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import transformer_config

from magvit3d.config.run import RunConfig
from magvit3d.tokens import vocabulary
from magvit3d.tokens.masked_model import TokenBatch, TokenModel
from magvit3d.training.masked_stage import TransformerStage

_LATENT_SHAPE = (2, 2, 2)


@pytest.fixture(scope="module")
def setup():
  model = TokenModel(
    RunConfig.from_dict(transformer_config()), 4, 3, _LATENT_SHAPE
  )
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
  stage = TransformerStage(
    RunConfig.from_dict(transformer_config()), model, 1000, params
  )
  state = jax.jit(stage.init_state)()
  return stage, state, jax.jit(stage.train_step), batch, cached


def test_cached_tokens_give_the_step_that_frames_give(setup):
  stage, state, step, batch, cached = setup
  with_cache, metrics = step(state, cached, stage.frozen)
  without, expected = step(state, batch, stage.frozen)
  np.testing.assert_array_equal(metrics["loss"], expected["loss"])
  chex.assert_trees_all_close(
    with_cache.params, without.params, rtol=1e-7, atol=1e-6
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


def _config_by_clip(**tasks):
  config = transformer_config()
  config["maskgvt"] = config["maskgvt"] | {"draw": "clip"}
  for name, block in tasks.items():
    config["tasks"][name] = config["tasks"][name] | block
  return config


def test_tasks_and_ratios_of_clips_are_spread_over_a_batch(setup):
  *_, cached = setup
  config = _config_by_clip(frame_prediction={"weight": 0.03})
  model = TokenModel(RunConfig.from_dict(config), 4, 3, _LATENT_SHAPE)
  stage = TransformerStage(
    RunConfig.from_dict(config), model, 1000, setup[0].frozen
  )
  index, ratio = stage._draw(jnp.asarray(5), jax.random.key(0), 8)
  assert np.bincount(index).tolist() == [6, 2]  # Three times as often.
  # cos(pi r / 2) of one r in each eighth of [0, 1].
  progress = np.sort(np.arccos(np.asarray(ratio)) * 2 / np.pi)
  assert np.all(progress * 8 >= np.arange(8) - 1e-4)
  assert np.all(progress * 8 <= np.arange(1, 9) + 1e-4)
  others, _ = stage._draw(jnp.asarray(5), jax.random.key(1), 8)
  assert not np.array_equal(index, others)
  state = jax.jit(stage.init_state)()
  after, metrics = jax.jit(stage.train_step)(state, cached, stage.frozen)
  # 0.9 of ln 8 and 0.1 of the clips' losses, by task.
  moved = (np.asarray(after.task_losses) - 0.9 * np.log(8)) / 0.1
  np.testing.assert_allclose(moved @ [0.75, 0.25], metrics["loss"], rtol=1e-4)


def test_masks_and_sequences_by_clip_are_those_of_each_clip(setup):
  stage, *_, cached = setup
  model = stage.model
  index, ratio = jnp.asarray([0, 1, 1, 0]), jnp.asarray([0.2, 0.9, 0.4, 1.0])
  score = jax.random.uniform(jax.random.key(0), cached["tokens"].shape)
  shown = cached["cond_tokens"][jnp.arange(4), index]

  def sequence(rows, index, ratio):
    masked = model.mask(
      cached["tokens"][rows], shown[rows], index, score[rows], ratio
    )
    return model.sequence(masked, cached["labels"][rows], shown[rows], index)

  together = sequence(slice(None), index, ratio)
  for row in range(4):
    alone = sequence(slice(row, row + 1), int(index[row]), float(ratio[row]))
    for got, wanted in zip(
      jax.tree.leaves(together), jax.tree.leaves(alone), strict=True
    ):
      np.testing.assert_array_equal(got[row], wanted[0])


@pytest.mark.slow
def test_cached_tokens_by_clip_give_the_step_that_frames_give(setup):
  *_, batch, cached = setup
  config = _config_by_clip()
  model = TokenModel(RunConfig.from_dict(config), 4, 3, _LATENT_SHAPE)
  stage = TransformerStage(
    RunConfig.from_dict(config), model, 1000, setup[0].frozen
  )
  state, step = jax.jit(stage.init_state)(), jax.jit(stage.train_step)
  _, with_cache = step(state, cached, stage.frozen)
  _, without = step(state, batch, stage.frozen)
  np.testing.assert_allclose(with_cache["loss"], without["loss"], rtol=1e-6)


def test_a_task_is_sampled_as_its_own_block_says(setup):
  *_, cached = setup
  block = {"mask_bins": 2, "temperature": 0.0, "order": None}
  config = _config_by_clip(frame_prediction={"sampling": block})
  model = TokenModel(RunConfig.from_dict(config), 4, 3, _LATENT_SHAPE)
  assert [model.sampling(task).mask_bins for task in model.tasks] == [2, 3]
  params = jax.jit(setup[0].init_state)().params
  for index, num_steps in ((0, 2), (1, 3)):
    steps = model.generate(
      params,
      jax.random.key(0),
      index,
      cached["labels"],
      cached["cond_tokens"][:, index],
    )
    assert len(steps.tokens) == num_steps
