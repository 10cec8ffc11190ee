"""Which class each scene of a split has: stratified, in random order."""

import functools

import numpy as np

from data_gen import schema
from data_gen.scenes import cues
from data_gen.scenes.options import DatasetOptions

# Last words of the seeds: numpy takes [a, b] and [a, b, 0] for the same.
_CLASS_STREAM = 2


def allowed_classes(options: DatasetOptions, split: str) -> np.ndarray:
  """Returns the classes that a split may have, (C,)."""
  names = options.class_names
  if not options.ood_pair:
    return np.arange(len(names))
  held_out = names.index(options.ood_pair)
  if split == "ood_pair":
    return np.array([held_out])
  return np.delete(np.arange(len(names)), held_out)


def class_of_scene(options: DatasetOptions, split: str, index: int) -> int:
  """Returns the class of a scene; the counts differ by one at most."""
  if options.is_phyworld:  # There is one motion.
    return cues.shape_of_scene(options.cues, split, index)
  allowed = tuple(allowed_classes(options, split).tolist())
  num_scenes = options.num_scenes(split)
  return int(_classes(options.seed, split, num_scenes, allowed)[index])


@functools.lru_cache(maxsize=8)
def _classes(
  seed: int, split: str, num_scenes: int, allowed: tuple[int, ...]
) -> np.ndarray:
  rng = np.random.default_rng(
    [seed, schema.SPLITS.index(split), 0, _CLASS_STREAM]
  )
  # Which classes get one scene more than others is drawn too.
  order = rng.permutation(np.array(allowed))
  return rng.permutation(order[np.arange(num_scenes) % len(allowed)])
