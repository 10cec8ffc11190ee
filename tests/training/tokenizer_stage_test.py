"""Tests of the tokenizer stage's step against steps worked out by hand."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_networks import clip_batch, tokenizer_config
from trees import assert_trees_equal

from magvit3d.config.run import RunConfig
from magvit3d.data.pixels import to_unit_range
from magvit3d.training import losses
from magvit3d.training.tokenizer_stage import TokenizerStage

_CLIP_SHAPE = (2, 4, 4, 3)


@pytest.fixture(scope="module")
def batch():
  return clip_batch()


@pytest.fixture(scope="module")
def upstream(batch):
  """Stage, state, and the state and metrics after one step."""
  stage = TokenizerStage(
    RunConfig.from_dict(tokenizer_config()), 1000, _CLIP_SHAPE
  )
  state = jax.jit(stage.init_state)()
  step = jax.jit(stage.train_step)
  return stage, state, step, *step(state, batch)


@pytest.fixture(scope="module")
def helped(batch):
  """The same with all that is beyond upstream, starting at step 1."""
  settings = dict(
    foreground_weight=3.0,
    discriminator_start_step=1,
    quantizer_start_step=1,
    dead_code_reset_steps=1,
  )
  stage = TokenizerStage(
    RunConfig.from_dict(tokenizer_config(**settings)),
    1000,
    _CLIP_SHAPE,
    np.asarray(batch["frames"]),
  )
  state = jax.jit(stage.init_state)()
  step = _make_step(stage)
  return stage, state, step, *step(state, batch)


def _make_step(stage):
  """Takes the step that a state has come to, as the loop does."""
  compiled = {}

  def step(state, batch):
    function = stage.step_function(int(state.step))
    return compiled.setdefault(function, jax.jit(function))(state, batch)

  return step


@pytest.fixture(scope="module")
def by_hand(upstream, batch):
  """Both losses of upstream's recipe, and Adam's first step for each."""
  stage, state, *_ = upstream
  real = to_unit_range(batch["frames"])

  def discriminate(params, clips):
    return stage.discriminator.apply({"params": params}, clips)

  def g_loss(params):
    out = stage.tokenizer.apply({"params": params}, real, train=True)
    adversarial = losses.generator_loss(
      discriminate(state.d_params, out.reconstruction), "non-saturating"
    )
    error = jnp.mean((out.reconstruction - real) ** 2)
    loss = error + 0.1 * adversarial + out.quantized.losses["quantizer_loss"]
    return loss, out.reconstruction

  def d_loss(params, fake):
    real_logits, penalty = losses.r1_penalty(
      lambda clips: discriminate(params, clips), real
    )
    return 10 * penalty + losses.discriminator_loss(
      real_logits, discriminate(params, fake), "non-saturating"
    )

  def adam(params, grads):
    # Beta 1 is 0, and the second moment is corrected: g / (|g| + eps).
    return jax.tree.map(
      lambda p, g: p - 1e-2 * g / (jnp.abs(g) + 1e-8), params, grads
    )

  @jax.jit
  def both():
    (g_value, fake), g_grads = jax.value_and_grad(g_loss, has_aux=True)(
      state.g_params
    )
    d_value, d_grads = jax.value_and_grad(d_loss)(state.d_params, fake)
    return (
      (g_value, g_grads, adam(state.g_params, g_grads)),
      (d_value, d_grads, adam(state.d_params, d_grads)),
    )

  return both()


def _assert_same_step(got, expected, grads):
  """Where a gradient is mere rounding its sign, hence its step, is open."""

  def check(a, b, grad):
    is_clear = np.abs(grad) > 1e-5
    np.testing.assert_allclose(
      np.asarray(a)[is_clear], np.asarray(b)[is_clear], atol=2e-4
    )

  jax.tree.map(check, got, expected, grads)


def test_generator_steps_as_upstreams(upstream, by_hand):
  *_, after, metrics = upstream
  value, grads, params = by_hand[0]
  np.testing.assert_allclose(metrics["g_loss"], value, rtol=1e-5)
  _assert_same_step(after.g_params, params, grads)


def test_discriminator_steps_from_the_generator_before_its_step(
  upstream, by_hand
):
  *_, after, metrics = upstream
  value, grads, params = by_hand[1]
  np.testing.assert_allclose(metrics["d_loss"], value, rtol=1e-5)
  _assert_same_step(after.d_params, params, grads)


def test_average_moves_by_one_minus_its_decay(upstream):
  _, state, _, after, _ = upstream
  assert_trees_equal(state.ema_params, state.g_params)
  expected = jax.tree.map(
    lambda old, new: 0.9 * old + 0.1 * new, state.ema_params, after.g_params
  )
  chex.assert_trees_all_close(after.ema_params, expected, rtol=1e-7, atol=1e-6)


def test_logit_averages_start_at_zero_and_follow_after_use(upstream):
  _, state, _, after, metrics = upstream
  np.testing.assert_array_equal(state.logit_ema, 0)
  means = [metrics["real_logit"], metrics["fake_logit"]]
  np.testing.assert_allclose(after.logit_ema, 0.1 * np.stack(means), rtol=1e-5)


def test_same_state_and_batch_give_the_same_step(upstream, batch):
  stage, state, step, after, _ = upstream
  assert_trees_equal(jax.jit(stage.init_state)(), state)
  assert_trees_equal(step(state, batch)[0], after)


def test_foreground_weight_one_is_the_plain_squared_error(upstream, helped):
  *_, metrics = upstream
  parts = ("reconstruction_loss", "quantizer_loss")
  total = sum(metrics[part] for part in parts)
  total += 0.1 * metrics["g_adversarial_loss"]
  np.testing.assert_allclose(metrics["g_loss"], total, rtol=1e-6)
  # Above 1 the loss is not that error.
  *_, metrics = helped
  assert metrics["g_loss"] > 1.1 * metrics["reconstruction_loss"]


def test_without_codebook_frames_the_codebook_stays(upstream):
  stage, state, *_ = upstream
  assert stage.before_step(state, 0) is state


def test_the_codebook_starts_on_features_just_before_it_is_used(helped, batch):
  stage, state, *_ = helped
  assert stage.before_step(state, 0) is state
  after = stage.before_step(state, 1)
  rows = after.g_params["quantizer"]["codebook"]
  features = stage.tokenizer.apply(
    {"params": state.g_params},
    to_unit_range(batch["frames"]),
    method="features",
  ).reshape(-1, rows.shape[-1])
  distances = np.abs(rows[:, None] - features[None]).max(-1).min(-1)
  np.testing.assert_allclose(distances, 0, atol=1e-5)
  np.testing.assert_array_equal(after.ema_params["quantizer"]["codebook"], rows)
  assert_trees_equal(after.g_params["decoder"], state.g_params["decoder"])


def test_discriminator_waits_for_its_first_step(helped, batch):
  _, state, step, after, metrics = helped
  assert_trees_equal(after.d_params, state.d_params)
  assert_trees_equal(after.d_opt_state, state.d_opt_state)
  np.testing.assert_array_equal(after.logit_ema, 0)
  assert metrics["g_adversarial_loss"] == 0 and metrics["d_loss"] == 0
  later, metrics = step(after, batch)
  assert metrics["d_loss"] > 0
  moved = jax.tree.map(lambda a, b: a - b, later.d_params, after.d_params)
  assert optax.tree.norm(moved) > 1e-3


@pytest.mark.slow
def test_logged_rates_are_those_that_were_applied(batch):
  """The discriminator's warm-up begins with its own first step."""
  config = tokenizer_config(discriminator_start_step=1)
  config["train_tokenizer"]["warmup_steps"] = 4
  stage = TokenizerStage(RunConfig.from_dict(config), 1000, _CLIP_SHAPE)
  step = _make_step(stage)
  states, rates = [jax.jit(stage.init_state)()], []
  for _ in range(3):
    state, metrics = step(states[-1], batch)
    states.append(state)
    rates.append([float(metrics[f"{player}_learning_rate"]) for player in "gd"])
  np.testing.assert_allclose(
    rates, [[0, 0], [0.0025, 0], [0.005, 0.0025]], rtol=1e-5
  )
  assert_trees_equal(states[2].d_params, states[0].d_params)
  moved = jax.tree.map(
    lambda a, b: a - b, states[3].d_params, states[2].d_params
  )
  assert optax.tree.norm(moved) > 1e-4


