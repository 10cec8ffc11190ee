"""Runs start from upstream's files, converted folders, and other runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import upstream_samples as samples

from magvit3d import upstream
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.config.training import InitialParametersConfig
from magvit3d.data.batches import make_batches
from magvit3d.errors import UserError
from magvit3d.training import health
from magvit3d.training.tokenizer_state import TokenizerState
from magvit3d.upstream import conversion

pytestmark = pytest.mark.smoke

_TREES = samples.make_params("tokenizer")
_LIKE = jax.tree.map(np.zeros_like, _TREES)


class _Numbers:
  def __len__(self):
    return 8

  def __getitem__(self, index):
    return {"number": np.int64(index)}


@pytest.fixture
def file(tmp_path):
  state = samples.tokenizer_states()["tokenizer"]
  return samples.write_file(tmp_path / "in" / "checkpoint_9", state)


def _init_from(path, **fields):
  return InitialParametersConfig(checkpoint_path=str(path), **fields)


def _initial(path, which="ema_params", **fields):
  return upstream.initial_params(
    _init_from(path, **fields), _LIKE[which], "tokenizer", which
  )


def test_no_path_leaves_the_fresh_values():
  init_from = InitialParametersConfig()
  found = upstream.initial_params(init_from, _LIKE, "tokenizer", "ema_params")
  assert found is _LIKE


@pytest.mark.parametrize("which", ["g_params", "ema_params", "d_params"])
def test_upstream_file_gives_each_tree(file, which):
  samples.assert_same_tree(_initial(file, which), _TREES[which])


def test_converted_folder_gives_the_same(file, tmp_path):
  loaded = upstream.load(str(file))
  config = samples.make_config()
  trees, report = conversion.convert(loaded, config)
  note = conversion.describe(loaded, config, report, None, "")
  conversion.write(tmp_path / "out", trees, note)
  found = _initial(tmp_path / "out", "d_params")
  samples.assert_same_tree(found, _TREES["d_params"])


def test_checkpoints_of_a_run_give_the_moving_average(tmp_path):
  """As training writes them, optimizers included; the newest step."""
  checkpoints = Checkpoints(tmp_path / "checkpoints", {"vqvae": {}})
  batches = make_batches(_Numbers(), batch_size=2, seed=0, num_threads=1)
  for step in (3, 20):
    state = TokenizerState(
      step=jnp.int32(step),
      g_params=jax.tree.map(np.ones_like, _TREES["g_params"]),
      ema_params=jax.tree.map(lambda x, k=step: x * k, _TREES["ema_params"]),
      d_params=_TREES["d_params"],
      g_opt_state={"mu": _TREES["g_params"]},
      d_opt_state={},
      code_counts=jnp.zeros(16, jnp.int32),
      logit_ema=jnp.zeros(2),
      health=health.healthy(),
    )
    checkpoints.save(step, jax.tree.map(jnp.asarray, state), batches)
  checkpoints.close()
  expected = jax.tree.map(lambda x: x * 20, _TREES["ema_params"])
  samples.assert_same_tree(_initial(tmp_path / "checkpoints"), expected)
  found = upstream.load(str(tmp_path / "checkpoints"))
  assert found.step == 20
  assert set(found.trees) == {"g_params", "ema_params", "d_params"}


def test_generator_comes_from_the_average_where_it_is_alone(tmp_path):
  state = samples.tokenizer_states()["tokenizer's variables"]
  path = samples.write_file(tmp_path / "maskgit", state)
  samples.assert_same_tree(_initial(path, "g_params"), _TREES["ema_params"])


def test_file_without_discriminator_leaves_it_fresh_if_allowed(tmp_path):
  state = samples.tokenizer_states()["tokenizer's variables"]
  path = samples.write_file(tmp_path / "maskgit", state)
  with pytest.raises(UserError, match=r"config\.init_from: .* missing in it"):
    _initial(path, "d_params")
  found = _initial(path, "d_params", allow="missing:*")
  samples.assert_same_tree(found, _LIKE["d_params"])


def test_patterns_count_over_all_trees_of_a_call(tmp_path):
  state = samples.tokenizer_states()["tokenizer's variables"]
  path = samples.write_file(tmp_path / "maskgit", state)
  found = upstream.initial_trees(
    _init_from(path, allow="missing:d_params/*"), _LIKE, "tokenizer"
  )
  samples.assert_same_tree(found["g_params"], _TREES["ema_params"])
  samples.assert_same_tree(found["d_params"], _LIKE["d_params"])


def test_2d_file_starts_a_3d_network(tmp_path):
  flat = samples.make_params("tokenizer", architecture="2dcnn")["ema_params"]
  path = samples.write_file(tmp_path / "flat", {"params": flat})
  with pytest.raises(UserError, match="inflation=2d->3d"):
    _initial(path)
  found = _initial(path, inflation="2d->3d")
  kernel = np.asarray(found["encoder"]["Conv_0"]["kernel"])
  np.testing.assert_array_equal(kernel[1], flat["encoder"]["Conv_0"]["kernel"])
  np.testing.assert_array_equal(
    found["quantizer"]["codebook"], flat["quantizer"]["codebook"]
  )


def test_values_come_through_a_traced_initialisation(file):
  """A stage's `init_state` is traced for its shapes, and compiled."""
  make = lambda: _initial(file)  # noqa: E731
  assert jax.eval_shape(make)["quantizer"]["codebook"].shape == (16, 6)
  samples.assert_same_tree(jax.jit(make)(), _TREES["ema_params"])


def test_checkpoint_of_another_kind_is_refused(file):
  with pytest.raises(UserError, match="holds a tokenizer, not a transformer"):
    upstream.initial_params(_init_from(file), {}, "transformer", "params")


def test_missing_path_names_the_field():
  with pytest.raises(UserError, match=r"config\.init_from: .*does not exist"):
    _initial("absent")


def test_another_section_is_named():
  where = _init_from("absent")
  with pytest.raises(UserError, match=r"config\.tokenizer: absent"):
    upstream.initial_trees(where, {}, "tokenizer", section="tokenizer")
