"""Trained networks as a user calls them."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.api import Magvit
from magvit3d.config.run import RunConfig
from magvit3d.data.clips import load_clips
from magvit3d.errors import UserError
from magvit3d.evaluation import transformer_scores
from magvit3d.exports.real_clips import open_clips
from magvit3d.inference.sampling import cells_without_hole
from magvit3d.parallel import sharding
from magvit3d.tokens import vocabulary

# Numbers of about 1 that differ by sums in another order.
_ROUNDING = 1e-4


@pytest.fixture(scope="module")
def magvit(trained_run):
  return Magvit.from_run(trained_run, batch_size=4)


@pytest.fixture(scope="module")
def frames(magvit, trained_run):
  """Seven real clips."""
  source = open_clips(trained_run / "data", "train", magvit.trained)
  return load_clips(source, range(7), keys=("frames",))["frames"]


def _hole(magvit):
  t, h, w, _ = magvit.clip_shape
  mask = np.zeros((t, h, w), bool)
  mask[:, h // 4 : h // 2, w // 4 : w // 2] = True
  return mask


def test_tokens_are_the_nearest_codes(magvit, frames):
  """In float64, from the encoder's features; ties may go either way."""
  params = magvit.trained.tokenizer_params
  tokenizer = magvit.trained.model.tokenizer
  features = tokenizer.apply(
    {"params": params}, jnp.asarray(frames / np.float32(255)), method="features"
  )
  (codebook,) = jax.tree.leaves(params["quantizer"])
  rows = np.asarray(features, np.float64)[..., None, :]
  distances = np.sum((rows - np.asarray(codebook)) ** 2, axis=-1)
  tokens = magvit.tokenize(frames)
  chosen = np.take_along_axis(distances, tokens[..., None], -1)[..., 0]
  assert tokens.dtype == np.int32 and len(np.unique(tokens)) > 2
  assert np.all(chosen <= distances.min(axis=-1) + _ROUNDING)


def test_floats_and_bytes_are_the_same_clips(magvit, frames):
  tokens = magvit.tokenize(frames)
  for dtype in (np.float32, np.float64):
    floats = (frames / np.float64(255)).astype(dtype)
    np.testing.assert_array_equal(magvit.tokenize(floats), tokens)
    made = magvit.reconstruct(floats)
    assert made.dtype == dtype and made.min() >= 0 and made.max() <= 1
    np.testing.assert_array_equal(made, magvit.detokenize(tokens, dtype=dtype))
  made = magvit.reconstruct(frames)
  assert made.dtype == np.uint8
  np.testing.assert_array_equal(made, magvit.detokenize(tokens))
  np.testing.assert_array_equal(made, np.rint(255 * magvit.reconstruct(floats)))


def test_detokenize_is_the_decoder(magvit, frames):
  tokens = magvit.tokenize(frames[:2])
  direct = magvit.trained.model.tokenizer.apply(
    {"params": magvit.trained.tokenizer_params},
    jnp.asarray(tokens),
    method="decode_tokens",
  )
  made = magvit.detokenize(tokens, dtype=np.float32)
  np.testing.assert_allclose(made, np.clip(direct, 0, 1), atol=_ROUNDING)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_clip_comes_out_the_same_whatever_comes_with_it(
  magvit, frames, count
):
  some = frames[7 - count :]
  tokens, shown = magvit.tokenize(frames), magvit.reconstruct(frames)
  np.testing.assert_array_equal(magvit.tokenize(some), tokens[7 - count :])
  np.testing.assert_array_equal(magvit.reconstruct(some), shown[7 - count :])


def test_the_batch_size_changes_no_more_than_rounding(magvit, frames):
  other = Magvit(magvit.trained, batch_size=3)
  tokens = magvit.tokenize(frames)
  np.testing.assert_allclose(
    other.detokenize(tokens, dtype=np.float32),
    magvit.detokenize(tokens, dtype=np.float32),
    atol=_ROUNDING,
  )


def test_a_single_clip_comes_back_as_one(magvit, frames):
  clip = frames[0]
  tokens = magvit.tokenize(clip)
  assert tokens.shape == magvit.latent_shape
  for made in (
    magvit.detokenize(tokens),
    magvit.reconstruct(clip),
    magvit.predict(clip),
    magvit.inpaint(clip, _hole(magvit)),
  ):
    assert made.shape == magvit.clip_shape and made.dtype == np.uint8


