"""Tokens of scenes hold the chosen views with their cameras."""

import numpy as np
import pytest
import small_scenes
import small_tokens

from magvit3d.data.batches import make_batches
from magvit3d.data.scene_tokens import SceneTokens, TrainingSceneTokens
from magvit3d.errors import UserError

_TIMES = small_tokens.GRID[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Scenes, and tokens of all of their clips."""
  scenes = small_scenes.make(tmp_path_factory.mktemp("data"))
  model = small_tokens.make_model()
  clips = small_tokens.make_tokens(
    tmp_path_factory.mktemp("run") / "tokens",
    scenes,
    model,
    small_tokens.make_params(model),
  )
  return scenes, clips


def _check(sample, made, index, views):
  scenes, clips = made
  scene = scenes.scene(index, ("intrinsics", "camera_from_world", "class"))
  assert sample["views"].tolist() == views
  for key in ("intrinsics", "camera_from_world"):
    np.testing.assert_array_equal(sample[key], scene[key][views])
  assert sample["labels"] == scene["class"]
  assert sample["tokens"].shape == (len(views) * _TIMES, 16, 16)
  for place, view in enumerate(views):
    clip = clips[index * small_scenes.NUM_VIEWS + view]
    rows = slice(place * _TIMES, (place + 1) * _TIMES)
    np.testing.assert_array_equal(sample["tokens"][rows], clip["tokens"])
    np.testing.assert_array_equal(
      sample["cond_tokens"][:, rows], clip["cond_tokens"]
    )


@pytest.mark.parametrize(("count", "views"), [(3, [0, 1, 2]), (2, [0, 1])])
def test_sample_is_of_fixed_views(made, count, views):
  source = SceneTokens(made[1], small_scenes.NUM_VIEWS, count)
  assert len(source) == small_scenes.NUM_SCENES
  for index in (0, 11):
    _check(source[index], made, index, views)


def test_training_draws_every_pair_of_views(made):
  source = TrainingSceneTokens(made[1], small_scenes.NUM_VIEWS, 2)
  rng, seen = np.random.default_rng(0), set()
  for _ in range(40):
    sample = source.random_clip(5, rng)
    _check(sample, made, 5, sample["views"].tolist())
    seen.add(tuple(sample["views"]))
  assert seen == {(0, 1), (0, 2), (1, 2)}


def test_batches_stack_scenes(made):
  source = TrainingSceneTokens(made[1], small_scenes.NUM_VIEWS, 2)
  batches = make_batches(source, batch_size=4, seed=0, num_threads=1)
  batch = next(batches)
  assert batch["tokens"].shape == (4, 2 * _TIMES, 16, 16)
  assert batch["cond_tokens"].shape == (4, 2, 2 * _TIMES, 16, 16)
  assert batch["views"].shape == (4, 2)
  assert batch["camera_from_world"].shape == (4, 2, 3, 4)
  assert batch["labels"].shape == (4,)


def test_more_views_than_cameras_are_an_error(made):
  with pytest.raises(
    UserError, match=r"config.transformer.num_views=4.*have 3"
  ):
    SceneTokens(made[1], small_scenes.NUM_VIEWS, 4)
