"""Tokens of the training split are made once for each key."""

import numpy as np
import pytest

from magvit3d import sharding
from magvit3d.tokens.token_model import TokenBatch
from magvit3d.training import token_cache


class _Clips:
  """Five clips whose pixels are their numbers."""

  def __len__(self):
    return 5

  def __getitem__(self, index):
    frames = np.full((4, 8, 8, 3), index, np.uint8)
    return {"frames": frames, "labels": np.int32(index)}


@pytest.fixture
def load(tmp_path, monkeypatch):
  """Returns `(key) -> tokens`, with `calls`: clips tokenized so far."""
  monkeypatch.setattr(
    token_cache,
    "load_clips",
    lambda source, indices, keys: {
      key: np.stack([source[i][key] for i in indices]) for key in keys
    },
  )

  def make_tokenize(model, batch_size, mesh):
    def tokenize(params, clips):
      load.calls.extend(clips["labels"].tolist())
      tokens = clips["frames"][:, ::2, ::4, ::4, 0].astype(np.int32)
      return TokenBatch(tokens, tokens[:, None], clips["labels"])

    return tokenize

  monkeypatch.setattr(token_cache, "make_tokenize", make_tokenize)
  monkeypatch.setattr(token_cache, "_CHUNK", 1)

  def load(key):
    # Not the checked function: clips and model are stand-ins.
    function = getattr(
      token_cache.load_or_make, "__wrapped__", token_cache.load_or_make
    )
    return function(
      tmp_path / "transformer" / "cache.npz",
      _Clips(),
      None,
      {},
      key=key,
      batch_size=2,
      mesh=sharding.make_mesh(),
    )

  load.calls = []
  load.path = tmp_path / "transformer" / "cache.npz"
  return load


def _check(source):
  assert len(source) == 5
  for i in range(5):
    assert source[i]["labels"] == i
    assert source[i]["tokens"].shape == (2, 2, 2)
    assert (source[i]["cond_tokens"] == i).all()


def test_all_clips_are_tokenized_in_order(load):
  _check(load("a"))
  assert load.calls == [0, 1, 2, 3, 4]


def test_tokens_under_the_same_key_are_read(load):
  load("a")
  _check(load("a"))
  assert load.calls == [0, 1, 2, 3, 4]


def test_tokens_under_another_key_are_made_again(load):
  load("a")
  _check(load("b"))
  assert load.calls == 2 * [0, 1, 2, 3, 4]


def test_damaged_file_is_made_again(load):
  load("a")
  load.path.write_bytes(load.path.read_bytes()[:-20])
  _check(load("a"))
  assert load.calls == 2 * [0, 1, 2, 3, 4]