def test_a_seed_says_what_is_generated(magvit):
  one = magvit.generate("cone", "helical", num=5, seed=3)
  assert one.shape == (5, *magvit.clip_shape) and one.dtype == np.uint8
  again = magvit.generate("cone", "helical", num=5, seed=3)
  np.testing.assert_array_equal(again, one)
  fewer = magvit.generate("cone", "helical", num=2, seed=3)
  np.testing.assert_array_equal(fewer, one[:2])
  assert not np.array_equal(magvit.generate("cone", "helical", 5, 4), one)
  assert len({clip.tobytes() for clip in one}) == 5


def test_generation_is_told_the_class(magvit):
  task, labels = magvit.choose_classes("cone", "helical", 3, seed=0)
  assert magvit.task_names[task] == "full_generation"
  name = magvit.class_names.index("cone_helical")
  np.testing.assert_array_equal(labels, name)
  _, labels = magvit.choose_classes("cone", None, 100, seed=0)
  names = {magvit.class_names[label] for label in labels}
  assert {name.split("_")[0] for name in names} == {"cone"}
  assert len(names) == 4
  _, labels = magvit.choose_classes(None, None, 300, seed=0)
  assert set(labels) == set(range(12))


def _changed(magvit, **sections):
  return RunConfig.from_dict(dict(magvit.trained.config.given, **sections))


def test_a_task_without_classes_is_told_none(magvit):
  tasks = dict(magvit.trained.config.given["tasks"])
  tasks["full_generation"] = {"weight": 1.0, "class_conditional": False}
  config = _changed(magvit, tasks=tasks)
  other = Magvit(dataclasses.replace(magvit.trained, config=config))
  _, labels = other.choose_classes(None, None, 2, seed=0)
  np.testing.assert_array_equal(labels, 12)
  with pytest.raises(UserError, match="generation of a class"):
    other.generate("cone")


def test_prediction_sees_the_given_frames_alone(magvit, frames):
  some = frames[:2]
  made = magvit.predict(some)  # Trained with 4 frames.
  np.testing.assert_array_equal(made[:, :4], some[:, :4])
  changed = some.copy()
  changed[:, 4:] = 255 - changed[:, 4:]
  np.testing.assert_array_equal(magvit.predict(changed, 4)[:, 4:], made[:, 4:])
  np.testing.assert_array_equal(magvit.predict(some[:, :4], 4), made)
  changed[:, 3] = 255 - some[:, 3]
  assert not np.array_equal(magvit.predict(changed)[:, 4:], made[:, 4:])
  assert not np.array_equal(magvit.predict(some, seed=1), made)


def test_prediction_is_the_one_that_a_run_evaluates(magvit, frames):
  model, mesh = magvit.trained.model, sharding.make_mesh()
  clips = {"frames": frames, "labels": np.zeros(7, np.int32)}
  tokens = transformer_scores.make_tokenize(model, 4, mesh)(
    magvit.trained.tokenizer_params, clips
  )
  task = magvit.task_names.index("frame_prediction")
  generate = transformer_scores.make_generate(model, 4, mesh, seed=5)
  made = generate(magvit.trained.transformer_params, tokens, task)
  expected = magvit.detokenize(made)
  found = magvit.predict(frames, seed=5)
  # Another program of the same network may decide ties otherwise.
  is_same = np.all(found[:, 4:] == expected[:, 4:], axis=(1, 2, 3, 4))
  assert is_same.sum() >= 6


def test_prediction_takes_another_number_of_frames(magvit, frames):
  some = frames[:2] / np.float32(255)
  made = magvit.predict(some, given_frames=3)
  assert made.dtype == np.float32
  np.testing.assert_array_equal(made[:, :3], some[:, :3])
  changed = some.copy()
  changed[:, 3] = 1 - changed[:, 3]
  np.testing.assert_array_equal(magvit.predict(changed, 3), made)


def test_the_condition_reaches_as_many_latents_as_the_frames_touch(
  magvit, frames, monkeypatch
):
  """Of 4 latent frames of 2 frames each."""
  masks = []

  def complete(task, labels, tokens, mask, seed, **others):
    masks.append(mask[0].any(axis=(1, 2)).tolist())
    return tokens

  monkeypatch.setattr(magvit.networks, "complete", complete)
  for count in (1, 2, 3, 7):
    magvit.predict(frames[0], count)
  assert masks == [
    [True, False, False, False],
    [True, False, False, False],
    [True, True, False, False],
    [True, True, True, True],
  ]