def test_metrics_tell_norms_and_use_of_codes(upstream, batch):
  _, _, step, after, metrics = upstream
  for name in ("g", "d", "ema"):
    leaves = jax.tree.leaves(getattr(after, f"{name}_params"))
    norm = np.sqrt(sum(np.sum(np.square(leaf)) for leaf in leaves))
    np.testing.assert_allclose(metrics[f"{name}_param_norm"], norm, rtol=1e-5)
  num_dead = np.sum(np.asarray(after.code_counts) == 0)
  assert 0 < num_dead < 8
  assert metrics["dead_codes"] == num_dead
  assert metrics["code_usage"] == 1 - num_dead / 8
  # One batch more than was chosen before: a code is dead if it is in neither.
  history = np.asarray(after.code_counts == 0, np.int32)
  _, metrics = step(after.replace(code_counts=jnp.asarray(history)), batch)
  assert metrics["dead_codes"] < num_dead or metrics["code_usage"] < 1
  assert metrics["dead_codes"] <= 8 - num_dead


def test_the_codebook_waits_for_the_quantizers_first_step(helped):
  _, state, _, after, _ = helped
  assert_trees_equal(after.g_params["quantizer"], state.g_params["quantizer"])


def test_only_dead_codes_move_and_only_when_due(helped, batch):
  _, _, step, after, metrics = helped
  assert metrics["codes_reset"] == 0  # The period starts with the quantizer.
  is_used = np.arange(8) % 2 == 0
  # With this history the batch brings odd codes to a count of exactly 0.
  history = jnp.where(is_used, 1000, -np.asarray(_counts(helped, batch)))
  later, metrics = step(after.replace(code_counts=history), batch)
  assert metrics["codes_reset"] == 4
  np.testing.assert_array_equal(later.code_counts, 0)
  rows, averages = (
    np.asarray(params["quantizer"]["codebook"])
    for params in (later.g_params, later.ema_params)
  )
  # Moved rows are the average's too; kept ones lag behind.
  np.testing.assert_array_equal(rows[~is_used], averages[~is_used])
  before = np.asarray(after.g_params["quantizer"]["codebook"])
  # A step of Adam at 1e-2 with beta 2 of .99 moves by at most 10 times that.
  assert np.abs(rows - before)[is_used].max() <= 0.1 + 1e-6


