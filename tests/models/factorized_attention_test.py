"""Attention in space and time: no frame depends on later ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_world

from magvit3d.config.world_model import MotionConfig
from magvit3d.models.bert import Bert
from magvit3d.models.token_motion import to_patches
from magvit3d.tokens.vocabulary import MASK

_FRAMES = 5


@pytest.fixture(scope="module", params=[0, 4], ids=["patches", "motion"])
def setup(request):
  motion = MotionConfig(features=request.param, num_kernels=2, width=8)
  model = small_world.make_model(motion=motion)
  params = jax.jit(model.init)(jax.random.key(0))
  rng = np.random.default_rng(0)
  tokens = rng.integers(MASK, 4, size=(2, *model.grid))
  actions = rng.normal(size=(2, _FRAMES, 3))
  return (
    model,
    params,
    jnp.asarray(tokens, jnp.int32),
    jnp.asarray(actions, jnp.float32),
  )


def _influence(function, array):
  """Largest |d output at frame i / d input at frame j|, (i, j).

  Args:
    function: Of an array (b, t, ...) to logits (b, t, ...).
    array: Where it is derived.
  """
  rows = []
  for frame in range(_FRAMES):
    weights = np.random.default_rng(frame).normal(
      size=jax.eval_shape(function, array).shape
    )
    weights[:, np.arange(_FRAMES) != frame] = 0
    gradient = jax.grad(
      lambda x, w=weights: jnp.sum(function(x) * w.astype(np.float32))
    )(array)
    axes = (0, *range(2, gradient.ndim))
    rows.append(np.abs(gradient).max(axes))
  return np.stack(rows)


@pytest.mark.slow
def test_no_gradient_comes_from_later_frames_actions(setup):
  model, params, tokens, actions = setup
  found = _influence(
    lambda actions: model.logits(params, tokens, actions), actions
  )
  assert (found[np.triu_indices(_FRAMES, 1)] == 0).all()
  assert (found[np.tril_indices(_FRAMES)] > 0).all()


def test_no_gradient_comes_from_later_frames_tokens(setup):
  model, params, tokens, actions = setup
  bert, size = model.transformer.bert, model.frame_size
  ids = to_patches(tokens[..., None], model.config.patch)

  # `added` stands in for the embeddings of tokens, which have no gradient.
  def output(added):
    added = added.reshape(2, -1, bert.hidden_size)
    found = bert.apply({"params": params}, ids, actions=actions, added=added)
    return found.reshape(2, _FRAMES, size, -1)

  found = _influence(output, jnp.zeros((2, _FRAMES, size, bert.hidden_size)))
  assert (found[np.triu_indices(_FRAMES, 1)] == 0).all()
  assert (found[np.tril_indices(_FRAMES)] > 0).all()


def test_later_tokens_change_no_bit_of_earlier_logits(setup):
  model, params, tokens, actions = setup
  logits = jax.jit(model.logits)
  before = logits(params, tokens, actions)
  for k in range(1, _FRAMES):
    changed = tokens.at[:, k:].set((tokens[:, k:] + 2) % 4)
    after = logits(params, changed, actions)
    np.testing.assert_array_equal(after[:, :k], before[:, :k])
    assert (after[:, k:] != before[:, k:]).any()


@pytest.mark.slow
def test_a_clip_that_does_not_see_the_past_is_single_frames(setup):
  model, params, tokens, actions = setup
  sees_past = jnp.array([True, False])

  def logits(actions):
    return model.logits(params, tokens, actions, sees_past)

  for clip in range(2):
    found = _influence(
      lambda a, c=clip: logits(a)[c : c + 1].repeat(2, 0), actions
    )
    below = found[np.tril_indices(_FRAMES, -1)]
    assert (np.diag(found) > 0).all()
    assert (below > 0).all() if clip == 0 else (below == 0).all()


def test_reading_frame_by_frame_gives_the_logits_of_the_whole_clip(setup):
  model, params, tokens, actions = setup
  whole = jax.jit(model.logits)(params, tokens, actions)
  read = jax.jit(model.frame_logits(params))
  found, cache = read(None, tokens[:, :2], 0, actions[:, :2])
  parts = [found]
  for k in range(2, _FRAMES):
    # Another frame first: what is read again replaces it.
    wrong = (tokens[:, k : k + 1] + 2) % 4
    _, cache = read(cache, wrong, k, actions[:, k : k + 1])
    part, cache = read(cache, tokens[:, k : k + 1], k, actions[:, k : k + 1])
    parts.append(part)
  # Sums of the same 5 numbers in another order: logits of about 1, float32.
  np.testing.assert_allclose(
    np.concatenate(parts, axis=1), whole, rtol=1e-4, atol=1e-5
  )


def test_a_position_sums_up_its_tokens():
  bert = Bert(
    vocab_size=3 * 5,
    hidden_size=8,
    num_layers=0,
    num_heads=2,
    mlp_dim=8,
    max_position_embeddings=6,
    frame_size=2,
    tokens_per_position=3,
  )
  ids = jnp.asarray(np.random.default_rng(0).integers(-1, 4, size=(1, 6, 3)))
  params = bert.init(jax.random.key(0), ids)["params"]
  table = params["BertEmbed_0"]["word_embeddings"]["embedding"]
  rows = np.asarray(ids) % 5 + 5 * np.arange(3)
  wanted = np.asarray(table)[rows].sum(2)
  wanted += np.asarray(
    params["BertEmbed_0"]["position_embeddings"]["embedding"]
  )
  one = jax.tree.map(lambda x: x, params)
  # The same as single tokens with these embeddings, whatever comes behind.
  from magvit3d.models.bert import BertEmbed

  found, _ = BertEmbed(15, 8, 6, tokens_per_position=3).apply(
    {"params": one["BertEmbed_0"]}, ids
  )
  mean = wanted.mean(-1, keepdims=True)
  normed = (wanted - mean) / wanted.std(-1, keepdims=True)
  # Sums of four numbers of 0.02, divided by about 0.04, in float32.
  np.testing.assert_allclose(found, normed, rtol=1e-4, atol=1e-5)
