"""Classes are stratified in every split, and held-out pairs stay out."""

import collections

import pytest

from data_gen.scenes.class_labels import class_of_scene
from data_gen.scenes.options import DatasetOptions

COUNTS = {"num_train": 61, "num_validation": 25, "num_test": 12}


def _count(options, split):
  labels = [
    class_of_scene(options, split, i) for i in range(options.num_scenes(split))
  ]
  names = options.class_names
  return collections.Counter(names[label] for label in labels)


@pytest.mark.parametrize("random_motion", [False, True])
@pytest.mark.parametrize("preset", ["traj3d", "traj2d"])
def test_counts_of_all_pairs_are_within_one(preset, random_motion):
  options = DatasetOptions(
    preset=preset, random_motion=random_motion, num_ood_speed=31, **COUNTS
  )
  assert len(options.class_names) == (15 if random_motion else 12)
  for split in ("train", "validation", "test", "ood_speed"):
    found = _count(options, split)
    counts = [found[name] for name in options.class_names]
    assert sum(counts) == options.num_scenes(split)
    assert max(counts) - min(counts) <= 1


def test_held_out_pair_is_in_its_own_split_only():
  options = DatasetOptions(
    ood_pair="cone_helical",
    num_ood_pair=7,
    num_ood_camera=23,
    num_ood_speed=23,
    **COUNTS,
  )
  assert _count(options, "ood_pair") == {"cone_helical": 7}
  for split in ("train", "validation", "test", "ood_camera", "ood_speed"):
    found = _count(options, split)
    assert found["cone_helical"] == 0
    assert len(found) == min(11, options.num_scenes(split))
    assert max(found.values()) - min(found.values()) <= 1


def test_splits_have_orders_of_their_own():
  options = DatasetOptions(num_train=48, num_validation=48, num_test=48)
  orders = {
    tuple(class_of_scene(options, split, i) for i in range(48))
    for split in ("train", "validation", "test")
  }
  assert len(orders) == 3
  other = DatasetOptions(num_train=48, seed=1)
  assert (
    tuple(class_of_scene(other, "train", i) for i in range(48)) not in orders
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"num_ood_pair": 3}, "--num_ood_pair=3 needs --ood_pair"),
    ({"ood_pair": "cone_sine"}, "--ood_pair=cone_sine is not known"),
    ({"preset": "traj4d"}, "--preset=traj4d is not known: give one of traj3d"),
  ],
)
def test_bad_splits_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    DatasetOptions(**changes)
