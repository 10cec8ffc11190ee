"""Tests against numbers that google-research/magvit computed.

Each file in `cases` holds a config, a seed and outputs; `recipe` draws the
weights and inputs again from their names. Float32 sums in another order differ
by about 1e-6 an operation; after the tens of layers of these networks the
relative error (of norms) stays well below the tolerances here.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import adapter, recipe

from magvit3d.tokens.conditions import KINDS

_CASES = pathlib.Path(__file__).parent / "cases"
_PARAM_TREES = json.loads((_CASES / "param_trees.json").read_text())
_MASK_FIELDS = (
  "masked_inputs",
  "uncond_masked_inputs",
  "segment_ids",
  "targets",
  "weights",
)


@pytest.fixture(autouse=True)
def highest_precision():
  with jax.default_matmul_precision("highest"):
    yield


@pytest.fixture
def quick_compilation():
  """Leaves out optimisations, which cost more than they save here."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


def _names(pattern):
  return sorted(path.stem for path in _CASES.glob(pattern))


def _load(name):
  with np.load(_CASES / f"{name}.npz") as case:
    return dict(case)


def _text(case, key):
  return json.loads(str(case[key]))


def _ints(case, key):
  return tuple(int(size) for size in case[key])


def _assert_close(got, expected, tolerance=2e-4):
  got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
  assert got.shape == expected.shape
  error = np.linalg.norm(got - expected) / (np.linalg.norm(expected) + 1e-12)
  assert error <= tolerance


def _assert_same_shapes(got, expected):
  assert {key: tuple(shape) for key, shape in got.items()} == {
    key: tuple(shape) for key, shape in expected.items()
  }


def _assert_same_norms(grads, expected, tolerance):
  """Compares gradient norms; tiny ones against the size of all of them."""
  leaves = jax.tree_util.tree_leaves_with_path(grads)
  got = {
    jax.tree_util.keystr(path, simple=True, separator="/"): float(
      np.linalg.norm(leaf)
    )
    for path, leaf in leaves
  }
  assert set(got) == set(expected)
  total = np.linalg.norm(list(expected.values()))
  for key, norm in expected.items():
    assert got[key] == pytest.approx(norm, rel=tolerance, abs=1e-5 * total), key


def _assert_same_fields(got, case, prefix):
  for field in _MASK_FIELDS:
    np.testing.assert_array_equal(
      got[field], case[f"{prefix}|{field}"], err_msg=f"{prefix} {field}"
    )


@pytest.mark.parametrize("name", _names("tokenizer_*.npz"))
def test_tokenizer_equals_upstream(name, quick_compilation):
  case = _load(name)
  config, shapes = _text(case, "config"), _text(case, "param_shapes")
  seed, video_shape = int(case["seed"]), _ints(case, "video_shape")
  _assert_same_shapes(
    adapter.tokenizer_param_shapes(config, video_shape), shapes
  )
  params = recipe.params(shapes, seed)
  variant = name.removeprefix("tokenizer_")
  video = recipe.array(f"{variant}/video", video_shape, "uniform", seed)
  # Where two codes are about as near, rounding may choose the other one.
  is_clear = float(case["min_gap"]) > 1e-3

  out = adapter.tokenizer_forward(config, params, video)
  _assert_close(out["latents"], case["latents"])
  assert np.mean(out["indices"] == case["indices"]) >= 0.995
  if is_clear:
    _assert_close(out["quantized"], case["quantized"])
    _assert_close(out["reconstruction"], case["reconstruction"])

  parts = adapter.tokenizer_train_forward(config, params, video)
  for part, value in parts.items():
    _assert_close(value, case[part], 1e-3)

  decoded = adapter.tokenizer_decode_indices(config, params, case["indices"])
  _assert_close(decoded, case["decoded_from_indices"])
  if "stage1_mean" in case:
    features = adapter.tokenizer_stage1(config, params, case["indices"])
    _assert_close(features.mean(axis=-1), case["stage1_mean"])

  value, grads = adapter.tokenizer_objective(config, params, video)
  _assert_close(value, case["objective"], 1e-3)
  if is_clear:
    _assert_same_norms(grads, _text(case, "grad_norms"), 5e-3)


