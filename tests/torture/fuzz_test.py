"""Files that once did harm do none, and the fuzz can tell."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from data_gen.files import json_files
from data_gen.records import examples
from tests.torture import fuzz, fuzz_readers

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

_KEPT = sorted(fuzz.CORPUS.glob("*")) if fuzz.CORPUS.is_dir() else []


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
  """Readers by name, each prepared once."""
  found = {}

  def get(name):
    if name not in found:
      folder = tmp_path_factory.mktemp("reader") / "files"
      found[name] = fuzz_readers.open_reader(name, folder)
    return found[name]

  return get


@pytest.mark.parametrize("path", _KEPT, ids=lambda path: path.name)
def test_inputs_that_did_harm_do_none(opened, path):
  name = path.name.rpartition("-")[0]
  outcome, text = fuzz.judge(opened(name), path.read_bytes())
  assert outcome not in fuzz.BAD, text


def _reader(read, **fields):
  values = dict(errors=(ValueError,)) | fields
  return fuzz_readers.Reader("x", lambda folder: [b"sound"], read, **values)


@pytest.mark.parametrize(
  ("answer", "is_checked", "outcome"),
  [
    (ValueError("a.json is damaged."), False, "right error"),
    (ValueError(""), False, "traceback"),
    (KeyError("x"), False, "traceback"),
    (b"another", True, "accepted and wrong"),
    (b"sound", True, "accepted and right"),
    (b"another", False, "accepted"),
  ],
)
def test_outcomes_are_told_apart(tmp_path, answer, is_checked, outcome):
  def read(folder, data):
    if data == b"sound":
      return data
    if isinstance(answer, Exception):
      raise answer
    return answer

  made = fuzz_readers.Opened(_reader(read, is_checked=is_checked), tmp_path)
  assert fuzz.judge(made, b"changed")[0] == outcome


def test_a_hang_and_a_flood_are_told(tmp_path, monkeypatch):
  monkeypatch.setattr(fuzz, "TIME_LIMIT_S", 1)

  def read(folder, data):
    while data == b"hang":
      pass
    if data == b"flood":
      np.ones((fuzz.MEMORY_LIMIT_MIB + 200) * 2**17)

  made = fuzz_readers.Opened(_reader(read), tmp_path)
  peak = fuzz._peak_mib()
  monkeypatch.setattr(fuzz, "_peak_mib", lambda: max(peak, _now_mib()))
  assert fuzz.judge(made, b"hang")[0] == "hang"
  peaks = iter([0, fuzz.MEMORY_LIMIT_MIB + 1])
  monkeypatch.setattr(fuzz, "_peak_mib", lambda: next(peaks))
  assert fuzz.judge(made, b"x")[0] == "memory"


def _now_mib():
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
  return pages * 4096 // 2**20


def test_inputs_are_known_by_their_number(opened):
  reader = opened("track")
  first = [fuzz.make_input(reader, 3, number) for number in range(20)]
  assert first == [fuzz.make_input(reader, 3, number) for number in range(20)]
  assert len(set(first)) > 10


_JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
  max_leaves=20,
)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(_JSON)
def test_what_json_reads_can_be_written_again(value):
  text = json.dumps(value)
  try:
    found = json_files.parse(text.encode(), object)
  except json_files.JsonError:
    return  # Numbers of too many digits, or half letters.
  assert json.dumps(found) == text
  json.dumps(found, ensure_ascii=False).encode()


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
  st.dictionaries(
    st.text(max_size=8),
    st.lists(st.binary(max_size=20), max_size=4)
    | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(
      lambda numbers: np.array(numbers, np.int64)
    ),
    max_size=4,
  ),
  st.integers(0, 200),
  st.binary(max_size=3),
)
def test_examples_are_read_back_or_refused(features, place, noise):
  encoded = examples.encode_example(features)
  found = examples.decode_example(encoded)
  assert fuzz_readers.equal(
    {key: [*map(bytes, v)] for key, v in found.items() if isinstance(v, list)},
    {key: v for key, v in features.items() if isinstance(v, list)},
  )
  try:
    examples.decode_example(encoded[:place] + noise + encoded[place:])
  except ValueError as error:
    assert "no tf.train.Example" in str(error)


def test_readers_have_names_of_their_own():
  assert len(set(fuzz_readers.NAMES)) == len(fuzz_readers.NAMES) > 40
  for name in fuzz_readers.NAMES:
    assert dataclasses.is_dataclass(fuzz_readers._READERS[name])
