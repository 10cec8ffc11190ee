"""What a model is told of the cameras of pairs."""

import types

import numpy as np

from data_gen.records.scene_source import SceneSource
from magvit3d.api import Magvit
from magvit3d.studies.surprise import pair_scores
from magvit3d.studies.surprise.asked_pairs import AskedPairs


class _Pairs(SceneSource):
  """Grey pairs that four cameras saw."""

  num_views = 4

  def __init__(self):
    pass

  def __len__(self):
    return 3

  def scene(self, index, keys):
    (key,) = keys
    return {key: np.int64((-1, 1, 3)[index])}  # All, or one camera alone.

  def views(self, index, views, keys):
    frames = np.zeros((len(views), 4, 8, 8, 3), np.uint8)
    found = {
      "frames": frames,
      "impossible/frames": frames,
      "violation/kind": index,
      "violation/frame": 2,
      "intrinsics": np.zeros((len(views), 3, 3), np.float32),
      "camera_from_world": np.zeros((len(views), 3, 4), np.float32),
    }
    return {key: found[key] for key in keys if key in found}


class _Magvit(Magvit):
  """Sees two of them."""

  def __init__(self):
    model = types.SimpleNamespace(num_views=2)
    self.trained = types.SimpleNamespace(sees_views=True, model=model)
    self.told = []

  def surprise(self, scenes, cameras):
    self.told.append(cameras.views)
    return np.zeros((len(scenes), 2))


def test_cameras_that_are_read_keep_their_numbers():
  """One that alone saw the impossible is read."""
  magvit = _Magvit()
  pair_scores.measure(magvit, _Pairs(), AskedPairs(None, "any"))
  assert len(magvit.told) == 2  # Of possible and of impossible clips.
  for views in magvit.told:
    np.testing.assert_array_equal(views, [[0, 2], [1, 2], [0, 3]])
