"""Every layout is read as it was written; everything else is refused."""

import gc
import hashlib
import json
import pickle

import fsspec
import msgpack
import numpy as np
import pytest
import upstream_samples as samples
from flax import serialization

from magvit3d import upstream
from magvit3d.errors import UserError

pytestmark = pytest.mark.smoke

_STATES = {
  kind: states
  for kind, states in (
    ("tokenizer", samples.tokenizer_states()),
    ("transformer", samples.transformer_states()),
  )
}
_LAYOUTS = [(kind, name) for kind, states in _STATES.items() for name in states]


def _expected(kind, layout):
  """All trees that the layout keeps."""
  trees = samples.make_params(kind)
  if layout.startswith("tokenizer's"):
    return {"ema_params": trees["ema_params"]}
  return trees


@pytest.fixture
def current():
  return _STATES["tokenizer"]["tokenizer"]


@pytest.mark.parametrize(("kind", "layout"), _LAYOUTS)
def test_msgpack_file_of_every_layout_comes_back(kind, layout, tmp_path):
  path = samples.write_file(
    tmp_path / f"checkpoint_{samples.STEP}", _STATES[kind][layout]
  )
  found = upstream.load(str(path))
  samples.assert_same_tree(dict(found.trees), _expected(kind, layout))
  assert (found.kind, found.layout) == (kind, layout)
  assert (found.step, found.source) == (samples.STEP, str(path))
  assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("use_ocdbt", [True, False])
@pytest.mark.parametrize(("kind", "layout"), _LAYOUTS)
def test_orbax_folder_of_every_layout_comes_back(
  kind, layout, use_ocdbt, tmp_path
):
  path = tmp_path / f"checkpoint_{samples.STEP}"
  samples.write_orbax(path, _STATES[kind][layout], use_ocdbt)
  found = upstream.load(str(tmp_path))
  samples.assert_same_tree(dict(found.trees), _expected(kind, layout))
  assert (found.kind, found.layout) == (kind, layout)
  assert (found.step, found.source) == (samples.STEP, str(path))


@pytest.mark.slow
def test_folder_that_flax_wrote_through_orbax_comes_back(tmp_path, current):
  checkpoints = pytest.importorskip("flax.training.checkpoints")
  from flax import config

  before = config.flax_use_orbax_checkpointing
  config.update("flax_use_orbax_checkpointing", True)
  try:
    checkpoints.save_checkpoint(tmp_path, current, 5)
  finally:
    config.update("flax_use_orbax_checkpointing", before)
  found = upstream.load(str(tmp_path))
  samples.assert_same_tree(found.trees["d_params"], current["d_params"])


def test_chunked_arrays_are_joined(tmp_path, current, monkeypatch):
  monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 64)
  path = samples.write_file(tmp_path / "checkpoint_1", current)
  assert path.read_bytes().count(b"__msgpack_chunked_array__") > 9
  found = upstream.load(str(path))
  samples.assert_same_tree(dict(found.trees), samples.make_params("tokenizer"))


def test_half_precision_becomes_float32(tmp_path):
  import jax
  import jax.numpy as jnp

  params = samples.make_params("transformer")["params"]
  half = jax.tree.map(lambda x: np.asarray(x, jnp.bfloat16), params)
  path = samples.write_file(tmp_path / "checkpoint_1", {"params": half})
  found = upstream.load(str(path)).trees["params"]
  expected = jax.tree.map(lambda x: x.astype(np.float32), half)
  samples.assert_same_tree(found, expected)
  assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype("f4")}


def test_newest_step_of_a_folder_is_taken(tmp_path, current):
  for step in (9, 100, 20):
    state = current | {"global_step": step}
    samples.write_file(tmp_path / f"checkpoint_{step}", state)
  (tmp_path / "checkpoint_500.orbax-checkpoint-tmp-1").mkdir()
  (tmp_path / "checkpoint_tmp").write_text("")
  assert upstream.load(str(tmp_path)).step == 100


def test_step_comes_from_the_name_where_no_key_has_it(tmp_path):
  state = _STATES["tokenizer"]["tokenizer's variables"]
  path = samples.write_file(tmp_path / "checkpoint_77", state)
  assert upstream.load(path).step == 77
  path = samples.write_file(tmp_path / "2024" / "imagenet.bin", state)
  assert upstream.load(str(path)).step is None