def test_filled_holes_do_not_show_what_was_in_them(magvit, frames):
  some, mask = frames[:2], _hole(magvit)
  made = magvit.inpaint(some, mask)
  np.testing.assert_array_equal(made[:, ~mask], some[:, ~mask])
  changed = np.where(mask[..., None], 255 - some, some)
  np.testing.assert_array_equal(magvit.inpaint(changed, mask), made)
  assert not np.array_equal(magvit.inpaint(some, mask, seed=1), made)
  changed[:, ~mask] = 255 - changed[:, ~mask]
  assert not np.array_equal(
    magvit.inpaint(changed, mask)[:, mask], made[:, mask]
  )


def test_holes_may_hold_what_is_no_colour(magvit, frames):
  video, mask = frames[:2] / np.float32(255), _hole(magvit)
  made = magvit.inpaint(video, mask)
  video[:, mask] = np.nan
  np.testing.assert_array_equal(magvit.inpaint(video, mask), made)


def test_without_a_task_for_holes_the_other_tokens_are_kept(magvit, frames):
  is_hole = np.stack([_hole(magvit), ~_hole(magvit)])
  clips = frames[:2] / np.float32(255)
  labels = np.full(2, 12, np.int32)
  sample = magvit.sampler.fill(clips, is_hole, labels, seed=0)
  kept = cells_without_hole(is_hole, magvit.latent_shape)
  shown = magvit.networks.encode(sample.shown)
  np.testing.assert_array_equal(sample.tokens[kept], shown[kept])
  other = magvit.sampler.fill(clips, is_hole, labels, seed=1)
  assert not np.array_equal(other.tokens[~kept], sample.tokens[~kept])


def test_holes_have_the_colour_of_what_is_given(magvit):
  """Whatever was in them, which here is most of the clip."""
  is_hole = ~_hole(magvit)[None]
  clips = np.where(is_hole[..., None], [1] * 3, [0.25] * 3).astype(np.float32)
  labels = np.full(1, 12, np.int32)
  sample = magvit.sampler.fill(clips, is_hole, labels, seed=0)
  np.testing.assert_array_equal(sample.shown, np.full_like(clips, 0.25))


def test_a_task_for_holes_is_asked_in_its_own_way(magvit, frames, monkeypatch):
  tasks = dict(
    magvit.trained.config.given["tasks"], inpainting_c={"weight": 1.0}
  )
  config = _changed(magvit, tasks=tasks)
  other = Magvit(dataclasses.replace(magvit.trained, config=config))
  asked = []

  def complete(task, labels, tokens, mask, seed, condition_mode, cameras):
    asked.append(
      (other.trained.model.tasks[task], tokens, mask, condition_mode)
    )
    return tokens

  monkeypatch.setattr(other.networks, "complete", complete)
  mask = _hole(magvit)
  other.inpaint(frames[0], mask)
  ((task, tokens, cells, mode),) = asked
  assert task.name == "inpainting_c" and mode is None
  assert task.token == vocabulary.TASK_TOKENS["outpainting"]
  black = np.where(mask[..., None], 0, frames[:1])
  np.testing.assert_array_equal(tokens, magvit.tokenize(black.astype(np.uint8)))
  np.testing.assert_array_equal(
    cells, cells_without_hole(mask[None], magvit.latent_shape)
  )


def test_a_cell_is_given_where_all_of_its_pixels_are():
  rng = np.random.default_rng(0)
  is_hole = rng.uniform(size=(2, 4, 6, 8)) < 0.05
  found = cells_without_hole(is_hole, (2, 3, 2))
  for b, s, y, x in np.ndindex(2, 2, 3, 2):
    block = is_hole[b, 2 * s : 2 * s + 2, 2 * y : 2 * y + 2, 4 * x : 4 * x + 4]
    assert found[b, s, y, x] == (not block.any())
  assert found.any() and not found.all()


def test_a_tokenizer_alone_says_what_is_missing(magvit, frames):
  alone = Magvit(dataclasses.replace(magvit.trained, transformer_params=None))
  assert alone.tokenize(frames[0]).shape == magvit.latent_shape
  for call in (
    alone.generate,
    lambda: alone.predict(frames),
    lambda: alone.inpaint(frames, _hole(magvit)),
  ):
    with pytest.raises(UserError, match="only a tokenizer"):
      call()


