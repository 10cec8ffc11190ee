"""Users' arrays and settings of JAX: bfloat16, and 64 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shrunk

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.parallel.number_types import in_own_types


@pytest.fixture(scope="module")
def magvit():
  return Magvit.from_pretrained("traj3d-tiny")


@pytest.fixture(scope="module")
def clip(magvit):
  """Of values that bfloat16 has."""
  values = np.random.default_rng(0).integers(0, 9, magvit.clip_shape) / 8
  return values.astype(np.float32)


@pytest.mark.variants
@pytest.mark.parametrize(
  "dtype", [jnp.bfloat16, jnp.float16, jnp.float64, jnp.float8_e4m3fn]
)
def test_floats_of_any_type_are_a_video(dtype, magvit, clip):
  with jax.enable_x64(True):
    given = jnp.asarray(clip, dtype)
  assert given.dtype == dtype
  expected = magvit.tokenize(clip)
  np.testing.assert_array_equal(magvit.tokenize(given), expected)
  found = magvit.reconstruct(given)
  assert found.dtype == dtype
  wanted = magvit.reconstruct(clip)
  np.testing.assert_array_equal(found, wanted.astype(dtype))


def test_pixels_come_as_bfloat16_where_that_is_asked_for(magvit, clip):
  tokens = magvit.tokenize(clip)
  found = magvit.detokenize(tokens, dtype=jnp.bfloat16)
  assert found.dtype == jnp.bfloat16 and found.shape == clip.shape
  predicted = magvit.predict(jnp.asarray(clip, jnp.bfloat16))
  assert predicted.dtype == jnp.bfloat16
  np.testing.assert_array_equal(predicted[0].astype("f4"), clip[0])


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int16, jnp.int64])
def test_whole_numbers_of_any_type_are_tokens(dtype, magvit, clip):
  tokens = magvit.tokenize(clip)
  with jax.enable_x64(True):
    given = jnp.asarray(tokens, dtype)
  np.testing.assert_array_equal(
    magvit.detokenize(given), magvit.detokenize(tokens)
  )


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_, jnp.complex64])
def test_other_types_are_no_video(dtype, magvit, clip):
  with pytest.raises(UserError, match="The video is of type"):
    magvit.tokenize(jnp.asarray(clip, dtype))
  with pytest.raises(UserError, match="is no type of videos"):
    magvit.detokenize(magvit.tokenize(clip), dtype=dtype)


def _everything(magvit, clip):
  return [
    magvit.tokenize(clip),
    magvit.reconstruct(clip),
    magvit.generate(num=1, seed=3),
    magvit.predict(clip),
    magvit.inpaint(clip, np.arange(clip[..., 0].size).reshape(
      clip.shape[:-1]) % 2 == 0),
  ]  # fmt: skip


@pytest.mark.slow
def test_a_process_of_64_bits_gets_the_same(magvit, clip):
  wanted = _everything(magvit, clip)
  with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
    found = _everything(
      Magvit.from_pretrained("traj3d-tiny"), clip.astype(np.float64)
    )
    assert jnp.zeros(1).dtype == jnp.float64  # Its own setting stays.
  for a, b in zip(wanted, found, strict=True):
    np.testing.assert_array_equal(a, b.astype(a.dtype))


@pytest.mark.slow
def test_a_process_of_64_bits_trains_in_32(tmp_path):
  config = shrunk.make_config(
    stages="data,tokenizer",
    train_tokenizer__num_steps=3,
    train_tokenizer__validate_every_steps=5,
  )
  with jax.enable_x64(True):
    Experiment(config, tmp_path).run()
  assert (tmp_path / "tokenizer/checkpoints/3").is_dir()


def test_functions_keep_their_name_and_the_setting_of_the_caller():
  @in_own_types
  def kind(x):
    """Returns a type."""
    return jnp.asarray(x).dtype

  with jax.enable_x64(True):
    assert kind(np.zeros(1)) == jnp.float32
    assert jnp.asarray(np.zeros(1)).dtype == jnp.float64
  assert kind.__name__ == "kind" and kind.__doc__ == "Returns a type."