@pytest.mark.parametrize("name", _names("discriminator_*.npz"))
def test_discriminator_equals_upstream(name, quick_compilation):
  case = _load(name)
  config, shapes = _text(case, "config"), _text(case, "param_shapes")
  seed, video_shape = int(case["seed"]), _ints(case, "video_shape")
  _assert_same_shapes(
    adapter.discriminator_param_shapes(config, video_shape), shapes
  )
  variant = name.removeprefix("discriminator_")
  real, fake = (
    recipe.array(f"disc/{variant}/{kind}", video_shape, "uniform", seed)
    for kind in ("real", "fake")
  )
  out = adapter.discriminator_losses(
    config, recipe.params(shapes, seed), real, fake, r1_weight=10.0
  )
  _assert_same_norms(out.pop("grads"), _text(case, "grad_norms"), 5e-3)
  for key, value in out.items():
    _assert_close(value, case[key], 1e-3)
  regulariser = adapter.lecam(
    case["real_logit"].mean(), case["fake_logit"].mean(), 0.3, -0.2
  )
  _assert_close(regulariser, case["lecam"], 1e-3)


@pytest.mark.parametrize("name", _names("discriminator2d_*.npz"))
def test_discriminator_of_frames_equals_upstream(name, quick_compilation):
  case = _load(name)
  config, shapes = _text(case, "config"), _text(case, "param_shapes")
  seed, video_shape = int(case["seed"]), _ints(case, "video_shape")
  _assert_same_shapes(
    adapter.discriminator_param_shapes(config, video_shape), shapes
  )
  variant = name.removeprefix("discriminator2d_")
  video = recipe.array(f"disc2d/{variant}/video", video_shape, "uniform", seed)
  logits = adapter.discriminator_logits(
    config, recipe.params(shapes, seed), video
  )
  _assert_close(logits, case["logits"], 1e-3)


@pytest.mark.parametrize("name", _names("transformer_*.npz"))
def test_transformer_equals_upstream(name, quick_compilation):
  case = _load(name)
  kwargs, shapes = _text(case, "config"), _text(case, "param_shapes")
  seed, shape = int(case["seed"]), _ints(case, "shape")
  vocab_size, num_targets = kwargs["vocab_size"], kwargs["vocab_size"] - 16
  _assert_same_shapes(adapter.transformer_param_shapes(kwargs, shape), shapes)
  params = recipe.params(shapes, seed)
  prefix = f"bert/{name.removeprefix('transformer_')}"
  ids = recipe.integers(f"{prefix}/ids", shape, vocab_size, seed)
  segments = recipe.integers(f"{prefix}/seg", shape, 2, seed)
  targets = recipe.integers(f"{prefix}/targets", shape, num_targets, seed)
  scores = recipe.array(f"{prefix}/w", shape, "uniform", seed)
  weights = (scores < 0.6).astype(np.float32)

  logits = adapter.transformer_logits(kwargs, params, ids, segments)
  _assert_close(logits, case["logits"])
  for smoothing, key in (
    (1e-4, "token_loss"),
    (0.0, "token_loss_no_smoothing"),
  ):
    value, grads = adapter.transformer_loss(
      kwargs,
      params,
      ids,
      segments,
      targets,
      weights,
      label_smoothing=smoothing,
      num_targets=num_targets,
    )
    _assert_close(value, case[key], 1e-4)
    if smoothing:
      _assert_same_norms(grads, _text(case, "grad_norms"), 2e-3)


def test_random_masks_equal_upstream():
  case = _load("masks_random")
  seed, shape = int(case["seed"]), _ints(case, "shape")
  inputs = recipe.integers("mask/inputs", shape, 64, seed)
  cond_inputs = recipe.integers("mask/cond", shape, 64, seed)
  score = recipe.array("mask/score", shape, "uniform", seed)
  settings = sorted({key.rsplit("|", 1)[0] for key in case if "|" in key})
  for setting in settings:
    mode, weight_mode, ratio = setting.split("|")
    got = adapter.random_mask(
      inputs,
      cond_inputs,
      case["cond_mask"],
      score,
      float(ratio),
      None if mode == "None" else mode,
      weight_mode,
    )
    _assert_same_fields(got, case, setting)


def test_frame_by_frame_masks_equal_upstream():
  case = _load("masks_frame_by_frame")
  seed, shape = int(case["seed"]), _ints(case, "shape")
  inputs = recipe.integers("mask/inputs", shape, 64, seed)
  cond_inputs = recipe.integers("mask/cond", shape, 64, seed)
  score = recipe.array("mask/score", shape, "uniform", seed)
  for setting in sorted({k.rsplit("|", 1)[0] for k in case if "|" in k}):
    mode, ratio = setting.split("|")
    got = adapter.frame_by_frame_mask(
      inputs,
      cond_inputs,
      case["cond_mask"],
      score,
      float(ratio),
      None if mode == "None" else mode,
    )
    _assert_same_fields(got, case, setting)


