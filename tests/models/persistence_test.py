"""The network that says which objects stay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.models import persistence
from magvit3d.models.persistence import PersistenceNetwork

_SHAPE = (2, 3, 5)  # Clips, objects, frames.


@pytest.fixture(scope="module")
def setup():
  network = PersistenceNetwork(8, num_layers=2, num_heads=2, num_frames=5)
  rng = np.random.default_rng(0)
  codes, places = _inputs(rng)
  params = jax.jit(network.init)(
    jax.random.key(0), jnp.asarray(codes), jnp.asarray(places)
  )["params"]
  # Biases that are not 0, so that they are seen to count.
  params = jax.tree.map(
    lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), params
  )
  apply = jax.jit(lambda codes, places: network.apply(
    {"params": params}, codes, places, mutable="intermediates"
  ))  # fmt: skip
  return apply, codes, places


def _inputs(rng):
  codes = rng.normal(size=(*_SHAPE, 6)).astype(np.float32)
  places = rng.normal(size=(*_SHAPE, 4)).astype(np.float32)
  places[..., 0] = rng.random(_SHAPE) < 0.6
  places[..., 1:] *= places[..., :1]
  return codes, places


@pytest.mark.parametrize("first_frame", [1, 3])
def test_later_frames_change_no_answer(setup, first_frame):
  apply, codes, places = setup
  before = np.asarray(apply(codes, places)[0])
  new_codes, new_places = _inputs(np.random.default_rng(1))
  for old, new in ((codes, new_codes), (places, new_places)):
    new[:, :, :first_frame] = old[:, :, :first_frame]
  after = np.asarray(apply(new_codes, new_places)[0])
  np.testing.assert_array_equal(
    after[..., :first_frame], before[..., :first_frame]
  )
  assert (after[..., first_frame:] != before[..., first_frame:]).all()


def test_objects_have_no_order(setup):
  apply, codes, places = setup
  order = [2, 0, 1]
  before = apply(codes, places)[0][:, order]
  after = apply(codes[:, order], places[:, order])[0]
  # Sums over keys in another order, each of about 1.
  np.testing.assert_allclose(after, before, atol=1e-5)


def test_weights_are_on_what_is_seen_up_to_now(setup):
  apply, codes, places = setup
  sown = apply(codes, places)[1]["intermediates"]
  seen = places[..., 0].reshape(2, -1) > 0
  frames = np.tile(np.arange(5), 3)
  owners = np.repeat(np.arange(3), 5)
  allowed = seen[:, None] | (owners[None] == owners[:, None])
  allowed &= frames[None] <= frames[:, None]
  np.testing.assert_array_equal(
    persistence.visible_keys(jnp.asarray(places[..., 0] > 0)), allowed
  )
  layers = [sown[f"attention_{i}"][persistence.WEIGHTS][0] for i in range(2)]
  for weights in layers:
    assert weights.shape == (2, 2, 15, 15)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
      np.asarray(weights) > 0, np.repeat(allowed[:, None], 2, axis=1)
    )


def test_codes_of_what_is_not_seen_do_not_count(setup):
  apply, codes, places = setup
  other = np.where(places[..., :1] > 0, codes, 7 * codes)
  np.testing.assert_array_equal(
    apply(codes, places)[0], apply(other, places)[0]
  )
