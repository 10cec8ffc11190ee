"""Each leaf is loaded, inflated, or told; only what is allowed is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import upstream_samples as samples
from flax import traverse_util

from magvit3d import upstream
from magvit3d.config.networks import TokenizerConfig
from magvit3d.errors import UserError
from magvit3d.models.tokenizer import Tokenizer

_MODES = {"2d->3d": "central", "2d->3d/average": "average"}


def _flat(tree):
  return traverse_util.flatten_dict(tree, sep="/")


def _tree(**leaves):
  """{"a__b": shape} -> {"a": {"b": array}}, each entry different."""
  arrays = {
    name: np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1
    for name, shape in leaves.items()
  }
  return traverse_util.unflatten_dict(arrays, sep="__")


def _zeros(**leaves):
  return jax.tree.map(np.zeros_like, _tree(**leaves))


def test_equal_trees_are_loaded_as_they_are():
  source = samples.make_params("tokenizer")["ema_params"]
  target = jax.tree.map(np.zeros_like, source)
  params, report = upstream.match(source, target)
  samples.assert_same_tree(params, source)
  assert report.counts()["loaded"] == len(jax.tree.leaves(source))
  assert sum(report.counts().values()) == len(jax.tree.leaves(source))


def test_target_may_be_shapes_alone():
  source = samples.make_params("transformer")["params"]
  params, _ = upstream.match(source, jax.eval_shape(lambda: source))
  samples.assert_same_tree(params, source)


def test_values_take_the_type_of_the_target():
  target = {"bias": jax.ShapeDtypeStruct((3,), jnp.bfloat16)}
  params, _ = upstream.match(_tree(bias=(3,)), target)
  assert params["bias"].dtype == jnp.bfloat16


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_central_inflation_fills_the_middle_slice(depth):
  source, target = (
    _tree(kernel=(3, 3, 2, 4)),
    _zeros(kernel=(depth, 3, 3, 2, 4)),
  )
  params, report = upstream.match(source, target, "2d->3d")
  expected = np.zeros(target["kernel"].shape)
  expected[{1: 0, 2: 1, 3: 1, 4: 2, 5: 2}[depth]] = source["kernel"]
  np.testing.assert_array_equal(params["kernel"], expected)
  assert report.counts()["inflated"] == 1


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_average_inflation_spreads_the_kernel_evenly(depth):
  source, target = (
    _tree(kernel=(3, 3, 2, 4)),
    _zeros(kernel=(depth, 3, 3, 2, 4)),
  )
  params, _ = upstream.match(source, target, "2d->3d/average")
  for slice_ in params["kernel"]:
    np.testing.assert_allclose(slice_ * depth, source["kernel"], rtol=1e-6)


def test_equal_shapes_are_never_inflated():
  source, target = _tree(codebook=(16, 6)), _zeros(codebook=(16, 6))
  params, report = upstream.match(source, target, "2d->3d/average")
  np.testing.assert_array_equal(params["codebook"], source["codebook"])
  assert report.counts()["loaded"] == 1


@pytest.mark.parametrize(
  ("source_shape", "target_shape"),
  [
    ((6,), (16, 6)),  # Not a kernel.
    ((16, 6), (3, 16, 6)),
    ((3, 3, 2, 4), (3, 3, 3, 4, 2)),  # Other channels.
    ((3, 3, 2, 4), (3, 1, 3, 3, 2, 4)),
    ((3, 3, 3, 2, 4), (3, 3, 2, 4)),  # From 3D to 2D.
  ],
)
def test_other_shapes_are_not_inflated(source_shape, target_shape):
  source, target = _tree(leaf=source_shape), _zeros(leaf=target_shape)
  with pytest.raises(UserError, match="1 of another shape"):
    upstream.match(source, target, "2d->3d")


@pytest.mark.parametrize("inflation", _MODES)
@pytest.mark.parametrize("kind", ["ema_params", "d_params"])
def test_whole_2d_trees_are_inflated(inflation, kind):
  """Against shapes of kernels with an axis of time put in by hand."""
  tree = samples.make_params("tokenizer")[kind]
  flat = {k: v for k, v in _flat(tree).items() if "Dense" not in k}
  source = {
    key: leaf.sum(axis=0) if leaf.ndim == 5 else leaf
    for key, leaf in flat.items()
  }
  nested = [
    traverse_util.unflatten_dict(leaves, sep="/") for leaves in (source, flat)
  ]
  params, report = upstream.match(*nested, inflation)
  num_kernels = sum(leaf.ndim == 5 for leaf in flat.values())
  assert report.counts()["inflated"] == num_kernels > 0
  for key, found in _flat(params).items():
    if flat[key].ndim == 5:
      # Both inflations keep the sum over time.
      np.testing.assert_allclose(found.sum(axis=0), source[key], rtol=1e-5)
    else:
      np.testing.assert_array_equal(found, source[key])


@pytest.mark.parametrize(
  "fields",
  [{}, {"norm_type": "GN", "num_groups": 2}, {"conv_downsample": True}],
)
def test_2d_tokenizer_and_discriminator_fill_the_3d_ones(fields):
  """16 frames or fewer are one at the discriminator's dense layers."""
  source = samples.make_params("tokenizer", architecture="2dcnn", **fields)
  target = samples.make_params("tokenizer", **fields)
  _, report = upstream.match_trees(source, target, "2d->3d")
  for name in ("ema_params", "d_params"):
    found = [x for x in report.leaves if x.name.startswith(name)]
    num_inflated = sum(leaf.outcome == "inflated" for leaf in found)
    assert num_inflated == sum(
      x.ndim == 4 for x in jax.tree.leaves(source[name])
    )
    assert num_inflated > 5