def test_block_means_equal_upstream():
  case = _load("masks_block_pool")
  shape = _ints(case, "shape")
  score = recipe.array("block/score", shape, "uniform", int(case["seed"]))
  got = adapter.block_pool(score, score > 0.2, (2, 2, 2))
  # Means of 8 float32 values below 1.
  np.testing.assert_allclose(got, case["avg"], atol=8 * 2**-24)


def test_conditions_equal_upstream():
  case = _load("conditions")
  video_shape = _ints(case, "video_shape")
  latent_shape = _ints(case, "latent_shape")
  video = recipe.array("cond/video", video_shape, "uniform", int(case["seed"]))
  all_kwargs = _text(case, "kwargs")
  assert len(all_kwargs) > 10
  for name, kwargs in all_kwargs.items():
    (kind,) = (kind for kind in KINDS if name.startswith(kind))
    got = adapter.condition(kind, video, latent_shape, **kwargs)
    np.testing.assert_allclose(
      got["video"], case[f"{name}|video"], atol=2**-22, err_msg=name
    )
    for key in ("video_mask", "latent_mask"):
      expected = case[f"{name}|{key}"]
      np.testing.assert_array_equal(
        np.broadcast_to(got[key], expected.shape), expected, err_msg=name
      )


def test_top_p_equals_upstream():
  case = _load("sampling")
  seed = int(case["seed"])
  logits = 3 * recipe.array("sampling/logits", (3, 5, 40), seed=seed)
  for mass, key in ((0.3, "top_p_03"), (0.9, "top_p_09")):
    np.testing.assert_array_equal(adapter.top_p(logits, mass), case[key])


def test_mask_schedules_equal_upstream():
  case = _load("mask_schedules")
  total = int(case.pop("total"))
  ratios = np.array([0, 1e-3, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999], np.float32)
  for method, expected in case.items():
    used = ratios[1:] if method == "log" else ratios  # No logarithm of 0.
    _assert_close(adapter.mask_schedule(method, used, total), expected)


@pytest.mark.parametrize("kind", ["single", "single_fp", "multi"])
def test_sequences_equal_upstream(kind):
  case = _load("task_sequences")
  seed, settings = int(case["seed"]), _text(case, "settings")[kind]
  shape, size = (2, *settings["latent_shape"]), settings["codebook_size"]
  inputs = recipe.integers(f"seq/{kind}/inputs", shape, size, seed)
  cond_inputs = recipe.integers(f"seq/{kind}/cond", shape, size, seed)
  labels = np.array([[1], [3]] if settings["num_classes"] else [[0], [0]])
  for task in settings["tasks"]:
    got = adapter.task_sequence(
      settings, task, inputs, cond_inputs, labels.astype(np.int32)
    )
    _assert_same_fields(got, case, f"{kind}|{task}")


def _decode_settings():
  return sorted(key for key in _load("decode") if "|" in key)


@pytest.mark.parametrize("setting", _decode_settings())
def test_decoding_equals_upstream(setting):
  case = _load("decode")
  seed, vocab_size, shape = int(case["seed"]), int(case["vocab"]), (2, 2, 4, 4)
  table = 2 * recipe.array("decode/table", (*shape, vocab_size), seed=seed)
  mix = recipe.array("decode/mix", (vocab_size, vocab_size), seed=seed)

  def logits_fn(tokens):
    """Logits that depend on the position and on all known tokens."""
    rows = jnp.asarray(mix)[jnp.clip(tokens, 0)]
    known = jnp.where((tokens >= 0)[..., None], rows, 0.0)
    return table + known.sum(axis=(1, 2, 3), keepdims=True) / 16.0

  mode, schedule, num_iter = setting.split("|")
  cond_inputs = cond_mask = None
  if mode != "uncond":
    cond_inputs = recipe.integers("decode/cond", shape, vocab_size, seed)
    cond_mask = np.zeros((2, 2, 1, 1), bool)
    cond_mask[:, :1] = True
  got = adapter.decode(
    logits_fn,
    shape,
    cond_inputs,
    cond_mask,
    None if mode == "uncond" else mode,
    int(num_iter),
    schedule,
  )
  np.testing.assert_array_equal(got, case[setting])


def test_learning_rates_equal_upstream():
  for case in json.loads((_CASES / "lr_schedules.json").read_text()).values():
    got = adapter.learning_rate(case["lr_configs"], case["steps"])
    _assert_close(got, case["lr"], 1e-4)


def test_image_scores_equal_upstream():
  case = _load("image_quality")
  seed = int(case["seed"])
  a = recipe.array("iq/a", (2, 3, 32, 32, 3), "uniform", seed)
  noise = recipe.array("iq/n", a.shape, seed=seed)
  b = np.clip(a + 0.1 * noise, 0, 1)
  # Upstream's numbers are float32: 24 bits, and a few sums.
  np.testing.assert_allclose(adapter.psnr(a, b), case["psnr"], rtol=1e-6)
  np.testing.assert_allclose(adapter.ssim(a, b), case["ssim"], rtol=1e-5)