@pytest.mark.parametrize("as_orbax", [False, True])
def test_url_is_read_as_a_local_path_is(tmp_path, current, as_orbax):
  local = tmp_path / f"checkpoint_{samples.STEP}"
  (samples.write_orbax if as_orbax else samples.write_file)(local, current)
  memory = fsspec.filesystem("memory")
  memory.put(str(local), f"/bucket/run/{local.name}", recursive=as_orbax)
  try:
    found = upstream.load("memory://bucket/run")
  finally:
    memory.rm("/bucket", recursive=True)
  expected = upstream.load(str(local))
  samples.assert_same_tree(dict(found.trees), dict(expected.trees))
  assert found.source == f"memory:///bucket/run/{local.name}"
  assert found.sha256 == expected.sha256
  assert found.step == samples.STEP


def test_missing_plugin_is_named(monkeypatch):
  def no_plugin(path):
    raise ImportError("Install gcsfs to access Google Storage")

  monkeypatch.setattr(fsspec.core, "url_to_fs", no_plugin)
  with pytest.raises(UserError, match=r"gs://bucket/x .*pip install gcsfs"):
    upstream.load("gs://bucket/x")


def test_unknown_scheme_is_told(tmp_path):
  with pytest.raises(UserError, match=r"nosuch://x cannot be opened"):
    upstream.load("nosuch://x")


def test_missing_path_is_named(tmp_path):
  with pytest.raises(UserError, match=r"absent does not exist"):
    upstream.load(str(tmp_path / "absent"))


def test_folder_without_checkpoint_is_told_what_it_holds(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  with pytest.raises(UserError, match=r"no checkpoint: there is config\.json"):
    upstream.load(str(tmp_path))


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (b"", "it is empty"),
    (b"PK\x03\x04rest", r"ZIP archive \(\.npz"),
    (pickle.dumps({"params": 1}), "pickle, which is never opened"),
    (b"\x1f\x8b\x08\x00", "gzip"),
    (msgpack.packb([1, 2]), "holds one list, not a map"),
    (msgpack.packb({1: 2}), "a key is int, not text"),
    (msgpack.packb({"a": msgpack.ExtType(9, b"x")}), r"unknown kind \(9\)"),
    (msgpack.packb({"a": msgpack.Timestamp(1)}), "holds a Timestamp"),
    (b"\x81\xa1a" * 3, "incomplete input"),
    (b"\x81\xa1a" * 100 + b"\x80", "nested more than 64 deep"),
    (b"\x81\xa1a\xdd\xff\xff\xff\xff", "max_array_len"),
    (b"\x80 and more", "extra data"),
  ],
)
def test_file_of_another_format_is_refused(tmp_path, content, reason):
  path = tmp_path / "checkpoint_1"
  path.write_bytes(content)
  with pytest.raises(UserError, match=reason) as caught:
    upstream.load(str(path))
  assert str(path) in str(caught.value)
  assert "name a checkpoint_<step> file" in str(caught.value)


def _array(shape, dtype="float32", content=b"\0" * 24):
  packed = msgpack.packb((shape, dtype, content), use_bin_type=True)
  return msgpack.ExtType(1, packed)


def _chunked(shape, chunks):
  def numbered(entries):
    return {str(i): entry for i, entry in enumerate(entries)}

  shape, chunks = numbered(shape), numbered(chunks)
  return {
    "__msgpack_chunked_array__": True,
    "shape": shape,
    "chunks": chunks,
  }


@pytest.mark.parametrize(
  ("leaf", "reason"),
  [
    (_array((2, 3), "O"), "has the type"),
    (_array((2, 3), "object"), "has the type"),
    (_array((2, 3), "V8"), "has the type"),
    (_array((2, 3), "f4,O"), "has the type"),
    (_array((2, 3), 7), "has the type"),
    (_array((2**40, 2**40)), "comes with 24 bytes"),
    (_array((2**63 - 1, 2)), "axis of length 9223372036854775807"),
    (_array((-2, -3)), "axis of length -2"),
    (_array((2.0, 3)), r"axis of length 2\.0"),
    (_array((True, 6)), "axis of length True"),
    (_array("23"), "no shape"),
    (_array((1,) * 33), "exceeds max_array_len"),
    (_array((2, 3), content=7), "comes with no bytes"),
    (
      _array((0, 2**64 - 1), content=b""),
      "axis of length 18446744073709551615",
    ),
    (_array((0, *[2**40] * 3), content=b""), "checkpoint_1 holds no"),
    (msgpack.ExtType(1, b"\x93"), "incomplete|Unpack"),
    (msgpack.ExtType(1, msgpack.packb([1])), "not .shape, type, bytes"),
    (msgpack.ExtType(2, msgpack.packb([1])), "no pair of numbers"),
    (_chunked((2, 3), []), "chunks of 0 entries"),
    (_chunked((2, 4), [_array((6,))]), "chunks of 6 entries"),
    (_chunked((2**40,), [_array((6,))]), "chunks of 6 entries"),
    (_chunked((6,), [_array((2, 3))]), "no row of numbers"),
    (_chunked((12,), [_array((6,)), _array((6,), "int32")]), "differ in type"),
    (_chunked((-6,), [_array((6,))]), "axis of length -6"),
    (_chunked(("6",), [_array((6,))]), "axis of length 6"),
    ({"__msgpack_chunked_array__": True}, "has no shape"),
  ],
)
def test_hostile_array_is_refused(tmp_path, leaf, reason):
  path = tmp_path / "checkpoint_1"
  path.write_bytes(msgpack.packb({"params": {"quantizer": {"codebook": leaf}}}))
  with pytest.raises(UserError, match=reason) as caught:
    upstream.load(str(path))
  assert str(path) in str(caught.value)