def test_2d_file_without_inflation_is_told_about_it():
  source, target = _tree(kernel=(3, 3, 2, 4)), _zeros(kernel=(3, 3, 3, 2, 4))
  with pytest.raises(UserError, match=r"kernels are 2D.*inflation=2d->3d"):
    upstream.match(source, target)


def test_unknown_inflation_is_told_the_known_ones():
  with pytest.raises(UserError, match=r"'3d'.*2d->3d, 2d->3d/average"):
    upstream.match({}, {}, "3d")


def _mismatching():
  source = _tree(a__kernel=(3,), a__extra=(2,), b__kernel=(2, 2))
  target = _zeros(a__kernel=(3,), b__kernel=(2, 3), c__bias=(4,))
  return source, target


def test_every_mismatch_is_named():
  with pytest.raises(upstream.MismatchError) as caught:
    upstream.match(*_mismatching())
  for text in (
    "1 missing in it (params/c/bias (4,))",
    "1 unknown to the network (params/a/extra (2,))",
    "1 of another shape (params/b/kernel (2, 2) -> (2, 3))",
  ):
    assert text in str(caught.value)
  found = {leaf.name: leaf.outcome for leaf in caught.value.report.leaves}
  assert found == {
    "params/a/kernel": "loaded",
    "params/a/extra": "unexpected",
    "params/b/kernel": "shape",
    "params/c/bias": "missing",
  }


def test_allowed_leaves_keep_the_networks_values():
  source, target = _mismatching()
  params, report = upstream.match(
    source,
    target,
    allow="missing:c/*, unexpected:*/extra,shape:params/b/kernel",
  )
  samples.assert_same_tree(
    params, target | {"a": {"kernel": source["a"]["kernel"]}}
  )
  assert report.kept() == ["params/b/kernel", "params/c/bias"]


@pytest.mark.parametrize(
  "allow",
  [
    "missing:c/*,shape:*",  # `a/extra` is unexpected.
    "unexpected:*,missing:*",
    "missing:*,shape:*,unexpected:a/extr",  # Patterns fit a whole path.
    "missing:b/*,unexpected:c/*,shape:a/*",  # Categories count.
  ],
)
def test_what_is_not_allowed_is_refused(allow):
  with pytest.raises(upstream.MismatchError):
    upstream.match(*_mismatching(), allow=allow)


