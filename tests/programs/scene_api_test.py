"""Scenes of several cameras, as a user asks for them."""

import dataclasses

import jax
import numpy as np
import pytest

from data_gen.records.scene_source import SceneSource
from data_gen.rendering import cameras as rigs
from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.inference import user_scenes
from magvit3d.inference.camera_rigs import read_rig, view_numbers
from magvit3d.inference.sampling import cells_without_hole


@pytest.fixture(scope="module")
def magvit(scenes_run):
  return Magvit.from_run(scenes_run, batch_size=2)


@pytest.fixture(scope="module")
def scenes(scenes_run):
  """Two scenes and their cameras."""
  source = SceneSource(scenes_run / "data", "train")
  found = [source.scene(i) for i in range(2)]
  rig = rigs.Cameras(
    found[0]["intrinsics"], found[0]["camera_from_world"], source.image_size
  )
  return np.stack([scene["frames"] for scene in found]), rig


@pytest.mark.parametrize("views", [[0], [2], [2, 0]])
def test_given_views_come_back_and_others_are_made(magvit, scenes, views):
  frames, rig = scenes
  made = magvit.predict_views(frames[:, views], rig, views, seed=3)
  assert made.shape == frames.shape and made.dtype == np.uint8
  np.testing.assert_array_equal(made[:, views], frames[:, views])
  others = [view for view in range(3) if view not in views]
  # They are tokens' clips: the tokenizer's own, up to its rounding.
  tokens = magvit.tokenize(made[:, others].reshape(-1, *frames.shape[2:]))
  assert tokens.shape[0] == 2 * len(others)
  assert made[:, others].any()


def test_one_scene_floats_and_the_seed(magvit, scenes):
  frames, rig = scenes
  single = magvit.predict_views(frames[0, :1], rig, seed=5)
  assert single.shape == frames.shape[1:]
  again = magvit.predict_views(frames[0, :1], rig, seed=5)
  np.testing.assert_array_equal(single, again)
  other = magvit.predict_views(frames[0, :1], rig, seed=6)
  assert (other != single).any()
  floats = magvit.predict_views(frames[0, :1] / np.float64(255), rig, seed=5)
  assert floats.dtype == np.float64
  # Rounded to bytes they are the same.
  np.testing.assert_array_equal(np.rint(floats * 255), single)


def test_cameras_and_given_clips_make_a_difference(magvit, scenes):
  frames, rig = scenes
  # Three steps have taught little: larger weights listen more.
  trained = dataclasses.replace(
    magvit.trained,
    transformer_params=jax.tree.map(
      lambda x: 4 * x if x.ndim > 1 else x, magvit.trained.transformer_params
    ),
  )
  magvit = Magvit(trained, batch_size=2)
  made = magvit.predict_views(frames[:1, :1], rig, seed=1)
  lifted = rig.camera_from_world.copy()
  lifted[1:, :, 3] += [0.5, 0.2, 0.8]
  moved = dataclasses.replace(rig, camera_from_world=lifted)
  assert (magvit.predict_views(frames[:1, :1], moved, seed=1) != made).any()
  other = magvit.predict_views(255 - frames[:1, :1], rig, seed=1)
  assert (other[:, 1:] != made[:, 1:]).any()
  each = dataclasses.replace(
    rig,
    intrinsics=rig.intrinsics[None],
    camera_from_world=rig.camera_from_world[None],
  )
  np.testing.assert_array_equal(
    magvit.predict_views(frames[:1, :1], each, seed=1), made
  )


def test_more_cameras_than_in_training_may_be_asked_for(magvit, scenes):
  frames, _ = scenes
  positions = rigs.parse_rig("ring:5")
  rig = rigs.Cameras(
    np.stack([rigs.make_intrinsics(24, rigs.VERTICAL_FIELD_OF_VIEW)] * 5),
    np.stack([rigs.look_at(position, np.zeros(3)) for position in positions]),
    24,
  )
  made = magvit.predict_views(frames[:, :2], rig, [1, 4])
  assert made.shape == (2, 5, *frames.shape[2:])
  np.testing.assert_array_equal(made[:, [1, 4]], frames[:, :2])


def test_saved_networks_predict_the_same(magvit, scenes, tmp_path):
  frames, rig = scenes
  magvit.save_pretrained(tmp_path / "saved")
  loaded = Magvit.from_pretrained(tmp_path / "saved", batch_size=2)
  np.testing.assert_array_equal(
    loaded.predict_views(frames[:, :1], rig),
    magvit.predict_views(frames[:, :1], rig),
  )


