"""The convolutional LSTM sees the given frames, and its own beyond."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_world

from configs import world_model
from magvit3d.config.run import RunConfig
from magvit3d.models import convlstm
from magvit3d.models.convlstm import ConvLstm
from magvit3d.tokens.action_model import ActionModel


def test_cells_are_undone():
  frames = jax.random.normal(jax.random.key(0), (2, 3, 8, 8))
  cells = convlstm.to_cells(frames, 4)
  assert cells.shape == (2, 3, 2, 2, 16)
  np.testing.assert_array_equal(cells[0, 0, 1, 0, 1], frames[0, 0, 4, 1])
  np.testing.assert_array_equal(convlstm.from_cells(cells, 4), frames)


def test_a_cell_is_that_of_flax():
  theirs, ours = nn.ConvLSTMCell(6, (3, 3)), convlstm._Cell(6, (3, 3))
  keys = jax.random.split(jax.random.key(0), 4)
  x = jax.random.normal(keys[0], (2, 5, 4, 3))
  state = tuple(jax.random.normal(key, (2, 5, 4, 6)) for key in keys[1:3])
  params = theirs.init(keys[3], state, x)
  chex.assert_trees_all_equal(params, ours.init(keys[3], state, x))
  # Sums of 27 and 54 products of about 1 in float32.
  chex.assert_trees_all_close(
    ours.apply(params, state, x), theirs.apply(params, state, x), atol=1e-5
  )


def test_no_frame_behind_the_given_ones_is_read_and_no_later_action():
  network = ConvLstm(2, 8, 3, 2)
  rng = np.random.default_rng(0)
  frames = jnp.asarray(rng.random((2, 5, 4, 4)), jnp.float32)
  actions = jnp.asarray(rng.normal(size=(2, 5, 3)), jnp.float32)
  params = network.init(jax.random.key(0), frames, actions, 2)
  predict = jax.jit(network.apply, static_argnums=3)
  before = predict(params, frames, actions, 2)
  assert before.shape == (2, 4, 4, 4)
  changed = frames.at[:, 2:].set(1 - frames[:, 2:])
  np.testing.assert_array_equal(predict(params, changed, actions, 2), before)
  changed = frames.at[:, 1].set(1 - frames[:, 1])
  after = predict(params, changed, actions, 2)
  np.testing.assert_array_equal(after[:, :1], before[:, :1])
  assert (after[:, 1:] != before[:, 1:]).any()
  # The action of frame 3 moves what is said of frames 3 and 4.
  after = predict(params, frames, actions.at[:, 3].add(1), 2)
  np.testing.assert_array_equal(after[:, :2], before[:, :2])
  assert (after[:, 2:] != before[:, 2:]).any()


@pytest.mark.parametrize("variant", world_model.VARIANTS)
def test_configs_have_networks_of_equal_size(variant):
  config = RunConfig.from_dict(world_model.get_config(variant).to_dict())
  section = config.world_model
  data, num_actions = (config.digits, 2) if config.digits else (config.data, 3)
  size = data.image_size
  grid = (data.num_frames, size, size)
  model = ActionModel(section, grid, num_actions, 1.0)
  lstm = section.convlstm
  network = ConvLstm(
    lstm.num_layers, lstm.features, lstm.kernel_size, section.patch
  )
  key = jax.random.key(0)
  counts = [
    convlstm.num_parameters(jax.eval_shape(init, key))
    for init in (
      model.init,
      lambda rng: network.init(
        rng,
        jnp.zeros((1, 3, size, size)),
        jnp.zeros((1, 3, num_actions + 1)),
        2,
      ),
    )
  ]
  assert abs(counts[1] / counts[0] - 1) < 0.1


def test_the_small_model_of_tests_is_one():
  assert small_world.make_model().frame_size == 36
