"""Whatever a file holds, reading it ends in parameters or a UserError."""

import pickle
import resource
import sys
import tracemalloc

import msgpack
import numpy as np
import pytest
import upstream_samples as samples
from flax import serialization

from magvit3d import upstream
from magvit3d.errors import UserError

# The smoke set's environment has it not.
hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

_MAX_BYTES = 100 * 2**20
_STATES = {
  "tokenizer": {
    "ema_params": {
      "quantizer": {"codebook": np.arange(12, dtype=np.float32)},
      "encoder": {"Conv_0": {"bias": np.ones((2, 3), np.float32)}},
    },
    "global_step": 7,
    "rng": np.array([1, 2], np.uint32),
    "metadata": {"scalar": np.float32(0.5), "complex": 1j, "none": None},
  },
  "transformer": {
    "params": {"BertEmbed_0": {"embedding": np.ones((3, 2), np.float16)}},
    "opt_state": {"0": {"mu": {}}, "1": [1, 2.5, "text", b"bytes", True]},
  },
}


def _serialize(state, chunk_bytes):
  before = serialization.MAX_CHUNK_SIZE
  serialization.MAX_CHUNK_SIZE = chunk_bytes
  try:
    return serialization.msgpack_serialize(state)
  finally:
    serialization.MAX_CHUNK_SIZE = before


_VALID = [
  _serialize(state, chunk_bytes)
  for state in _STATES.values()
  for chunk_bytes in (2**30, 16)
]

_many = hypothesis.settings(
  max_examples=200,
  derandomize=True,
  deadline=None,
  database=None,
  suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(autouse=True)
def no_pickle(monkeypatch):
  """Unpickling fails the test: AssertionError is no UserError."""

  def refuse(*_, **__):
    raise AssertionError("something was unpickled")

  for name in ("load", "loads", "Unpickler", "_Unpickler", "_loads", "_load"):
    monkeypatch.setattr(pickle, name, refuse)


@pytest.fixture
def path(tmp_path):
  return tmp_path / "checkpoint_1"


def _read(path, content):
  """Reads a file of these bytes within bounds; returns whether it is good."""
  path.write_bytes(content)
  tracemalloc.start()
  try:
    found = upstream.load(str(path))
  except UserError as error:
    assert str(path) in str(error)
    return False
  else:
    assert found.trees
    return True
  finally:
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < _MAX_BYTES


def test_the_valid_files_are_valid(path):
  assert all(_read(path, content) for content in _VALID)


@pytest.mark.slow
@_many
@hypothesis.given(content=st.binary(max_size=300))
def test_random_bytes(path, content):
  assert not _read(path, content)


@pytest.mark.slow
@_many
@hypothesis.given(content=st.sampled_from(_VALID), share=st.floats(0, 1))
def test_truncated_files(path, content, share):
  cut = content[: int(share * len(content))]
  assert _read(path, cut) == (cut == content)


@pytest.mark.slow
@_many
@hypothesis.given(
  content=st.sampled_from(_VALID),
  edits=st.lists(
    st.tuples(st.floats(0, 0.999), st.integers(0, 4), st.binary(max_size=6)),
    min_size=1,
    max_size=4,
  ),
)
def test_mutated_files(path, content, edits):
  """Some bytes are removed, and others put there."""
  for share, num_removed, added in edits:
    at = int(share * len(content))
    content = content[:at] + added + content[at + num_removed :]
  _read(path, content)


_scalars = (
  st.none()
  | st.booleans()
  | st.integers(-(2**63), 2**64 - 1)
  | st.floats()
  | st.text(max_size=5)
  | st.binary(max_size=5)
)
_sizes = st.integers(-2, 5) | st.sampled_from([2**31, 2**40, 2**64 - 1])
_dtypes = st.sampled_from(
  ["float32", "bfloat16", "O", "object", "V99999999", "f4,O", "U9", "m8[s]"]
)
_arrays = st.builds(
  lambda code, shape, dtype, content: msgpack.ExtType(
    code, msgpack.packb((shape, dtype, content))
  ),
  st.sampled_from([1, 3]),
  st.lists(_sizes, max_size=4) | _scalars,
  _dtypes | _scalars,
  st.binary(max_size=24) | _scalars,
)
_extensions = st.builds(
  msgpack.ExtType, st.integers(0, 127), st.binary(max_size=9)
)
_numbered = st.dictionaries(st.sampled_from("0123"), _sizes | _arrays)
_chunked = st.builds(
  lambda shape, chunks: {
    "__msgpack_chunked_array__": True,
    "shape": shape,
    "chunks": chunks,
  },
  _numbered | _scalars,
  _numbered | _scalars,
)
_keys = st.sampled_from(
  ["params", "quantizer", "ema_params", "optimizer", "target", "BertEmbed_0"]
)
_leaves = _scalars | _arrays | _extensions | _chunked
_trees = st.recursive(
  _leaves,
  lambda children: (
    st.dictionaries(_keys | st.integers(0, 3) | st.text(max_size=3), children)
    | st.lists(children, max_size=4)
  ),
  max_leaves=8,
)
_layouts = st.sampled_from(
  [
    lambda tree: {"params": {"quantizer": {"codebook": tree}}},
    lambda tree: {"ema_params": {"encoder": tree}, "global_step": tree},
    lambda tree: {"optimizer": {"target": {"BertEmbed_0": tree}}},
    lambda tree: {"g_optimizer": tree, "ema_params": {"decoder": tree}},
    lambda tree: tree,
  ]
)


@pytest.mark.slow
@_many
@hypothesis.given(tree=_trees, layout=_layouts)
def test_well_formed_files_of_hostile_content(path, tree, layout):
  _read(path, msgpack.packb(layout(tree), strict_types=True))


def _list_header(length):
  return b"\xdd" + length.to_bytes(4, "big")


@pytest.mark.variants
@pytest.mark.parametrize(
  "content",
  [
    # Lists in lists, each said to be as long as the file, or as is allowed.
    _list_header(2**21) * 500 + bytes(2**21),
    _list_header(4096) * 500 + bytes(2**21),
    b"\x81\xa1a" + _list_header(4096) * 500,
    _list_header(2**32 - 1) * 500,
    _list_header(4096) + (_list_header(4096) + b"\x80" * 4096) * 700,
    b"\xdf\xff\xff\xff\xff" * 1000,  # Maps of 2^32 entries.
    b"\x81\xa1a\xc6\xff\xff\xff\xff",  # 4 GB of bytes.
    b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",  # An array of 4 GB.
    b"\x91" * 10**6,
  ],
)
def test_file_that_promises_more_than_it_holds(path, content):
  """Measured from outside: msgpack's reservations are not all traced."""
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert not _read(path, content)
  unit = 1 if sys.platform == "darwin" else 1024
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown * unit < _MAX_BYTES


def test_pickle_is_refused_unopened(path):
  path.write_bytes(pickle.dumps(samples.STEP))
  with pytest.raises(UserError, match="a Python pickle, which is never opened"):
    upstream.load(str(path))
