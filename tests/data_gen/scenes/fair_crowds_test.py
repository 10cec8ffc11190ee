"""What stays and what passes in crowds have the same laws, and pixels stay."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from data_gen import schema
from data_gen.scene_makers import make_scene
from data_gen.scenes.fair_crowds import FairCrowdMaker, FairCrowdOptions
from data_gen.scenes.options import DatasetOptions

_OPTIONS = FairCrowdOptions(
  image_size=48,
  camera_rig="2,0,1",
  size_min=2.0,
  size_max=3.0,
  num_colors=4,
  num_objects=2,
  num_clutter=2,
  num_transients=4,
)
_NUM_SCENES = 6


@pytest.fixture(scope="module")
def scenes():
  return [make_scene(_OPTIONS, "train", i) for i in range(_NUM_SCENES)]


def _inner(mask):
  """Pixels whose neighbours, up to two away, are of the same thing."""
  return scipy.ndimage.binary_erosion(mask, np.ones((5, 5)))


def test_clutter_keeps_its_pixels(scenes):
  count = 0
  for scene in scenes:
    frames, masks = scene[schema.FRAMES][0], scene[schema.MASKS][0]
    for number in np.flatnonzero(scene[schema.OBJECTS_MOTION] == -1) + 1:
      inner = [_inner(mask == number) for mask in masks]
      for i in range(1, len(frames)):
        both = inner[0] & inner[i]
        np.testing.assert_array_equal(frames[0][both], frames[i][both])
        count += both.sum()
        # Where it is not any more, something else is in front.
        gone = (masks[0] == number) & (masks[i] != number)
        assert (masks[i][gone] > 0).all()
  assert count > 1000


def test_without_the_rest_the_main_object_is_in_the_same_clip(scenes):
  alone = dataclasses.replace(
    _OPTIONS, num_objects=1, num_clutter=0, num_transients=0
  )
  for index, scene in enumerate(scenes[:3]):
    plain = make_scene(alone, "train", index)
    masks = scene[schema.MASKS][0]
    hidden = (plain[schema.MASKS][0] == 1) & (masks != 1)
    assert (masks[hidden] > 1).all()
    inner = np.stack([_inner(mask <= 1) for mask in masks])
    np.testing.assert_array_equal(
      scene[schema.FRAMES][0][inner], plain[schema.FRAMES][0][inner]
    )
    assert (inner & (masks == 1)).sum() > 100


def test_further_kinds_are_drawn_once():
  """However often an object is placed, it stays what it is."""
  maker = FairCrowdMaker(_OPTIONS, "train", 0)
  rng = np.random.default_rng(0)
  for kind in maker.further_kinds(rng):
    one, other = kind(rng), kind(rng)
    assert (one.shape, one.motion) == (other.shape, other.motion)
    assert one.solid.size == other.solid.size
    assert one.solid.first_frame == other.solid.first_frame
    assert one.solid.last_frame == other.solid.last_frame
    np.testing.assert_array_equal(one.solid.color, other.solid.color)
    assert (one.solid.trajectory != other.solid.trajectory).any()


@pytest.mark.slow
def test_what_stays_and_what_passes_have_the_same_laws():
  """Chi-square and Kolmogorov-Smirnov of 150 scenes; seeds are fixed.

  A fair data set fails one of the four tests in one of 250 cases.
  """
  found = [make_scene(_OPTIONS, "train", i) for i in range(150)]
  passes = np.stack([s[schema.OBJECTS_IS_TRANSIENT] for s in found]) == 1
  for key in (schema.OBJECTS_SHAPE, schema.OBJECTS_COLOR):
    values = np.stack([s[key] for s in found])
    if values.ndim > 2:
      _, numbers = np.unique(values.reshape(-1, 3), axis=0, return_inverse=True)
      values = numbers.reshape(passes.shape)
    counts = [np.bincount(values[kind]) for kind in (passes, ~passes)]
    assert scipy.stats.chi2_contingency(counts).pvalue > 1e-3
  sizes = np.stack([s[schema.OBJECTS_SIZE] for s in found])
  assert scipy.stats.ks_2samp(sizes[passes], sizes[~passes]).pvalue > 1e-3
  ends = [schema.OBJECTS_LAST_FRAME, schema.OBJECTS_FIRST_FRAME]
  last, first = (np.stack([s[key] for s in found]) for key in ends)
  lengths = np.bincount((last - first)[passes], minlength=3)
  assert scipy.stats.chisquare(lengths).pvalue > 1e-3


def test_manifests_tell_fair_crowds_from_others():
  plain = DatasetOptions(num_transients=1)
  fair = FairCrowdOptions(num_transients=1)
  assert fair.arguments() == plain.arguments() | {"fair_crowds": True}
