"""Views of a scene from others, as a user asks for them."""

import dataclasses

import jax
import numpy as np
import pytest
import shrunk

from configs import traj3d_multiview
from data_gen import cameras as rigs
from data_gen.scene_source import SceneSource
from magvit3d.api import Magvit
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """Work folder of a run on three cameras, without evaluation."""
  workdir = tmp_path_factory.mktemp("views")
  config = shrunk.make_config(
    traj3d_multiview,
    stages="data,tokenizer,transformer",
    train_transformer__batch_size=6,
    evaluation__batch_size=6,
    tasks__view_frame_prediction__cond_frames=4,
    maskgvt__mask_block_shape=(1, 2, 2),
    train_transformer__num_steps=3,
    train_transformer__warmup_steps=1,
  )
  Experiment(config, workdir).run()
  return workdir


@pytest.fixture(scope="module")
def magvit(run):
  return Magvit.from_run(run, batch_size=2)


@pytest.fixture(scope="module")
def scenes(run):
  """Two scenes and their cameras."""
  source = SceneSource(run / "data", "train")
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


def test_single_clips_are_refused_by_a_run_of_scenes(magvit):
  with pytest.raises(UserError, match="scenes of several views"):
    magvit.generate()
