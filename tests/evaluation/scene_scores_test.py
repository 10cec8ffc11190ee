"""Scores of known clips are what they must be, and baselines what they say."""

import numpy as np
import pytest
import small_scenes

from magvit3d.evaluation.metres import baselines as scene_baselines
from magvit3d.evaluation.metres import scene_scores, trajectories
from magvit3d.evaluation.metres import scenes as scored_scenes

_GIVEN = 3


def _scenes(folder, **options):
  source = small_scenes.make(folder, **options)
  return [scored_scenes.load_scene(source, i) for i in range(len(source))]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
  return _scenes(tmp_path_factory.mktemp("data"), position_noise=0.0)


@pytest.fixture(scope="module")
def ground_scenes(tmp_path_factory):
  folder = tmp_path_factory.mktemp("ground")
  return _scenes(folder, ground_plane=True, spin=1.0)


@pytest.mark.parametrize("given", [0, 1, _GIVEN])
def test_model_that_copies_scores_exactly_as_the_copy(scenes, given):
  name = "copy_last" if given else "copy_first"
  for scene in scenes[:4]:
    clips = scene.frames.copy()
    clips[:, given:] = scene.frames[:, [max(given - 1, 0)]]
    baselines, _ = scene_scores.score_baselines(scene, given)
    assert (
      scene_scores.score_clips(clips, scene, given).scores
      == baselines[name].scores
    )


def test_true_frames_are_as_good_as_can_be(scenes):
  for scene in scenes:
    _, floors = scene_scores.score_baselines(scene, 0)
    found = floors["true_frames"].scores
    assert found["psnr"] == found["foreground_psnr"] == 100
    assert found["ssim"] == pytest.approx(1)
    assert found["failure_rate"] == 0
    assert found["mask_iou"] > 0.85
    # A pixel of 32 is 58 mm wide.
    assert found["ade"] == found["ade_found"] < 0.02


def test_constant_velocity_is_exact_on_linear_motion_without_noise(scenes):
  chosen = [scene for scene in scenes if scene.motion == "linear"]
  assert chosen
  for scene in chosen:
    baselines, floors = scene_scores.score_baselines(scene, _GIVEN)
    found = baselines["constant_velocity"].scores
    # Paths are float32: 6e-8 of 1 m, times 5 steps.
    assert found["ade"] < 1e-6 and found["fde"] < 1e-6
    assert found["psnr"] > 60 and found["ssim"] > 0.999
    assert found["mask_iou"] == pytest.approx(
      floors["true_frames"].scores["mask_iou"], abs=0.005
    )
    for name in ("ade_raw", "residual_px", "failure_rate", "ade_found"):
      assert np.isnan(found[name])


def test_constant_velocity_counts_from_the_true_path_where_it_bends(scenes):
  chosen = [scene for scene in scenes if scene.motion == "circular"]
  for scene in chosen:
    baselines, _ = scene_scores.score_baselines(scene, _GIVEN)
    found = baselines["constant_velocity"].scores
    path = scene.trajectory
    steps = np.arange(1, len(path) - _GIVEN + 1)[:, None]
    guess = path[_GIVEN - 1] + steps * (path[_GIVEN - 1] - path[_GIVEN - 2])
    errors = np.linalg.norm(guess - path[_GIVEN:], axis=1)
    assert found["ade"] == pytest.approx(errors.mean())
    assert found["fde"] == pytest.approx(errors[-1])
    assert found["ade"] > 0.1


def test_there_is_no_constant_velocity_without_a_past(scenes):
  baselines, _ = scene_scores.score_baselines(scenes[0], 0)
  assert set(baselines) == {"background_only", "copy_first"}


def test_true_path_renders_to_the_true_frames(scenes, ground_scenes):
  for scene in scenes[:4]:
    frames = scene_baselines.render_path(scene, scene.trajectory, 0)
    np.testing.assert_array_equal(frames, scene.frames)
  for scene in ground_scenes[:4]:
    frames = scene_baselines.render_path(scene, scene.trajectory, 2)
    off = np.abs(frames.astype(int) - scene.frames)
    # The record's picture of the ground is rounded to 8 bits.
    assert off.max() <= 1 and not off[:, :2].any()


def test_object_that_passes_a_camera_is_gone_from_its_view(scenes):
  scene = scenes[0]
  background = scene_baselines.still_clips(scene, 0)["background_only"]
  for height in (0.0, 1.75):  # Below the camera, and through it.
    path = np.linspace([0.0, 0, 0], [3.5, 0, height], 8)
    frames = scene_baselines.render_path(scene, path, 0)
    is_shown = (frames != background).any((2, 3, 4))
    # The camera is at (2, 0, 1): in frame 4 it is in the object, or above it.
    assert is_shown[0, 0] and not is_shown[0, 4:].any()
    # It flies away from the third camera, and stays in its sight for a while.
    assert is_shown[2, :3].all()
    assert height or is_shown[2].all()


def test_frames_that_were_given_do_not_count(scenes):
  scene = scenes[1]
  expected = scene_scores.score_clips(scene.frames, scene, _GIVEN).scores
  spoilt = scene.frames.copy()
  spoilt[:, :_GIVEN] = 77
  assert scene_scores.score_clips(spoilt, scene, _GIVEN).scores == expected
  # Where the object is lost at once, it counts as where it was given last.
  spoilt[:, _GIVEN:] = 0
  found = scene_scores.score_clips(spoilt, scene, _GIVEN).scores
  still = scene_scores.score_baselines(scene, _GIVEN)[0]["copy_last"].scores
  assert found["ade"] == pytest.approx(still["ade"])


