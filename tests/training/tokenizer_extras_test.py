"""Tests of the tokenizer stage's options, which are off by default."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_networks import clip_batch, tokenizer_config
from trees import assert_trees_equal

from magvit3d.config.run import RunConfig
from magvit3d.config.training import InitialParametersConfig
from magvit3d.data.pixels import to_unit_range
from magvit3d.training import perceptual, tokenizer_stage
from magvit3d.training.tokenizer_stage import TokenizerStage

_CLIP_SHAPE = (2, 4, 4, 3)


@pytest.fixture(scope="module")
def batch():
  return clip_batch()


@pytest.fixture(scope="module")
def plain(batch):
  """State before upstream's step, after it, and its metrics."""
  stage = TokenizerStage(
    RunConfig.from_dict(tokenizer_config()), 1000, _CLIP_SHAPE
  )
  state = jax.jit(stage.init_state)()
  return state, *jax.jit(stage.train_step)(state, batch)


_EXTRAS = dict(
  finetune_decoder=True,
  entropy_loss_enlarge_ratio=3.0,
  entropy_loss_enlarge_steps=4,
  lecam_weight=2.0,
  perceptual_loss_weight=0.5,
  perceptual_weights="file",
  perceptual_loss_on_logit=False,
)


@pytest.fixture(scope="module")
def extras(batch):
  """Upstream's options that are off by default, all at once."""

  def make(path, on_logit, dtype):
    assert (path, on_logit) == ("file", False)
    return {
      "w": jnp.float32(2.0)
    }, lambda params, real, fake: params["w"] * jnp.mean(jnp.abs(real - fake))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(perceptual, "make_perceptual_loss", make)
    stage = TokenizerStage(
      RunConfig.from_dict(tokenizer_config(**_EXTRAS)), 1000, _CLIP_SHAPE
    )
  state = jax.jit(stage.init_state)()
  step = jax.jit(stage.train_step)
  return stage, state, step, *step(state, batch, stage.frozen)


def test_finetuning_moves_the_decoder_alone(extras):
  _, state, _, after, _ = extras
  for part in ("encoder", "quantizer"):
    assert_trees_equal(after.g_params[part], state.g_params[part])
  moved = jax.tree.map(
    lambda a, b: a - b, after.g_params["decoder"], state.g_params["decoder"]
  )
  assert optax.tree.norm(moved) > 1e-2


@pytest.mark.slow
def test_the_enlarged_entropy_loss_fades_away(extras, batch):
  stage, state, step, _, metrics = extras
  np.testing.assert_allclose(
    metrics["enlarged_entropy_loss"], 3 * metrics["entropy_loss"], rtol=1e-6
  )
  for number, share in ((1, 0.75), (4, 0.0), (9, 0.0)):
    at_step = state.replace(step=jnp.asarray(number))
    _, metrics = step(at_step, batch, stage.frozen)
    np.testing.assert_allclose(
      metrics["enlarged_entropy_loss"],
      3 * share * metrics["entropy_loss"],
      rtol=1e-6,
    )


def test_the_perceptual_loss_compares_real_and_reconstructed_clips(
  extras, batch
):
  stage, state, _, _, metrics = extras
  real = to_unit_range(batch["frames"])
  out = stage.tokenizer.apply({"params": state.g_params}, real)
  expected = 0.5 * 2.0 * np.mean(np.abs(out.reconstruction - real))
  np.testing.assert_allclose(metrics["perceptual_loss"], expected, rtol=1e-4)


def test_extra_terms_add_up_with_upstreams(plain, extras):
  *_, plain = plain
  *_, metrics = extras
  names = ("perceptual_loss", "enlarged_entropy_loss")
  np.testing.assert_allclose(
    metrics["g_loss"] - plain["g_loss"],
    sum(metrics[name] for name in names),
    rtol=1e-4,
  )
  # The averages of LeCam are 0 when they are used for the first time.
  lecam = jax.nn.relu(plain["real_logit"]) ** 2
  lecam += jax.nn.relu(-plain["fake_logit"]) ** 2
  np.testing.assert_allclose(
    metrics["d_loss"] - plain["d_loss"], 2 * lecam, atol=1e-5
  )


def test_a_perceptual_loss_without_weights_is_an_error():
  with pytest.raises(ValueError, match=r"weight=0.1 needs vqgan.perceptual_we"):
    TokenizerStage(
      RunConfig.from_dict(tokenizer_config(perceptual_loss_weight=0.1)),
      10,
      _CLIP_SHAPE,
    )


def test_a_clip_has_no_more_frames_to_sample_than_it_has():
  with pytest.raises(ValueError, match="num_train_sampled_frames=3 must be"):
    TokenizerStage(
      RunConfig.from_dict(tokenizer_config(num_train_sampled_frames=3)),
      10,
      _CLIP_SHAPE,
    )


def test_training_starts_on_given_parameters(plain, monkeypatch):
  state, after, _ = plain
  stage = TokenizerStage(
    RunConfig.from_dict(tokenizer_config()), 1000, _CLIP_SHAPE
  )

  def load(init_from, likes, kind):
    assert (init_from.checkpoint_path, kind) == ("folder", "tokenizer")
    assert_trees_equal(likes["g_params"], state.g_params)
    return {"g_params": after.g_params, "d_params": after.d_params}

  monkeypatch.setattr(tokenizer_stage, "initial_trees", load)
  stage.start_from(InitialParametersConfig())
  assert stage.before_step(state, 0) is state
  stage.start_from(InitialParametersConfig(checkpoint_path="folder"))
  started = stage.before_step(state, 0)
  assert_trees_equal(started.g_params, after.g_params)
  assert_trees_equal(started.ema_params, after.g_params)
  assert_trees_equal(started.d_params, after.d_params)
  assert stage.before_step(state, 1) is state


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["2dcnn", "2plus1dcnn"])
def test_other_architectures_learn_from_their_frames(batch, architecture):
  is_2d = architecture == "2dcnn"
  config = tokenizer_config(num_train_sampled_frames=1 if is_2d else None)
  config["vqvae"]["architecture"] = architecture
  stage = TokenizerStage(RunConfig.from_dict(config), 1000, _CLIP_SHAPE)
  state = jax.jit(stage.init_state)()
  step = jax.jit(stage.train_step)
  state, first = step(state, batch)
  if is_2d:  # Of two frames, the second is the sampled one: round(2 / 2).
    frames = batch["frames"].at[:, 0].set(0)
    _, same = step(jax.jit(stage.init_state)(), batch | {"frames": frames})
    assert same["reconstruction_loss"] == first["reconstruction_loss"]
  for _ in range(30):
    state, metrics = step(state, batch)
  assert metrics["reconstruction_loss"] < 0.7 * first["reconstruction_loss"]