def test_pattern_that_fits_nothing_is_an_error():
  source = _tree(a=(3,))
  with pytest.raises(UserError, match=r"missing:b/\* fits no mismatch"):
    upstream.match(source, source, allow="missing:b/*")


@pytest.mark.parametrize("allow", ["decoder/*", "missing", "missing:", "x:y"])
def test_malformed_pattern_is_an_error(allow):
  with pytest.raises(UserError, match="is no category and pattern") as caught:
    upstream.match({}, {}, allow=allow)
  assert repr(allow) in str(caught.value)


def test_pattern_can_name_the_tree():
  sources = {"ema_params": _tree(a=(3,)), "d_params": _tree(a=(3,), b=(1,))}
  targets = {"ema_params": _tree(a=(3,)), "d_params": _tree(a=(3,))}
  trees, _ = upstream.match_trees(
    sources, targets, allow="unexpected:d_params/*"
  )
  samples.assert_same_tree(trees, targets)


def test_tree_that_the_networks_lack_is_unexpected():
  with pytest.raises(UserError, match=r"unknown to the network \(d_params/a"):
    upstream.match_trees({"d_params": _tree(a=(3,))}, {})


def _make_tokenizers(**shared):
  """2D, and 3D without strides in time."""
  shared["conv_implementation"] = "xla"
  return [
    Tokenizer.from_config(
      TokenizerConfig(**samples.make_config(**shared, **fields)["vqvae"])
    )
    for fields in (
      {"architecture": "2dcnn"},
      {"architecture": "3dcnn", "temporal_downsample": (False,)},
    )
  ]


@pytest.mark.slow
@pytest.mark.parametrize("upsample", ["nearest", "deconv"])
def test_centrally_inflated_network_sees_frames_as_the_2d_one(upsample):
  """LayerNorm, because GroupNorm takes its statistics over all frames.

  Float32 sums of a few hundred terms: about 1e-5 of the values' size.
  """
  rng = np.random.default_rng(0)
  clips = jnp.asarray(rng.uniform(size=(2, 5, 8, 8, 3)), jnp.float32)
  flat, deep = _make_tokenizers(upsample=upsample, norm_type="LN")
  source = flat.init(jax.random.key(0), clips)["params"]
  like = jax.eval_shape(deep.init, jax.random.key(1), clips)["params"]
  params, _ = upstream.match(source, like, "2d->3d")
  expected = flat.apply({"params": source}, clips)
  found = deep.apply({"params": params}, clips)
  np.testing.assert_allclose(
    found.quantized.latents, expected.quantized.latents, atol=2e-5
  )
  np.testing.assert_array_equal(
    found.quantized.tokens, expected.quantized.tokens
  )
  np.testing.assert_allclose(
    found.reconstruction, expected.reconstruction, atol=2e-5
  )


def test_averaged_network_sees_a_still_clip_as_the_2d_one_does():
  """But at the ends, where padding is part of the mean."""
  rng = np.random.default_rng(0)
  frame = rng.uniform(size=(1, 1, 8, 8, 3))
  clips = jnp.asarray(np.repeat(frame, 25, axis=1), jnp.float32)
  flat, deep = _make_tokenizers(norm_type=None)
  source = flat.init(jax.random.key(0), clips)["params"]
  like = jax.eval_shape(deep.init, jax.random.key(1), clips)["params"]
  params, _ = upstream.match(source, like, "2d->3d/average")
  found, expected = (
    net.apply({"params": p}, clips, method="features")
    for net, p in ((deep, params), (flat, source))
  )
  # 1 + 2 x 3 convolutions of width 3 reach 7 frames far.
  np.testing.assert_allclose(found[:, 7:-7], expected[:, 7:-7], atol=2e-5)
  assert np.abs(found[:, 0] - expected[:, 0]).max() > 1e-2