def test_only_later_frames_count(scenes):
  scene = scenes[1]
  clips = scene.frames.copy()
  clips[:, -1] = 0
  found = scene_scores.score_clips(clips, scene, _GIVEN).scores
  count = clips.shape[1] - _GIVEN
  assert found["failure_rate"] == pytest.approx(1 / count)
  floor = scene_scores.score_clips(scene.frames, scene, _GIVEN).scores
  assert found["mask_iou"] == pytest.approx(
    floor["mask_iou"] * (count - 1) / count, rel=0.03
  )


def test_hiding_the_object_is_no_better_than_showing_it_still(scenes):
  for scene in scenes[:4]:
    clips = scene.frames.copy()
    clips[:, _GIVEN + 1 :] = 0
    hidden = scene_scores.score_clips(clips, scene, _GIVEN).scores
    clips[:, _GIVEN + 1 :] = clips[:, [_GIVEN]]
    still = scene_scores.score_clips(clips, scene, _GIVEN).scores
    for name in ("ade", "fde"):
      assert hidden[name] == pytest.approx(still[name], rel=1e-9)
    assert hidden["failure_rate"] > 0 and still["failure_rate"] == 0
    assert hidden["ade_found"] < hidden["ade"]


def test_object_that_is_never_seen_counts_as_where_the_cameras_look(scenes):
  scene = scenes[0]
  baselines, _ = scene_scores.score_baselines(scene, 0)
  found = baselines["background_only"].scores
  # The default cameras look at the origin.
  distances = np.linalg.norm(scene.trajectory, axis=1)
  assert found["ade"] == pytest.approx(distances.mean(), abs=1e-6)
  assert found["fde"] == pytest.approx(distances[-1], abs=1e-6)
  assert found["failure_rate"] == 1 and found["mask_iou"] == 0
  assert np.isnan(found["residual_px"]) and np.isnan(found["ade_found"])


def test_moved_object_is_off_by_as_much_as_it_moved(scenes):
  """Rendered elsewhere, by a known distance."""
  scene, shift = scenes[2], np.array([0.03, -0.06, 0.02])
  clips = scene_baselines.render_path(scene, scene.trajectory + shift, _GIVEN)
  found = scene_scores.score_clips(clips, scene, _GIVEN).scores
  floor = scene_scores.score_clips(scene.frames, scene, _GIVEN).scores
  assert found["ade"] == pytest.approx(0.07, abs=2 * floor["ade"])
  assert found["fde"] == pytest.approx(0.07, abs=2 * floor["ade"] + 0.01)
  assert found["foreground_psnr"] < found["psnr"]


def test_raw_error_is_that_without_the_correction(scenes):
  scene = next(s for s in scenes if s.solid.shape == "cone")
  found = scene_scores.score_clips(scene.frames, scene, _GIVEN).scores
  points = trajectories.estimate(
    scene.frames, scene.background, scene.intrinsics, scene.camera_from_world
  )
  errors = np.linalg.norm(points.positions - scene.trajectory, axis=1)
  assert found["ade_raw"] == pytest.approx(errors[_GIVEN:].mean())
  assert found["ade_raw"] > 3 * found["ade"]


def test_centroid_error_is_how_far_pictures_are_moved(scenes):
  scene = scenes[0]
  clips = np.roll(scene.frames, (1, 2), axis=(2, 3))
  found = scene_scores.score_clips(clips, scene, _GIVEN).scores
  floor = scene_scores.score_clips(scene.frames, scene, _GIVEN).scores
  # The triangle inequality: what is found differs from the mask at its rim.
  assert found["centroid_px"] == pytest.approx(
    np.hypot(1, 2), abs=floor["centroid_px"]
  )
  assert floor["centroid_px"] < 0.3


def test_one_camera_tells_what_images_tell(scenes):
  one = scenes[0].of_views([1])
  path = scene_scores.score_clips(one.frames, one, _GIVEN)
  assert np.isnan(path.positions).all() and not path.is_found.any()
  told = {name for name, score in path.scores.items() if not np.isnan(score)}
  assert told == {
    "centroid_px",
    "failure_rate",
    "psnr",
    "foreground_psnr",
    "ssim",
    "mask_iou",
  }
  hidden = one.frames.copy()
  hidden[:, -1] = 0
  found = scene_scores.score_clips(hidden, one, _GIVEN).scores
  later = one.frames.shape[1] - _GIVEN
  assert found["failure_rate"] == pytest.approx(1 / later)
  # The mean over views is that of the views.
  every = [scenes[0].of_views([view]) for view in range(3)]
  alone = [scene_scores.score_clips(s.frames, s, _GIVEN).scores for s in every]
  whole = scene_scores.score_clips(scenes[0].frames, scenes[0], _GIVEN).scores
  for name in told:
    mean = np.mean([scores[name] for scores in alone])
    assert whole[name] == pytest.approx(mean)


def test_two_cameras_are_enough(scenes):
  both = scenes[0].of_views([0, 2])
  np.testing.assert_array_equal(both.frames, scenes[0].frames[[0, 2]])
  found = scene_scores.score_clips(both.frames, both, _GIVEN).scores
  assert found["failure_rate"] == 0 and found["ade"] < 0.03