def _without(rig, **changes):
  return dataclasses.replace(rig, **changes)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda f, r: (f[:, :2], r, [0]), r"expected \(1, 8, 24, 24, 3\)"),
    (lambda f, r: (f[0, 0], r, [0]), r"expected \(1, 8, 24, 24, 3\)"),
    (lambda f, r: (f[:, :1], r, [3]), r"given_views=\[3\] must be .* 0 to 2"),
    (lambda f, r: (f, r, [0, 1, 2]), r"leave one to predict"),
    (lambda f, r: (f[:, :2], r, [1, 1]), r"each once"),
    (lambda f, r: (f[:, :1], "rig", [0]), r"cameras has no intrinsics"),
    (
      lambda f, r: (f[:, :1], _without(r, intrinsics=np.eye(3)), [0]),
      r"cameras.intrinsics has the shape \(3, 3\); expected \(v, 3, 3\)",
    ),
    (
      lambda f, r: (f[:, :1], _without(r, image_size=32), [0]),
      r"images of 32 pixels; expected 24",
    ),
    (
      lambda f, r: (
        f[:, :1],
        _without(r, camera_from_world=np.nan * r.camera_from_world),
        [0],
      ),
      r"camera_from_world has values that are not finite",
    ),
    (
      lambda f, r: (f[:, :1], _without(r, intrinsics=r.intrinsics[:2]), [0]),
      r"intrinsics are of 2 cameras, camera_from_world of 3",
    ),
  ],
)
def test_wrong_arguments_are_told(magvit, scenes, change, message):
  with pytest.raises(UserError, match=message):
    magvit.predict_views(*change(*scenes))


def test_a_run_of_single_clips_says_what_it_lacks(trained_run, scenes):
  frames, rig = scenes
  single = Magvit.from_run(trained_run)
  with pytest.raises(
    UserError, match=r"needs the task view_prediction.* learnt"
  ):
    single.predict_views(frames[:, :1], rig)


def test_a_run_of_single_clips_takes_no_cameras(trained_run, scenes):
  frames, rig = scenes
  single = Magvit.from_run(trained_run)
  for call in (
    lambda: single.generate(cameras=rig),
    lambda: single.predict(frames[0], cameras=rig),
    lambda: single.inpaint(frames[0], np.zeros(0), cameras=rig),
  ):
    with pytest.raises(UserError, match="single clips and reads no cameras"):
      call()


def test_scenes_are_generated_for_the_rig_of_the_run(magvit, scenes):
  _, rig = scenes
  made = magvit.generate("cone", "helical", num=3, seed=4)
  assert made.shape == (3, 3, *magvit.clip_shape) and made.dtype == np.uint8
  same = magvit.generate("cone", "helical", num=3, seed=4, cameras=rig)
  np.testing.assert_array_equal(made, same)
  other = magvit.generate("cone", "helical", num=3, seed=5)
  assert (made != other).any()
  assert len({scene.tobytes() for scene in made}) == 3


def test_a_scene_may_be_generated_for_any_number_of_cameras(magvit):
  rig = rigs.make_rig(
    rigs.parse_rig("ring:5"), np.zeros((5, 3)), np.full(5, 0.8), 24
  )
  made = magvit.generate(num=1, cameras=rig, dtype=np.float32)
  assert made.shape == (1, 5, *magvit.clip_shape) and made.dtype == np.float32


@pytest.mark.parametrize("given", [None, 2])
def test_given_frames_of_all_views_stay(magvit, scenes, given):
  frames, _ = scenes
  count = given or 4
  made = magvit.predict(frames, given, seed=1)
  assert made.shape == frames.shape
  np.testing.assert_array_equal(made[:, :, :count], frames[:, :, :count])
  # What comes later is not looked at, and need not be there.
  hidden = frames.copy()
  hidden[:, :, count:] = 255
  np.testing.assert_array_equal(magvit.predict(hidden, given, seed=1), made)
  part = magvit.predict(frames[:, :, :count], given, seed=1)
  np.testing.assert_array_equal(part, made)