def _counts(helped, batch):
  """How often the second step's batch chooses each code."""
  stage, _, _, after, _ = helped
  tokens = stage.tokenizer.apply(
    {"params": after.g_params}, to_unit_range(batch["frames"]), method="encode"
  ).tokens
  return jnp.bincount(tokens.ravel(), length=8)


def test_without_a_period_codes_are_counted_and_never_reset(upstream, batch):
  _, _, step, after, metrics = upstream
  assert "codes_reset" not in metrics
  assert np.sum(after.code_counts) == 2 * 1 * 2 * 2
  later, _ = step(after, batch)
  assert np.sum(later.code_counts) == 2 * np.sum(after.code_counts)


def test_loss_falls_on_one_batch(upstream, batch):
  _, state, step, _, first = upstream
  for _ in range(30):
    state, metrics = step(state, batch)
  assert metrics["reconstruction_loss"] < 0.7 * first["reconstruction_loss"]


@pytest.mark.slow
def test_without_a_discriminator_the_generator_learns_as_before_one(batch):
  states, metrics = [], []
  for start in (None, 1000):
    stage = TokenizerStage(
      RunConfig.from_dict(tokenizer_config(discriminator_start_step=start)),
      1000,
      _CLIP_SHAPE,
    )
    state = jax.jit(stage.init_state)()
    after, values = _make_step(stage)(state, batch)
    assert_trees_equal(after.d_params, state.d_params)
    states.append(after.g_params)
    metrics.append(values)
  chex.assert_trees_all_close(*states, rtol=1e-7, atol=1e-6)
  assert set(metrics[0]) < set(metrics[1])
  assert {"d_loss", "d_param_norm"} < set(metrics[1]) - set(metrics[0])
