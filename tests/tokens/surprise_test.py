"""Bits of latent frames: against the definition, and what they depend on."""

import documented
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.tokens import surprise
from magvit3d.tokens.vocabulary import MASK


@pytest.fixture(scope="module")
def magvit(trained_run):
  return Magvit.from_run(trained_run, batch_size=4)


@pytest.fixture(scope="module")
def tokens(magvit):
  shape = (3, *magvit.latent_shape)
  return np.random.default_rng(0).integers(
    0, magvit.codebook_size, shape, dtype=np.int32
  )


def _bits(magvit, tokens, labels=None, params=None, **options):
  model, trained = magvit.trained.model, magvit.trained
  if labels is None:
    labels = np.full(len(tokens), len(magvit.class_names), np.int32)
  return np.asarray(
    surprise.frame_bits(
      model,
      trained.transformer_params if params is None else params,
      jax.random.key(0),
      jnp.asarray(tokens),
      jnp.asarray(labels),
      magvit.sampler.find("frame_prediction"),
      **options,
    )
  )


@pytest.mark.parametrize("past_alone", [False, True])
def test_bits_are_those_of_hidden_tokens_by_the_definition(
  magvit, tokens, past_alone
):
  model, trained = magvit.trained.model, magvit.trained
  vocabulary, index = model.vocabulary, magvit.sampler.find("frame_prediction")
  found = _bits(magvit, tokens, past_alone=past_alone)
  for frame in range(tokens.shape[1]):
    shown = tokens.copy()
    shown[:, frame : None if past_alone else frame + 1] = MASK
    head = [model.tasks[index].token, vocabulary.no_class]
    ids = np.concatenate(
      [np.tile(head, (len(tokens), 1)), shown.reshape(len(tokens), -1)], axis=1
    )
    segments = jnp.zeros_like(ids) if model.transformer.num_segments else None
    logits = model.transformer.apply(
      {"params": trained.transformer_params},
      jnp.asarray(ids),
      segments,
      None,
      train=False,
    )[:, len(head) :, : vocabulary.codebook_size]
    logits = np.asarray(logits, np.float64).reshape(*tokens.shape, -1)
    logits -= logits.max(-1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_p, tokens[..., None], -1)[..., 0]
    wanted = -chosen[:, frame].sum((1, 2)) / np.log(2)
    # float32 has 24 bits; a sum of some hundreds of numbers.
    np.testing.assert_allclose(found[:, frame], wanted, rtol=1e-5)


@pytest.mark.parametrize("num_draws", [None, 3])
def test_a_network_that_knows_nothing_needs_all_bits(magvit, tokens, num_draws):
  params = jax.tree.map(jnp.zeros_like, magvit.trained.transformer_params)
  found = _bits(magvit, tokens, params=params, num_draws=num_draws)
  cells = tokens[0, 0].size
  np.testing.assert_allclose(
    found, cells * np.log2(magvit.codebook_size), rtol=1e-5
  )


@pytest.mark.parametrize("num_draws", [None, 2])
def test_given_the_past_alone_later_tokens_change_nothing(
  magvit, tokens, num_draws
):
  other = tokens.copy()
  other[:, -1] = (other[:, -1] + 1) % magvit.codebook_size
  options = {"num_draws": num_draws}
  before, after = (
    _bits(magvit, grids, past_alone=True, **options)
    for grids in (tokens, other)
  )
  np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
  assert (before[:, -1] != after[:, -1]).all()
  told = [_bits(magvit, grids, **options) for grids in (tokens, other)]
  assert (told[0][:, :-1] != told[1][:, :-1]).any()


@pytest.mark.slow
def test_draws_have_the_mean_of_the_bound_by_its_definition(magvit, tokens):
  """Counts and places of hidden tokens are drawn here anew, evenly."""
  num_draws = 400
  found = _bits(magvit, tokens[:1], num_draws=num_draws)[0, 0]
  model, index = magvit.trained.model, magvit.sampler.find("frame_prediction")
  cells = tokens[0, 0].size
  rng = np.random.default_rng(1)
  counts = rng.integers(1, cells + 1, num_draws)
  ranks = rng.permuted(np.tile(np.arange(cells), (num_draws, 1)), axis=1)
  is_hidden = np.zeros((num_draws, *tokens.shape[1:]), bool)
  is_hidden[:, 0] = (ranks < counts[:, None]).reshape(-1, *tokens.shape[2:])
  grids = np.repeat(tokens[:1], num_draws, axis=0)
  head = [model.tasks[index].token, model.vocabulary.no_class]
  shown = np.where(is_hidden, MASK, grids).reshape(num_draws, -1)
  ids = np.concatenate([np.tile(head, (num_draws, 1)), shown], axis=1)
  segments = jnp.zeros_like(ids) if model.transformer.num_segments else None
  logits = model.transformer.apply(
    {"params": magvit.trained.transformer_params},
    jnp.asarray(ids),
    segments,
    None,
    train=False,
  )[:, len(head) :, : model.vocabulary.codebook_size]
  log_p = jax.nn.log_softmax(logits).reshape(*grids.shape, -1)
  costs = -np.take_along_axis(np.asarray(log_p), grids[..., None], -1)[..., 0]
  sums = (costs * is_hidden).sum((1, 2, 3)) / np.log(2) * cells / counts
  # Both are means of as many draws; ours, spread evenly, varies no more.
  error = np.sqrt(2 / num_draws) * sums.std()
  assert abs(found - sums.mean()) < 5 * error


def test_the_api_gives_bits_of_clips_and_batches(magvit):
  rng = np.random.default_rng(0)
  clips = rng.integers(0, 256, (2, *magvit.clip_shape), dtype=np.uint8)
  found = magvit.surprise(clips)
  assert found.shape == (2, magvit.latent_shape[0])
  assert found.dtype == np.float32
  np.testing.assert_allclose(magvit.surprise(clips[0]), found[0], rtol=1e-5)
  told = magvit.surprise(clips, shape="cone", motion="helical")
  assert (told != found).all()
  first, second = (magvit.surprise(clips, num_draws=2, seed=s) for s in (1, 2))
  np.testing.assert_array_equal(
    first, magvit.surprise(clips, num_draws=2, seed=1)
  )
  assert (first != second).all()


def test_scenes_are_asked_with_their_cameras(scenes_run):
  magvit = Magvit.from_run(scenes_run)
  rng = np.random.default_rng(0)
  scene = rng.integers(0, 256, (3, *magvit.clip_shape), dtype=np.uint8)
  found = magvit.surprise(scene)
  assert found.shape == (magvit.latent_shape[0],)
  assert (magvit.surprise(scene[::-1]) != found).all()


@pytest.mark.parametrize(
  ("options", "text"),
  [
    ({"num_draws": 0}, "num_draws=0 must be 1 or more"),
    ({"num_draws": True}, "num_draws=True must be a whole number"),
    ({"seed": -1}, "seed=-1 must be"),
    ({"shape": "cone"}, "leave the class open"),
    ({"cameras": 1}, "reads no cameras"),
  ],
)
def test_wrong_arguments_are_told(magvit, options, text):
  clip = np.zeros(magvit.clip_shape, np.uint8)
  with pytest.raises(UserError, match=text):
    magvit.surprise(clip, **options)


@pytest.mark.slow
def test_the_document_works(capsys):
  (block,) = documented.blocks("docs/surprise.md", "python")
  exec(compile(block, "docs/surprise.md", "exec"), {})
  assert capsys.readouterr().out == "True\n"