@pytest.mark.parametrize("layout", ["vqgan_current", "vqgan_deprecated"])
def test_upstream_tokenizer_file_works_here(layout, quick_compilation):
  case = _load("upstream_checkpoints/vqgan_expected")
  config = _text(case, "config")
  path = _CASES / "upstream_checkpoints" / layout
  params = adapter.load_upstream_tokenizer(str(path), config)
  video = recipe.array(
    "ckpt/video", _ints(case, "video_shape"), "uniform", int(case["seed"])
  )
  out = adapter.tokenizer_forward(config, params, video)
  assert np.mean(out["indices"] == case["indices"]) >= 0.99
  decoded = adapter.tokenizer_decode_indices(config, params, case["indices"])
  _assert_close(decoded, case["decoded"])


def test_upstream_transformer_file_works_here(quick_compilation):
  case = _load("upstream_checkpoints/maskgvt_expected")
  shape, vocab_size = _ints(case, "shape"), int(case["vocab"])
  kwargs = {
    "vocab_size": vocab_size,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "max_position_embeddings": shape[1],
  }
  path = _CASES / "upstream_checkpoints" / "maskgvt"
  params = adapter.load_upstream_transformer(str(path), kwargs)
  ids = recipe.integers("ckpt/ids", shape, vocab_size, int(case["seed"]))
  segments = np.zeros(shape, np.int32)
  logits = adapter.transformer_logits(kwargs, params, ids, segments)
  _assert_close(logits, case["logits"])


@pytest.mark.parametrize("mode", ["central", "average"])
def test_inflated_kernels_equal_upstream(mode):
  """The case holds each leaf's sum and norm."""
  case, video_shape = _load("inflation"), (1, 4, 16, 16, 3)
  seed = int(case["seed"])
  from_2d, from_3d = (
    recipe.params(
      adapter.tokenizer_param_shapes(_text(case, key), video_shape), seed + more
    )
    for key, more in (("config2d", 0), ("config3d", 100))
  )
  inflated = adapter.inflate(from_2d, from_3d, mode)
  got = {
    jax.tree_util.keystr(path, simple=True, separator="/"): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(inflated)
  }
  expected = _text(case, mode)
  assert set(got) == set(expected)
  for key, (total, norm) in expected.items():
    value = np.asarray(got[key], np.float64)
    assert np.linalg.norm(value) == pytest.approx(norm, rel=1e-3, abs=1e-5), key
    assert value.sum() == pytest.approx(total, abs=1e-3 * (abs(total) + norm))


def test_i3d_equals_upstream():
  case = _load("i3d")
  seed, shapes = int(case["seed"]), _text(case, "param_shapes")
  video = recipe.array("i3d/video", (1, 16, 32, 32, 3), "uniform", seed)
  out = adapter.i3d(recipe.params(shapes, seed), video)
  # Some 30 layers at full float32 precision.
  _assert_close(out["logits_mean"], case["logits_mean"], 1e-5)
  _assert_close(out["pool"], case["pool"], 1e-5)


def test_c3d_equals_upstream():
  case = _load("c3d")
  seed, shapes = int(case["seed"]), _text(case, "param_shapes")
  video = recipe.array("c3d/video", (1, 16, 40, 48, 3), "uniform", seed)
  logits = adapter.c3d(recipe.params(shapes, seed), video)
  # Sums of up to 14 000 products a layer.
  _assert_close(logits, case["logits"], 1e-4)


@pytest.mark.parametrize("name", _names("lm_*.npz"))
def test_autoregressive_transformer_equals_upstream(name):
  case = _load(name)
  kwargs, shapes = _text(case, "config"), _text(case, "param_shapes")
  seed, shape = int(case["seed"]), _ints(case, "shape")
  _assert_same_shapes(adapter.lm_param_shapes(kwargs, shape), shapes)
  prefix = f"lm/{name.removeprefix('lm_')}"
  ids = 1 + recipe.integers(
    f"{prefix}/ids", shape, kwargs["vocab_size"] - 1, seed
  )
  logits = adapter.lm_logits(kwargs, recipe.params(shapes, seed), ids)
  _assert_close(logits, case["logits"], 1e-5)


@pytest.mark.parametrize("name", sorted(_PARAM_TREES))
def test_parameters_of_the_configs_are_upstreams(name):
  _assert_same_shapes(adapter.config_param_shapes(name), _PARAM_TREES[name])
