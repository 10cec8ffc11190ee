"""Scores and checks tell a good tokenizer from an untrained one.

The networks are stand-ins: what is tested is what is made of their outputs.
"""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import shrunk
import table_values

from magvit3d.config.run import RunConfig
from magvit3d.evaluation import (
  evaluate,
  image_metrics,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.parallel import sharding
from magvit3d.report.file_reading import read_tables
from magvit3d.tokens.decoding import DecodingSteps
from magvit3d.tokens.masked_model import TokenBatch, TokenModel

_NUM_CLIPS, _FRAMES, _SIZE, _GIVEN = 5, 8, 24, 4
_GRID = (4, 12, 12)


@pytest.fixture(scope="module")
def clips():
  """A bright square that moves over a grey background."""
  frames = np.full((_NUM_CLIPS, _FRAMES, _SIZE, _SIZE, 3), 51, np.uint8)
  masks = np.zeros(frames.shape[:-1], np.uint8)
  for clip in range(_NUM_CLIPS):
    for t in range(_FRAMES):
      place = np.s_[clip, t, 2 * clip : 2 * clip + 6, t : t + 6]
      frames[place], masks[place] = (230, 100 + 20 * t, 20 * clip), 1
  return {
    "frames": frames,
    "masks": masks,
    "labels": np.arange(_NUM_CLIPS, dtype=np.int32),
    "background": np.full((_NUM_CLIPS, 1, 1, 3), 0.2, np.float32),
  }


@pytest.fixture
def run(clips, monkeypatch, tmp_path):
  """Returns `(reconstruction, tokens, clips) -> scores.json`, read back."""
  config = RunConfig.from_dict(
    shrunk.make_config(evaluation__min_foreground_gain_db=3.0)
  )
  model = TokenModel(config, _FRAMES, 12, _GRID)
  names = [f"class {i}" for i in range(12)]

  def run(reconstruction, tokens, clips=clips):
    cond_tokens = np.stack([tokens] * len(model.tasks), axis=1)
    batch = TokenBatch(tokens, cond_tokens, clips["labels"])
    scenes = {
      key: value if key == "labels" else value[:, None]
      for key, value in clips.items()
    }

    def decode(params, tokens):
      # Samples of classes are not scored: any clips do.
      return reconstruction[np.arange(len(tokens)) % _NUM_CLIPS]

    monkeypatch.setattr(tokenizer_scores, "make_decode", lambda *_: decode)
    monkeypatch.setattr(
      transformer_scores, "make_tokenize", lambda *_: lambda *_: batch
    )
    monkeypatch.setattr(
      TokenModel,
      "generate",
      lambda self, params, rng, index, labels, cond_tokens, **_: DecodingSteps(
        cond_tokens[None], jnp.zeros((1, *cond_tokens.shape), bool)
      ),
    )

    def logits(self, params, sequence, cameras=None, rngs=None):
      """A transformer that likes code 0 best."""
      shape = (*sequence.masked_inputs.shape, 32)
      return jnp.zeros(shape).at[..., 0].set(1.0)

    monkeypatch.setattr(TokenModel, "logits", logits)
    evaluate.evaluate(
      tmp_path,
      model,
      {},
      {},
      HeldOutScenes(scenes, names, "test"),
      settings=config.evaluation,
      seed=0,
      mesh=sharding.make_mesh(),
      key="key",
      run={"date": "today"},
    )
    return json.loads((tmp_path / "scores.json").read_text())

  return run


def _random_tokens():
  rng = np.random.default_rng(0)
  return rng.integers(0, 32, (_NUM_CLIPS, *_GRID)).astype(np.int32)


def _table(scores, title):
  return table_values.find(read_tables(scores), title)


def _check(scores, start):
  return next(c for c in scores["checks"] if c["name"].startswith(start))


def _real(clips):
  return clips["frames"].astype(np.float32) / 255


def test_nearly_perfect_tokenizer_passes_its_checks(run, clips):
  scores = run(_real(clips) + np.float32(1e-3), _random_tokens())
  # 60 dB against the baseline, whose error is that of a missing square.
  assert _check(scores, "Reconstruction")["value"] > 30
  assert _check(scores, "Reconstruction")["passed"]
  # 32 codes, equally often up to chance.
  assert 30 < _check(scores, "Code perplexity")["value"] <= 32
  assert _check(scores, "Code perplexity")["passed"]


def test_an_object_of_another_colour_fails_its_check(run, clips):
  """A grey one, as light: PSNR alone would let it pass."""
  real, is_object = _real(clips), clips["masks"] > 0
  assert _check(run(real, _random_tokens()), "Colour error")["value"] == 0
  grey = np.where(is_object[..., None], real.mean(-1, keepdims=True), real)
  scores = run(grey, _random_tokens())
  assert _check(scores, "Reconstruction")["passed"]
  check = _check(scores, "Colour error")
  assert not check["passed"]
  bare = np.full_like(real, 0.2)
  errors = [
    np.mean(
      [
        np.sqrt(np.mean(np.mean((shown - real)[i][is_object[i]], axis=0) ** 2))
        for i in range(_NUM_CLIPS)
      ]
    )
    for shown in (grey, bare)
  ]
  assert check["value"] == pytest.approx(errors[0] / errors[1], rel=1e-5)
  table = _table(scores, "Reconstruction")
  assert table.columns[-1].name == "colour error"
  found = [row.cells[-1].value for row in table.rows[:2]]
  assert found == pytest.approx(errors)


def test_untrained_tokenizer_fails_its_checks(run, clips):
  grey = np.full(clips["frames"].shape, 0.2, np.float32)
  scores = run(grey, np.zeros((_NUM_CLIPS, *_GRID), np.int32))
  # The background alone: exactly the baseline.
  assert _check(scores, "Reconstruction")["value"] == pytest.approx(0)
  assert not _check(scores, "Reconstruction")["passed"]
  assert _check(scores, "Code perplexity")["value"] == pytest.approx(1)
  assert not _check(scores, "Code perplexity")["passed"]


def test_transformer_that_knows_only_one_code_fails_its_check(run, clips):
  scores = run(_real(clips), _random_tokens())
  check = _check(scores, "Error on hidden tokens")
  # Both err on about 31 of 32; code 0 is not the most frequent everywhere.
  assert 1 <= check["value"] < 1.05
  assert not check["passed"]


def test_copy_of_the_last_frame_is_scored_as_such(run, clips):
  scores = run(_real(clips), _random_tokens())
  rows = table_values.rows(_table(scores, "Predicted clips"))
  real = _real(clips)
  copied = image_metrics.copy_last(real, _GIVEN)[:, _GIVEN:]
  real, masks = real[:, _GIVEN:], clips["masks"][:, _GIVEN:]
  np.testing.assert_allclose(
    rows["copy of the last given frame"],
    [
      np.mean(image_metrics.psnr(copied, real)),
      np.mean(image_metrics.ssim(copied, real)),
      np.mean(image_metrics.foreground_psnr(copied, real, masks > 0)),
    ],
    rtol=1e-6,
  )


def test_every_table_says_how_many_clips_of_which_split(run, clips):
  scores = run(_real(clips), _random_tokens())
  assert len(scores["tables"]) == 4
  for table in scores["tables"]:
    assert (table["n"], table["split"]) == (_NUM_CLIPS, "test")
    for row in table["rows"]:
      assert len(row["cells"]) == len(table["columns"])


def test_columns_have_directions_and_cells_are_numbers(run, clips):
  scores = run(_real(clips), _random_tokens())
  table_values.check(scores)
  assert {table.title: _directions(table) for table in read_tables(scores)} == {
    "Reconstruction": {
      "PSNR, dB": "higher",
      "SSIM": "higher",
      "foreground PSNR, dB": "higher",
      "colour error": "lower",
    },
    "Use of the codebook": {
      "tokens": None,
      "share of codes used": None,
      "perplexity": None,
    },
    "Hidden tokens": {
      "accuracy": "higher",
      "accuracy of most frequent": None,
      "error": "lower",
      "error of most frequent": None,
      "error ratio": "lower",
    },
    "Predicted clips": {
      "PSNR, dB": "higher",
      "SSIM": "higher",
      "foreground PSNR, dB": "higher",
    },
  }


def _directions(table):
  return {column.heading: column.direction for column in table.columns}


def test_without_masks_nothing_is_said_of_the_foreground(run, clips):
  bare = clips | {"masks": np.zeros_like(clips["masks"])}
  real, tokens = _real(clips), _random_tokens()
  reconstruction = real + np.float32(1e-3)
  scores, whole = run(reconstruction, tokens, bare), run(reconstruction, tokens)
  assert not any(check["passed"] for check in scores["checks"])
  assert {check["value"] for check in scores["checks"]} == {None}
  for table in scores["tables"]:
    assert "No clip has a mask" in table["note"] and "n = 0" in table["note"]
    assert table["note"].startswith(_table(whole, table["title"]).note)
    for row in table["rows"]:
      assert not any(x != x for x in row["cells"])  # NaN.
  for title, count in (("Reconstruction", 2), ("Predicted clips", 1)):
    rows, expected = (
      table_values.rows(_table(found, title)) for found in (scores, whole)
    )
    for name, values in rows.items():
      assert values[-count:] == [None] * count
      # What needs no masks is as ever.
      assert values[:-count] == expected[name][:-count]
  names = table_values.rows(_table(scores, "Hidden tokens"))
  assert sorted(names) == [
    "frame_prediction, all cells",
    "full_generation, all cells",
  ]


def test_validation_without_masks_has_no_foreground(clips):
  tokens = _random_tokens()

  def reconstruct(params, frames, is_quantizing):
    return frames.astype(np.float32) / 255, tokens

  bare = clips | {"masks": np.zeros_like(clips["masks"])}
  scores = tokenizer_scores.validation_scores(reconstruct, {}, bare)
  assert scores.pop("code_perplexity") > 1
  assert scores == {"psnr": image_metrics.MAX_PSNR_DB}
  assert "foreground_gain" in tokenizer_scores.validation_scores(
    reconstruct, {}, clips
  )


def test_error_rates_are_those_of_the_chosen_hidden_cells():
  tokens = np.array([3, 3, 3, 5, 7, 7]).reshape(1, 1, 1, 6)
  is_wrong = np.array([1, 0, 1, 1, 1, 1], bool).reshape(tokens.shape)
  is_masked = np.array([1, 1, 1, 1, 0, 0], bool).reshape(tokens.shape)
  cells = np.array([0, 1, 1, 1, 1, 1], bool).reshape(tokens.shape)
  error, baseline = transformer_scores.error_rates(
    is_wrong, is_masked, tokens, cells
  )
  # Asked: 3, 3, 5. Two are wrong; always saying 3 errs on one.
  assert error == pytest.approx(2 / 3)
  assert baseline == pytest.approx(1 / 3)