def test_one_view_may_be_given_whole_to_frame_prediction(magvit, scenes):
  frames, rig = scenes
  made = magvit.predict(frames[0], cameras=rig, given_views=[1], seed=1)
  assert made.shape == frames.shape[1:]
  np.testing.assert_array_equal(made[1], frames[0, 1])
  np.testing.assert_array_equal(made[:, :4], frames[0, :, :4])
  hidden = frames[0].copy()
  hidden[[0, 2], 4:] = 255
  again = magvit.predict(hidden, cameras=rig, given_views=[1], seed=1)
  np.testing.assert_array_equal(again, made)


def test_holes_in_scenes_are_filled(magvit, scenes):
  frames, _ = scenes
  hole = np.zeros(frames.shape[1:-1], bool)
  hole[1, :, 4:12, 4:12] = True
  made = magvit.inpaint(frames, hole, seed=2)
  assert made.shape == frames.shape
  np.testing.assert_array_equal(made[:, ~hole], frames[:, ~hole])
  hidden = np.where(hole[..., None], 255, frames).astype(np.uint8)
  np.testing.assert_array_equal(magvit.inpaint(hidden, hole, seed=2), made)
  each = np.broadcast_to(hole, frames.shape[:-1])
  np.testing.assert_array_equal(magvit.inpaint(frames, each, seed=2), made)


def test_cells_without_a_hole_keep_their_tokens(magvit, scenes):
  frames, _ = scenes
  hole = np.zeros(frames.shape[1:-1], bool)
  hole[2, :, :, :12] = True
  floats = frames[:1] / np.float32(255)
  rig = magvit.trained.rig
  read = user_scenes.read_scenes(magvit.trained, floats, rig)
  is_hole = read.read_mask(hole)
  labels = np.full(1, 12, np.int32)
  sample = magvit.sampler.fill(read.clips, is_hole, labels, 0, read.cameras)
  kept = cells_without_hole(is_hole, magvit.latent_shape)
  shown = magvit.networks.encode(sample.shown)
  np.testing.assert_array_equal(sample.tokens[kept], shown[kept])
  assert kept[:2].all() and not kept[2, :, :, : kept.shape[3] // 2].any()


def test_without_a_shared_rig_cameras_must_be_given(magvit, scenes):
  frames, rig = scenes
  other = Magvit(dataclasses.replace(magvit.trained, rig=None))
  with pytest.raises(UserError, match="cameras of their own each"):
    other.generate()
  with pytest.raises(UserError, match="cameras of their own each"):
    other.predict(frames)
  each = rigs.Cameras(
    np.stack([rig.intrinsics] * 3), np.stack([rig.camera_from_world] * 3), 24
  )
  with pytest.raises(UserError, match="those of 3 scenes, and there are 2"):
    magvit.predict(frames, cameras=each)


def test_cameras_of_a_rig_with_more_than_are_seen_are_evenly_apart(magvit):
  rig = rigs.make_rig(
    rigs.parse_rig("ring:6"), np.zeros((6, 3)), np.full(6, 0.8), 24
  )
  trained = dataclasses.replace(magvit.trained, rig=rig, num_cameras=6)
  found = read_rig(trained)
  np.testing.assert_array_equal(found.views, [0, 2, 4])
  np.testing.assert_allclose(
    found.camera_from_world, rig.camera_from_world[::2], rtol=1e-6
  )
  # Given as such, they keep their numbers.
  again = read_rig(trained, found.of_scenes(2))
  np.testing.assert_array_equal(again.views, [0, 2, 4])


def test_views_are_told_by_numbers():
  assert view_numbers(np.array([2, 0])) == (2, 0)
  for views in (0, "0", (0.5,), None):
    with pytest.raises(UserError, match=r"given_views=.* must be numbers"):
      view_numbers(views)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda m, f: m.predict(f[:, :2]), r"expected \(3, 8, 24, 24, 3\)"),
    (lambda m, f: m.predict(f, given_views=[3]), r"given_views=\[3\]"),
    (lambda m, f: m.predict(f, 8), r"given_frames=8"),
    (
      lambda m, f: m.inpaint(f, np.zeros(f.shape[2:-1], bool)),
      r"expected \(3, 8, 24, 24\)",
    ),
    (
      lambda m, f: m.inpaint(f, np.ones(f.shape[1:-1], bool)),
      r"predict_views for whole views",
    ),
    (lambda m, f: m.generate(cameras="rig"), r"cameras has no intrinsics"),
  ],
)
def test_wrong_scenes_are_told(magvit, scenes, call, message):
  with pytest.raises(UserError, match=message):
    call(magvit, scenes[0])
