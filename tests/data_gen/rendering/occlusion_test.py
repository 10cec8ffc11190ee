"""Several solids in one picture: the nearest is seen."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
from random_solids import BLACK, RIG, SIZE, make_solid

from data_gen import schema
from data_gen.rendering import cameras, renderer, rotations, visibility
from data_gen.rendering.rays import Solid, make_rays


def _make_crowd(num_solids=4):
  colors_ = np.random.default_rng(9).uniform(0.3, 1, (num_solids, 3))
  shapes = schema.PRESETS["traj3d"].shapes
  return [
    dataclasses.replace(
      make_solid(shapes[i % 3], seed=i, num_frames=6, size=3 + i / 2),
      color=colors_[i],
    )
    for i in range(num_solids)
  ]


def test_the_nearest_of_several_solids_is_seen():
  crowd = _make_crowd()
  both = renderer.render(crowd, RIG, BLACK, with_depths=True)
  alone = [renderer.render([s], RIG, BLACK, with_depths=True) for s in crowd]
  depths = np.stack([np.where(a.masks, a.depths, np.inf) for a in alone])
  nearest = np.where(np.isinf(depths.min(0)), 0, depths.argmin(0) + 1)
  np.testing.assert_array_equal(both.masks, nearest)
  hidden = sum(
    (a.masks > 0) & (both.masks != i + 1) for i, a in enumerate(alone)
  )
  assert hidden.sum() > 1000
  np.testing.assert_array_equal(
    both.depths, np.where(nearest, depths.min(0), 0)
  )
  # Inside a solid's visible part the frame is that of the solid alone.
  for number, rendering in enumerate(alone, 1):
    inner = scipy.ndimage.binary_erosion(
      both.masks == number, np.ones((1, 1, 5, 5))
    )
    assert inner.sum() > 1000
    np.testing.assert_array_equal(both.frames[inner], rendering.frames[inner])


def test_the_order_of_solids_does_not_matter():
  crowd = _make_crowd()
  there = renderer.render(crowd, RIG, BLACK)
  back = renderer.render(crowd[::-1], RIG, BLACK)
  np.testing.assert_array_equal(
    there.masks, np.where(back.masks, 5 - back.masks, 0)
  )
  # The sums of colours are rounded in another order.
  np.testing.assert_allclose(there.frames.astype(int), back.frames, atol=1)


def test_adaptive_sampling_of_several_solids_matches_nine_rays():
  num_different = num_pixels = 0
  for seed in range(8):
    crowd = [
      make_solid(shape, 10 * seed + i, num_frames=16, size=1 + seed / 3)
      for i, shape in enumerate(schema.PRESETS["traj3d"].shapes)
    ]
    adaptive = renderer.render(crowd, RIG, BLACK)
    full = renderer.render(crowd, RIG, BLACK, is_adaptive=False)
    np.testing.assert_array_equal(adaptive.masks, full.masks)
    difference = np.abs(adaptive.frames.astype(int) - full.frames).max(-1)
    num_different += (difference > 1).sum()
    num_pixels += difference.size
  assert num_pixels > 6e6
  assert num_different <= 1e-5 * num_pixels


@pytest.mark.slow
def test_as_many_solids_as_masks_can_tell_apart():
  """The nearest is seen, also among 254."""
  rng = np.random.default_rng(0)
  path = rng.uniform(-0.6, 0.6, (254, 1, 3))
  crowd = [
    Solid(
      schema.PRESETS["traj3d"].shapes[i % 3],
      0.7,
      path[i],
      np.eye(3)[None],
      rng.uniform(0.3, 1, 3),
    )
    for i in range(254)
  ]
  rendering = renderer.render(crowd, RIG, BLACK, with_depths=True)
  full = renderer.render(crowd, RIG, BLACK, is_adaptive=False)
  np.testing.assert_array_equal(rendering.masks, full.masks)
  nearest = np.full(rendering.masks.shape, np.inf)
  owner = np.zeros(rendering.masks.shape, int)
  for number, solid in enumerate(crowd, 1):
    alone = renderer.render([solid], RIG, BLACK, with_depths=True)
    is_nearer = (alone.masks > 0) & (alone.depths < nearest)
    owner[is_nearer], nearest[is_nearer] = number, alone.depths[is_nearer]
  np.testing.assert_array_equal(rendering.masks, owner)
  assert len(np.unique(owner)) > 200


def test_a_transient_solid_is_seen_in_its_frames_only():
  still = make_solid("cube", 0, num_frames=6)
  guest = dataclasses.replace(
    make_solid("cone", 1, num_frames=6), first_frame=2, last_frame=3
  )
  both = renderer.render([still, guest], RIG, BLACK)
  assert (both.masks[:, 2:4] == 2).any((0, 2, 3)).all()
  without = renderer.render([still], RIG, BLACK)
  for times in (slice(0, 2), slice(4, 6)):
    np.testing.assert_array_equal(
      both.frames[:, times], without.frames[:, times]
    )


def test_of_flat_figures_the_first_is_in_front():
  rig = cameras.make_flat_rig(SIZE)
  rng = np.random.default_rng(0)
  shapes = schema.PRESETS["traj2d"].shapes
  num_hidden = 0
  for number in range(30):
    pair = []
    for _ in range(2):
      turn = rotations.about_axis(
        np.array([0.0, 0, 1]), rng.uniform(-3, 3, size=1)
      )
      place = np.append(rng.uniform(-0.1, 0.1, 2), 0.0)
      pair.append(
        Solid(
          shapes[number % 3],
          rng.uniform(0.8, 1.2),
          place[None],
          rotations.matrix_from_quaternion(turn),
          rng.uniform(0.3, 1, 3),
        )
      )
    both = renderer.render(pair, rig, BLACK)
    first = renderer.render(pair[:1], rig, BLACK)
    np.testing.assert_array_equal(both.masks == 1, first.masks == 1)
    second = renderer.render(pair[1:], rig, BLACK).masks == 1
    num_hidden += (second & (both.masks == 1)).sum()
    cast = [(solid, make_rays(solid, rig)) for solid in pair]
    share = visibility.visible_fractions(
      cast[1], cast[:1], rig.image_size, num_before=1
    )
    expected = (both.masks == 2).sum() / second.sum()
    # Pixels of 200 or more: the edge between both is a tenth of them.
    assert abs(share[0] - expected) < 0.1
  assert num_hidden > 1000