def test_networks_of_several_views_want_scenes(magvit, frames):
  transformer = dict(
    magvit.trained.config.given["transformer"],
    num_views=2,
    camera_embedding="view",
  )
  config = _changed(magvit, transformer=transformer)
  other = Magvit(dataclasses.replace(magvit.trained, config=config))
  with pytest.raises(UserError, match="a clip for each view"):
    other.predict(frames)
  assert other.tokenize(frames[0]).shape == magvit.latent_shape


def _video(*shape, dtype=np.uint8, value=0):
  return np.full(shape, value, dtype)


@pytest.mark.parametrize(
  ("call", "texts"),
  [
    (
      lambda m: m.tokenize(_video(8, 24, 25, 3)),
      ["(8, 24, 25, 3)", "expected (8, 24, 24, 3)"],
    ),
    (lambda m: m.tokenize(_video(0, 8, 24, 24, 3)), ["(0, 8, 24, 24, 3)"]),
    (lambda m: m.tokenize(_video(8, 24, 24, 3, dtype=np.int64)), ["int64"]),
    (
      lambda m: m.tokenize(_video(8, 24, 24, 3, dtype=float, value=255)),
      ["from 255 to 255", "Divide"],
    ),
    (
      lambda m: m.tokenize(_video(8, 24, 24, 3, dtype=float, value=np.nan)),
      ["from nan"],
    ),
    (
      lambda m: m.detokenize(_video(4, 12, 11)),
      ["(4, 12, 11)", "expected (4, 12, 12)"],
    ),
    (
      lambda m: m.detokenize(_video(4, 12, 12, value=32)),
      ["from 32 to 32", "from 0 to 31"],
    ),
    (lambda m: m.detokenize(_video(4, 12, 12, dtype=float)), ["float64"]),
    (lambda m: m.detokenize(_video(4, 12, 12), dtype="int32"), ["int32"]),
    (
      lambda m: m.generate(shape="ball"),
      ["shape='ball'", "cube, cylinder, cone"],
    ),
    (
      lambda m: m.generate(motion="up"),
      ["motion='up'", "linear, circular, helical, parabolic"],
    ),
    (lambda m: m.tokenize([[0], [0, 0]]), ["The video is no array"]),
    (lambda m: m.generate(num=0), ["num=0"]),
    (lambda m: m.generate(num=True), ["num=True must be a whole number"]),
    (lambda m: Magvit(m.trained, batch_size=0), ["batch_size=0"]),
    (lambda m: Magvit(m.trained, batch_size=True), ["batch_size=True"]),
    (lambda m: m.generate(seed=-1), ["seed=-1"]),
    (lambda m: m.generate(dtype="int8"), ["int8"]),
    (lambda m: m.generate(dtype="pixels"), ["dtype='pixels' is no type"]),
    (lambda m: m.predict(_video(8, 24, 24, 3), 8), ["given_frames=8", "to 7"]),
    (lambda m: m.predict(_video(8, 24, 24, 3), 0), ["given_frames=0"]),
    (lambda m: m.predict(_video(8, 24, 24, 3), True), ["given_frames=True"]),
    (
      lambda m: m.predict(_video(3, 24, 24, 3), 4),
      ["(3, 24, 24, 3)", "(4 to 8, 24, 24, 3)"],
    ),
    (
      lambda m: m.predict(_video(8, 24, 24, 3), shape="cone"),
      ["leave the class open"],
    ),
    (
      lambda m: m.inpaint(_video(8, 24, 24, 3), np.zeros((24, 24), bool)),
      ["(24, 24)", "expected (8, 24, 24)"],
    ),
    (
      lambda m: m.inpaint(_video(8, 24, 24, 3), np.zeros((8, 24, 24))),
      ["float64", "expected bool"],
    ),
    (
      lambda m: m.inpaint(_video(8, 24, 24, 3), np.ones((8, 24, 24), bool)),
      ["True everywhere"],
    ),
  ],
)
def test_wrong_arguments_are_told_with_what_was_expected(magvit, call, texts):
  with pytest.raises(UserError, match=re.escape(texts[0])) as caught:
    call(magvit)
  for text in texts:
    assert text in str(caught.value)
