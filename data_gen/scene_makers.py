"""Scenes by number, of whatever data set: rendered, or cut from footage."""

from typing import Any

from data_gen.footage.footage import Footage
from data_gen.scenes import class_labels, phyworld, scenes, violations
from data_gen.scenes.fair_crowds import FairCrowdMaker, FairCrowdOptions
from data_gen.scenes.moving_cameras import (
  MovingCameraMaker,
  MovingCameraOptions,
)
from data_gen.scenes.options import DatasetOptions
from data_gen.scenes.violations import ViolationOptions

SceneSet = DatasetOptions | Footage


def make_scene(options: SceneSet, split: str, index: int) -> dict[str, Any]:
  """Returns scene `index` of a split: a value for each of its features.

  Raises:
    ValueError: The options allow no such scene, or a video is damaged.
  """
  if isinstance(options, Footage):
    return options.make_scene(split, index)
  if isinstance(options, ViolationOptions):
    return violations.make_scene(options, split, index)
  if isinstance(options, MovingCameraOptions):
    return MovingCameraMaker(options, split, index).make()
  if isinstance(options, FairCrowdOptions):
    return FairCrowdMaker(options, split, index).make()
  if options.is_phyworld:
    return phyworld.make_scene(options, split, index)
  return scenes.make_scene(options, split, index)


def class_of_scene(options: SceneSet, split: str, index: int) -> int:
  """Returns the class of a scene."""
  if isinstance(options, Footage):
    return options.class_of_scene(split, index)
  return class_labels.class_of_scene(options, split, index)
