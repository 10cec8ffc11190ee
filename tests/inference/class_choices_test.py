"""Classes by shape and motion."""

import numpy as np
import pytest

from data_gen import schema
from magvit3d.errors import UserError
from magvit3d.inference.class_choices import matching_labels

_NAMES = schema.class_names("traj3d", random_motion=False)


def test_labels_are_those_of_the_data():
  """A class is shape * number of motions + motion."""
  preset = schema.PRESETS["traj3d"]
  for i, shape in enumerate(preset.shapes):
    for j, motion in enumerate(preset.motions):
      found = matching_labels(_NAMES, shape, motion)
      np.testing.assert_array_equal(found, [4 * i + j])
  np.testing.assert_array_equal(matching_labels(_NAMES), np.arange(12))
  np.testing.assert_array_equal(matching_labels(_NAMES, "cone"), [8, 9, 10, 11])
  found = matching_labels(_NAMES, motion="linear")
  np.testing.assert_array_equal(found, [0, 4, 8])


def test_other_names_are_shapes_alone():
  names = ("walking", "a_long_jump")
  np.testing.assert_array_equal(matching_labels(names, "a_long_jump"), [1])
  with pytest.raises(UserError, match="this run has: none"):
    matching_labels(names, motion="up")


def test_a_name_of_footage_may_look_like_a_pair():
  names = ("pick_up", "pick", "put_down")
  for label, name in enumerate(names):
    np.testing.assert_array_equal(matching_labels(names, name), [label])


def test_a_pair_that_does_not_exist_is_told():
  with pytest.raises(
    UserError, match=r"is no class.*cube_linear, cone_helical"
  ):
    matching_labels(("cube_linear", "cone_helical"), "cube", "helical")
