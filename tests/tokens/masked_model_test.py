"""Tests of masks, sequences and decoding of several tasks at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import MASKGVT, TRANSFORMER, VQVAE

from magvit3d.config.run import RunConfig
from magvit3d.tokens import tasks, vocabulary
from magvit3d.tokens.masked_model import TokenModel

_GRID = (4, 4, 4)
_SHAPE = (3, *_GRID)


def _make(task_blocks, **maskgvt):
  config = dict(
    seed=0,
    dtype="float32",
    vqvae=VQVAE,
    transformer=TRANSFORMER,
    tasks=task_blocks,
    maskgvt=MASKGVT | maskgvt,
  )
  return TokenModel(RunConfig.from_dict(config), 8, 3, _GRID)


def _tokens(seed):
  return jax.random.randint(jax.random.key(seed), _SHAPE, 0, 8)


def _params(model):
  ids = jnp.zeros((1, model.prefix_length + model.num_tokens), jnp.int32)
  return jax.jit(model.transformer.init)(jax.random.key(0), ids)["params"]


@pytest.fixture(scope="module")
def many():
  """COMMIT's eight tasks, and one that fixes its condition."""
  names = (*tasks.BAIR_TASKS, "latent_frame_prediction")
  return _make(dict.fromkeys(names))


def test_each_task_masks_by_its_own_mode_also_under_a_traced_index(many):
  tokens, cond_tokens = _tokens(0), _tokens(1)
  score = jax.random.uniform(jax.random.key(2), _SHAPE)
  mask = jax.jit(many.mask)
  for index, task in enumerate(many.tasks):
    masked = mask(tokens, cond_tokens, index, score, 1.0)
    given = np.broadcast_to(task.latent_mask(_GRID), _SHAPE)
    shown = np.asarray(masked.masked_inputs)
    # Where the condition says something it is seen, elsewhere nothing is.
    np.testing.assert_array_equal(shown[given], cond_tokens[given])
    assert np.all(shown[~given] == vocabulary.MASK)
    is_fixed = task.kind == "latent_frame_prediction"
    expected = np.where(is_fixed & given, cond_tokens, tokens)
    np.testing.assert_array_equal(masked.targets, expected)
    np.testing.assert_array_equal(
      masked.weights, np.where(is_fixed & given, 0, 1)
    )


def test_scores_are_infinite_where_a_task_fixes_its_condition(many):
  index = [task.name for task in many.tasks].index("latent_frame_prediction")
  score = jax.jit(many.make_scores, static_argnums=1)(
    jax.random.key(0), 2, index
  )
  given = many.tasks[index].latent_mask(_GRID)
  assert given.any()
  np.testing.assert_array_equal(np.isinf(score[0]), given)


def test_the_condition_video_is_that_of_the_traced_task(many):
  clips = jax.random.uniform(jax.random.key(0), (2, 8, 8, 8, 3))
  show = jax.jit(many.condition_video)
  for index, task in enumerate(many.tasks):
    np.testing.assert_allclose(
      show(clips, index), task.condition_video(clips), atol=1e-6
    )


def test_generation_keeps_what_a_task_fixes(many):
  index = [task.name for task in many.tasks].index("latent_frame_prediction")
  cond_tokens = _tokens(1)
  generate = jax.jit(many.generate, static_argnums=2)
  steps = generate(
    _params(many),
    jax.random.key(3),
    index,
    jnp.zeros(3, jnp.int32),
    cond_tokens,
  )
  given = np.broadcast_to(many.tasks[index].latent_mask(_GRID), _SHAPE)
  for tokens in steps.tokens:
    np.testing.assert_array_equal(tokens[given], cond_tokens[given])


def _sequence(model):
  masked = model.mask(
    _tokens(0),
    _tokens(1),
    0,
    jax.random.uniform(jax.random.key(2), _SHAPE),
    0.6,
  )
  return model.sequence(masked, jnp.arange(3), _tokens(1), 0)


def test_guidance_zero_is_no_guidance_and_one_doubles_the_difference():
  model = _make({"full_generation": None})
  params, sequence = _params(model), _sequence(model)
  plain = model.logits(params, sequence)
  np.testing.assert_array_equal(
    model.guided_logits(params, sequence, 0.0), plain
  )
  uncond = model.logits(
    params, sequence.replace(masked_inputs=sequence.uncond_masked_inputs)
  )
  assert np.abs(plain - uncond).max() > 1e-3  # The class is seen.
  np.testing.assert_allclose(
    model.guided_logits(params, sequence, 1.0), 2 * plain - uncond, atol=1e-5
  )


def test_a_task_of_weight_zero_still_names_the_unconditional_sequence():
  model = _make({"full_generation": {"weight": 0.0}, "frame_prediction": {}})
  assert [task.name for task in model.tasks] == ["frame_prediction"]
  sequence = _sequence(model)
  assert np.all(sequence.masked_inputs[:, 0] == -4)
  assert np.all(sequence.uncond_masked_inputs[:, 0] == -3)


def test_without_any_weight_there_is_nothing_to_learn():
  with pytest.raises(ValueError, match="no task with a weight above 0"):
    _make({"full_generation": {"weight": 0.0}})


def test_a_single_task_has_no_task_token():
  model = _make({"full_generation": None}, multi_task=False)
  assert model.prefix_length == 1
  sequence = _sequence(model)
  np.testing.assert_array_equal(sequence.masked_inputs[:, 0], [8, 9, 10])


def test_prefix_mode_generates_behind_the_condition():
  model = _make(
    {"frame_prediction": {"cond_frames": 1}},
    multi_task=False,
    condition_mode="prefix",
  )
  assert model.prefix_length == 1 + 4 * 4 + 1
  # Larger values, so that what is read changes what is drawn.
  params = jax.tree.map(lambda leaf: 10 * leaf, _params(model))
  labels = jnp.zeros(3, jnp.int32)
  generate = jax.jit(model.generate, static_argnums=2)
  cond_tokens = _tokens(1)
  steps = generate(params, jax.random.key(3), 0, labels, cond_tokens)
  # Only the first latent frame of the condition is read.
  changed = cond_tokens.at[:, 1:].set(0)
  same = generate(params, jax.random.key(3), 0, labels, changed)
  np.testing.assert_array_equal(steps.tokens, same.tokens)
  changed = (cond_tokens.at[:, 0].add(1)) % 8
  other = generate(params, jax.random.key(3), 0, labels, changed)
  assert np.any(steps.tokens != other.tokens)
