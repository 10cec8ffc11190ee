"""Drawn scenes keep what they promise, whatever the options."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.spatial

from data_gen import schema
from data_gen.records.features import make_features
from data_gen.rendering import cameras, ground, renderer, rotations, visibility
from data_gen.rendering.rays import Solid
from data_gen.scenes import motions, scenes
from data_gen.scenes.options import DatasetOptions

SMALL = {"num_train": 12, "num_frames": 6, "image_size": 64}
# One of each kind of scenes; the numbers of objects are those of the masks.
KINDS = {
  "plain": {},
  "crowd": {"num_objects": 3, "num_clutter": 2, "num_transients": 2},
  "ground": {"ground_plane": True, "num_objects": 2, "size_max": 2.0},
  "rigs": {
    "camera_rig": "random:4",
    "camera_jitter": 0.1,
    "background": "random",
    "random_motion": True,
    "spin": 1.5,
  },
  "flat": {"preset": "traj2d", "num_objects": 2, "spin": 0.5},
  "crossed": {"camera_rig": "ring:5", "num_objects": 2, "num_ood_speed": 12},
}
NUM_SCENES = 8


@pytest.fixture(scope="module", params=list(KINDS))
def drawn(request):
  """Options, and some scenes."""
  options = DatasetOptions(**(SMALL | KINDS[request.param]))
  split = "ood_speed" if options.num_ood_speed else "train"
  found = [scenes.make_scene(options, split, i) for i in range(NUM_SCENES)]
  return options, found


def _solids(options, scene):
  """The objects of a scene from its labels, and which ones move for good."""
  if options.num_scene_objects == 1:
    rotation = rotations.matrix_from_quaternion(scene["orientation"])
    shape = options.shapes[scene["shape"]]
    path = scene["trajectory"]
    return [Solid(shape, scene["size"], path, rotation, scene["color"])], [True]
  found = [
    Solid(
      options.shapes[scene["objects/shape"][i]],
      scene["objects/size"][i],
      scene["objects/trajectory"][i],
      rotations.matrix_from_quaternion(scene["objects/orientation"][i]),
      scene["objects/color"][i],
      scene["objects/first_frame"][i],
      scene["objects/last_frame"][i],
    )
    for i in range(options.num_scene_objects)
  ]
  is_mover = (scene["objects/motion"] >= 0) & (
    scene["objects/is_transient"] == 0
  )
  return found, is_mover.tolist()


def _rig(options, scene):
  return cameras.Cameras(
    scene["intrinsics"], scene["camera_from_world"], options.image_size
  )


def _enlarged(rig, factor, margin):
  """The same cameras with `factor` times the pixels, and a margin around."""
  intrinsics = rig.intrinsics.copy()
  intrinsics[:, :2] *= factor
  # Pixel centres: x' = factor (x + 1/2) - 1/2.
  intrinsics[:, :2, 2] += (factor - 1) / 2 + margin
  size = rig.image_size * factor + 2 * margin
  return cameras.Cameras(intrinsics, rig.camera_from_world, size)


def test_values_have_the_shapes_of_the_features(drawn):
  options, found = drawn
  features = make_features(options)
  for scene in found:
    assert set(scene) == set(features)
    for key, feature in features.items():
      if feature.encoding != "text":
        assert np.shape(scene[key]) == feature.shape, key


def test_scenes_depend_on_seed_split_and_index_alone(drawn):
  options, found = drawn
  split = "ood_speed" if options.num_ood_speed else "train"
  again = scenes.make_scene(options, split, 3)
  for key, value in found[3].items():
    np.testing.assert_array_equal(again[key], value)
  other = dataclasses.replace(options, seed=1)
  changed = scenes.make_scene(other, split, 3)
  assert (changed["frames"] != found[3]["frames"]).any()


def test_moving_objects_are_half_visible_and_large_enough(drawn):
  """Counted at four times the resolution, beyond the edges of the image."""
  options, found = drawn
  num_hidden = 0
  for scene in found:
    objects, is_mover = _solids(options, scene)
    rig, margin = _rig(options, scene), 2 * options.image_size
    wide = _enlarged(rig, 4, margin)
    black = np.zeros(3)
    together = renderer.render(objects, wide, black).masks
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    for number, solid in enumerate(objects):
      pixels = (scene["masks"] == number + 1).sum((2, 3), dtype=int)
      if not is_mover[number]:
        assert not pixels[:, ~solid.is_there].any()
        # Half of it is inside some image, whatever hides it there.
        alone = renderer.render([solid], wide, black).masks
        inside = alone[inner].sum((2, 3)) / np.maximum(alone.sum((2, 3)), 1)
        assert inside.max(0)[solid.is_there].min() >= 0.5 - 0.03
        continue
      assert pixels.min() >= visibility.MIN_PIXELS
      alone = renderer.render([solid], wide, black).masks.sum((2, 3), dtype=int)
      seen = (together[inner] == number + 1).sum((2, 3), dtype=int)
      num_hidden += (seen < alone).sum()
      # The silhouette's edge is half a fine pixel uncertain: with 36 fine
      # pixels' width for the smallest ones, that is 3%.
      assert (seen / alone).min() >= visibility.MIN_FRACTION - 0.03
  assert num_hidden > 0 or options.num_scene_objects == 1


def test_objects_stay_within_bounds_and_above_the_ground(drawn):
  options, found = drawn
  bounds = motions.BOUNDS[options.preset]
  for scene in found:
    for solid in _solids(options, scene)[0]:
      path = solid.trajectory[solid.is_there]
      assert (np.abs(path) <= bounds).all()
      assert options.size_min <= solid.size <= options.size_max
      if options.ground_plane:
        corners = np.array([[0, 0, 0.1], [0.05, 0, -0.1], [-0.05, 0, -0.1]])
        assert solid.to_world(corners)[..., 2].min() >= ground.HEIGHT_M - 0.11


def test_objects_differ_from_what_is_behind_in_every_shade(drawn):
  """By 40/255 in some channel, in all pixels that show a single object."""
  options, found = drawn
  for scene in found:
    if options.ground_plane:
      behind = scene["background_frames"][:, None].astype(int)
    else:
      behind = np.rint(scene["background"] * 255).astype(int)
    for number in range(1, options.num_scene_objects + 1):
      inner = scipy.ndimage.binary_erosion(
        scene["masks"] == number, np.ones((1, 1, 3, 3))
      )
      difference = np.abs(scene["frames"].astype(int) - behind).max(-1)
      assert (difference[inner] >= 40).all()


def test_cameras_see_different_things(drawn):
  options, found = drawn
  for scene in found:
    for a in range(options.num_views):
      for b in range(a):
        for key in ("frames", "masks", "camera_from_world"):
          assert (scene[key][a] != scene[key][b]).any()


def test_spin_turns_evenly_about_one_axis(drawn):
  options, found = drawn
  turns = []
  for scene in found:
    rotation = rotations.matrix_from_quaternion(scene["orientation"])
    steps = rotation[1:] @ rotation[:-1].transpose(0, 2, 1)
    # Float32 quaternions: 1e-6.
    np.testing.assert_allclose(steps, steps[:1].repeat(5, 0), atol=3e-6)
    cosine = np.clip((np.trace(steps[0]) - 1) / 2, -1, 1)
    turns.append(np.arccos(cosine) * 5 / (2 * np.pi))
  if options.spin:
    # Steps of more than half a turn look like smaller ones the other way.
    assert max(turns) <= options.spin + 1e-3
    assert len(set(np.round(turns, 4))) == NUM_SCENES
  else:
    np.testing.assert_allclose(turns, 0, atol=1e-3)


def _surface(shape, num_points=720):
  """Corners and rims of a solid at scale 1, whose hull it is."""
  angle = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
  rim = 0.05 * np.stack([np.cos(angle), np.sin(angle)], -1)
  low = np.column_stack([rim, np.full(num_points, -0.1)])
  if shape == "cube":
    return np.array([[x, y, z] for x in _H for y in _H for z in _H])
  if shape == "cone":
    return np.concatenate([low, [[0, 0, 0.1]]])
  return np.concatenate([low, -low])


_H = (-0.05, 0.05)


@pytest.mark.parametrize(
  "changes", [{}, {"camera_rig": "random:4", "focal_jitter": 0.2, "spin": 1.0}]
)
def test_masks_are_the_hulls_of_what_the_records_say(changes):
  """All shapes and sizes, at 128 pixels, by stored cameras and poses."""
  options = DatasetOptions(num_train=12, num_frames=4, **changes)
  y, x = np.mgrid[:128, :128]
  grid = np.stack([x, y, np.ones_like(x)], -1)
  for index in range(12):
    scene = scenes.make_scene(options, "train", index)
    local = _surface(options.shapes[scene["shape"]]) * scene["size"]
    for time, (w, i, j, k) in enumerate(scene["orientation"]):
      # Rodrigues' formula, from the quaternion.
      cross = np.cross(np.array([i, j, k]), local)
      turned = local + 2 * (w * cross + np.cross(np.array([i, j, k]), cross))
      world = np.column_stack(
        [turned + scene["trajectory"][time], np.ones(len(local))]
      )
      for view in range(options.num_views):
        matrix = scene["intrinsics"][view] @ scene["camera_from_world"][view]
        pixels = world @ matrix.T
        hull = scipy.spatial.ConvexHull(pixels[:, :2] / pixels[:, 2:])
        expected = (grid @ hull.equations.T <= 0).all(-1)
        found = scene["masks"][view, time] == 1
        assert (found & expected).sum() >= 0.98 * (found | expected).sum()
        centres = [np.argwhere(mask).mean(0) for mask in (found, expected)]
        assert np.abs(centres[0] - centres[1]).max() < 0.5


def test_empty_scene_is_the_background_frame():
  options = DatasetOptions(**(SMALL | KINDS["ground"]))
  scene = scenes.make_scene(options, "train", 0)
  empty = scene["background_frames"][:, None].astype(int)
  difference = np.abs(scene["frames"] - empty).max(-1)
  near = scipy.ndimage.binary_dilation(scene["masks"], np.ones((1, 1, 3, 3)))
  # Shadows darken, and most of the ground is as it was.
  assert (scene["frames"].astype(int) <= empty)[~near].all()
  assert 0.01 < (difference[~near] > 8).mean() < 0.2
  assert (difference[~near] == 0).mean() > 0.7


def test_transients_come_and_go_and_clutter_stays():
  options = DatasetOptions(
    **(SMALL | {"num_frames": 10, "num_clutter": 2, "num_transients": 4})
  )
  lengths = []
  for index in range(6):
    scene = scenes.make_scene(options, "train", index)
    first, last = scene["objects/first_frame"], scene["objects/last_frame"]
    np.testing.assert_array_equal(
      scene["objects/is_transient"], [0, 0, 0, 1, 1, 1, 1]
    )
    np.testing.assert_array_equal(first[:3], 0)
    np.testing.assert_array_equal(last[:3], 9)
    np.testing.assert_array_equal(
      scene["objects/motion"] == schema.STILL, [0, 1, 1, 0, 0, 0, 0]
    )
    still = scene["objects/trajectory"][1:3]
    np.testing.assert_array_equal(still, still[:, :1].repeat(10, 1))
    lengths += (last - first + 1)[3:].tolist()
    for number in range(3, 7):
      shown = (scene["masks"] == number + 1).any((0, 2, 3))
      times = np.arange(10)
      is_there = (times >= first[number]) & (times <= last[number])
      assert not shown[~is_there].any()
    # The main object comes first, under its own names too.
    np.testing.assert_array_equal(
      scene["objects/trajectory"][0], scene["trajectory"]
    )
    assert scene["objects/shape"][0] == scene["shape"]
  assert set(lengths) == {1, 2, 3}


def test_further_objects_do_not_change_the_main_one():
  plain = DatasetOptions(**SMALL)
  crowd = DatasetOptions(**(SMALL | KINDS["crowd"]))
  for index in range(3):
    alone = scenes.make_scene(plain, "train", index)
    among = scenes.make_scene(crowd, "train", index)
    for key in ("trajectory", "orientation", "color", "size", "class"):
      np.testing.assert_array_equal(alone[key], among[key])


def test_depths_and_flows_are_stored_in_their_units():
  options = DatasetOptions(
    **(SMALL | {"depths": True, "flows": True, "ground_plane": True})
  )
  scene = scenes.make_scene(options, "train", 1)
  objects, _ = _solids(options, scene)
  exact = renderer.render(
    objects, _rig(options, scene), np.zeros(3), with_depths=True
  )
  stored = scene["depths"] * 1e-4
  is_object = scene["masks"] > 0
  assert np.abs(stored - exact.depths)[is_object].max() <= 0.51e-4
  assert stored[~is_object].min() > 1  # The ground.
  moving = scene["flows"][scene["masks"][:, :-1] > 0] / 16
  assert np.abs(moving).max() > 1
  assert not scene["flows"][scene["masks"][:, :-1] == 0].any()


@pytest.mark.parametrize(
  ("changes", "caption"),
  [
    ({}, "on a "),
    ({"num_objects": 2}, " and a"),
    ({"preset": "traj2d"}, "on a "),
    ({"num_clutter": 2}, "on a "),
  ],
)
def test_captions_tell_of_what_moves(changes, caption):
  options = DatasetOptions(**(SMALL | changes))
  scene = scenes.make_scene(options, "train", 2)
  assert caption in scene["caption"]
  assert options.shapes[scene["shape"]] in scene["caption"].split(" on ")[0]
  assert scene["caption"].count(" on a ") == options.num_objects


@pytest.mark.slow
def test_impossible_crowds_are_told():
  options = DatasetOptions(
    num_train=1,
    num_frames=4,
    image_size=32,
    num_objects=20,
    size_min=6.0,
    size_max=8.0,
    path_scale_min=0.1,
    path_scale_max=0.2,
    position_noise=0.0,
  )
  with pytest.raises(ValueError, match=r"Lower --num_objects.*--size_max=8\.0"):
    scenes.make_scene(options, "train", 0)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_objects": 0}, "--num_objects=0"),
    ({"num_clutter": 200, "num_transients": 60}, "make 261 objects"),
    ({"background": "red"}, "--background=red is no colour"),
    ({"background": "0,0,2"}, "--background=0,0,2 is no colour"),
    ({"background": "1,0,0", "num_colors": 4}, "is too near to the colour"),
    ({"background": "0,.9,0", "color_by_shape": True}, "is too near"),
    ({"spin": -1.0}, "--spin=-1.0"),
  ],
)
def test_bad_objects_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    DatasetOptions(**changes)


def test_cameras_that_see_too_little_are_named():
  options = DatasetOptions(num_train=1, num_frames=4, field_of_view=8.0)
  with pytest.raises(ValueError, match=r"change --field_of_view=8\.0\."):
    scenes.make_scene(options, "train", 0)