@pytest.mark.parametrize(
  ("leaf", "reason"),
  [
    (np.arange(3), "is int64, not an array of floating"),
    ("text", "is str, not an array"),
    (1.5, "is float, not an array"),
    (np.array([1.0, np.nan], np.float32), "not finite"),
    (np.array([1e300]), "not finite"),
  ],
)
def test_leaf_that_is_no_parameter_is_named(tmp_path, leaf, reason):
  state = {"params": {"quantizer": {"codebook": leaf}}}
  path = samples.write_file(tmp_path / "checkpoint_1", state)
  with pytest.raises(UserError, match=f"quantizer/codebook in .*{reason}"):
    upstream.load(str(path))


@pytest.mark.parametrize(
  "state",
  [
    {},
    {"weights": np.ones(3)},
    {"params": {"Dense_0": {"kernel": np.ones((2, 2))}}},
    {"params": np.ones(3)},
    {"optimizer": {"target": {}}},
    {"ema_params": {}, "g_params": {}},
    {"g_optimizer": 3},
  ],
)
def test_state_of_another_network_is_told_its_keys(tmp_path, state):
  path = samples.write_file(tmp_path / "checkpoint_1", state)
  keys = ", ".join(sorted(state)) or "none"
  with pytest.raises(UserError, match=f"its keys are {keys}"):
    upstream.load(str(path))


def test_only_parameters_are_read_from_an_orbax_folder(tmp_path, current):
  """What belongs to the optimizer may be damaged."""
  path = tmp_path / "checkpoint_1"
  samples.write_orbax(path, current, use_ocdbt=False)
  spoilt = [p for p in path.rglob("*") if "opt_state" in str(p) and p.is_file()]
  assert spoilt
  for file in spoilt:
    if file.name != ".zarray":
      file.write_bytes(b"spoilt")
  samples.assert_same_tree(
    dict(upstream.load(str(path)).trees), samples.make_params("tokenizer")
  )


def test_orbax_folder_of_boundless_arrays_is_refused(tmp_path, current):
  """Zarr would take the absent chunks for zeros."""
  path = tmp_path / "checkpoint_1"
  samples.write_orbax(path, current, use_ocdbt=False)
  header = path / "ema_params.quantizer.codebook" / ".zarray"
  fields = json.loads(header.read_text())
  header.write_text(json.dumps(fields | {"shape": [2**40, 6]}))
  with pytest.raises(UserError, match=r"arrays would take \d{14} bytes"):
    upstream.load(str(path))


# Orbax leaves tasks behind when it fails.
@pytest.mark.variants
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["cut off", "deleted"])
@pytest.mark.parametrize("use_ocdbt", [True, False])
def test_damaged_orbax_folder_is_refused(tmp_path, current, use_ocdbt, damage):
  path = tmp_path / "checkpoint_1"
  samples.write_orbax(path, {"params": current["ema_params"]}, use_ocdbt)
  needed = ("_METADATA", "manifest.ocdbt", "params.quantizer.codebook/*")
  files = [
    file
    for pattern in (*needed, "d/*", "ocdbt.process_0/d/*")
    for file in sorted(path.glob(pattern))
    if use_ocdbt or file.name != "manifest.ocdbt"
  ]
  assert len(files) >= 3
  refused = []
  for file in files:
    content = file.read_bytes()
    if damage == "deleted":
      file.unlink()
    else:
      file.write_bytes(content[: len(content) // 2])
    try:
      upstream.load(str(path))
    except UserError as error:
      assert str(path) in str(error)
      refused.append(file)
    file.write_bytes(content)
  gc.collect()  # So that what is left behind complains now.
  # Without what Orbax writes twice, or before merging, it can do.
  optional = [file for file in files if "ocdbt.process_0" in file.parts]
  assert set(files) - set(optional) <= set(refused)
  assert len(refused) >= 3
  upstream.load(str(path))
