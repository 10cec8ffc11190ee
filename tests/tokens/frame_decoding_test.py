"""Decoding frame by frame: counts, locked tokens, and an oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_world

from magvit3d.tokens import action_model, frame_decoding
from magvit3d.tokens.vocabulary import MASK

_TOKENS, _CODES = 24, 4


def _decode(logits_fn, tokens, counts, **options):
  decode = jax.jit(
    lambda rng, tokens: frame_decoding.decode_frame(
      rng, logits_fn, tokens, counts, **options
    )
  )
  return decode(jax.random.key(0), tokens)


def _uncertain(shown):
  """Uniform logits."""
  return jnp.zeros((*shown.shape, _CODES))


def test_counts_follow_the_schedule_and_end_with_all():
  counts = frame_decoding.known_counts("cosine", 4, 100)
  hidden = np.cos(np.pi / 2 * np.array([0.25, 0.5, 0.75]))
  np.testing.assert_array_equal(
    counts, [*(100 - np.floor(100 * hidden)).astype(int), 100]
  )
  # At least one more in each step, whatever the schedule.
  np.testing.assert_array_equal(
    frame_decoding.known_counts("cosine", 5, 5), [1, 2, 3, 4, 5]
  )
  np.testing.assert_array_equal(
    frame_decoding.known_counts("pow8", 3, 6).tolist()[-1:], [6]
  )
  with pytest.raises(ValueError, match="steps_per_frame=6 must be 1 to 5"):
    frame_decoding.known_counts("cosine", 6, 5)


@pytest.mark.parametrize("resample", [False, True])
def test_so_many_are_known_after_each_step(resample):
  counts = frame_decoding.known_counts("cosine", 5, _TOKENS)
  hidden = jnp.full((3, _TOKENS), MASK)
  frame = _decode(_uncertain, hidden, counts, resample=resample)
  known = (np.asarray(frame.steps) != MASK).sum(-1)
  np.testing.assert_array_equal(known, np.repeat(counts[:, None], 3, axis=1))
  # What is known stays known, and stays as it is unless it is drawn anew.
  for before, after in zip(frame.steps, frame.steps[1:], strict=False):
    was_known = np.asarray(before) != MASK
    assert (np.asarray(after)[was_known] != MASK).all()
    is_same = (np.asarray(after) == np.asarray(before))[was_known]
    assert is_same.all() != resample


def test_locked_tokens_never_change_and_the_rest_keeps_the_share():
  counts = frame_decoding.known_counts("cosine", 5, _TOKENS)
  rng = np.random.default_rng(0)
  is_locked = np.arange(_TOKENS) < 12
  given = np.where(is_locked, rng.integers(4, size=(3, _TOKENS)), MASK)

  def against(shown):
    """Certain of another code than the one that is locked."""
    other = (jnp.asarray(given) + 1) % _CODES
    return 50.0 * jax.nn.one_hot(other, _CODES)

  frame = _decode(against, jnp.asarray(given), counts)
  for step, count in zip(np.asarray(frame.steps), counts, strict=True):
    np.testing.assert_array_equal(step[:, is_locked], given[:, is_locked])
    known = (step[:, ~is_locked] != MASK).sum(1)
    np.testing.assert_array_equal(known, -(-count * 12 // _TOKENS))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_oracle_is_recovered_exactly(temperature):
  config = small_world.make_config(temperature=temperature)
  rng = np.random.default_rng(1)
  truth = jnp.asarray(rng.integers(4, size=(2, 5, 6, 6)), jnp.int32)

  def oracle(cache, tokens, start, actions):
    """Logits of the truth, whatever is shown: 1e-13 for another code."""
    del cache, actions
    frames = jax.lax.dynamic_slice_in_dim(truth, start, tokens.shape[1], 1)
    return 30.0 * jax.nn.one_hot(frames, 4), ()

  given = jnp.where(jnp.arange(5)[None, :, None, None] < 2, truth, MASK)
  found = jax.jit(
    lambda tokens: action_model.roll_out(
      oracle, jax.random.key(0), tokens, jnp.zeros((2, 5, 3)), 2, config
    )
  )(given)
  np.testing.assert_array_equal(found.tokens, truth)
  counts = frame_decoding.known_counts("cosine", 3, 36)
  known = (np.asarray(found.steps) != MASK).sum(-1)  # (frames, steps, clips)
  np.testing.assert_array_equal(
    known, np.broadcast_to(counts[None, :, None], (3, 3, 2))
  )


@pytest.mark.slow
def test_given_tokens_of_a_later_frame_are_locked_too():
  model = small_world.make_model()
  params = model.init(jax.random.key(0))
  rng = np.random.default_rng(2)
  truth = jnp.asarray(rng.integers(4, size=(2, *model.grid)), jnp.int32)
  is_given = (jnp.arange(5) < 2)[:, None, None]
  is_given |= (jnp.arange(12) < 6)[None, None]
  tokens = jnp.where(is_given[None], truth, MASK)
  found = jax.jit(model.generate, static_argnums=4)(
    params,
    jax.random.split(jax.random.key(1), 2),
    tokens,
    jnp.zeros((2, 5, 3)),
    2,
  ).tokens
  mask = np.broadcast_to(is_given, truth.shape)
  np.testing.assert_array_equal(found[mask], truth[mask])
  assert (found != MASK).all() and (found != truth).any()
