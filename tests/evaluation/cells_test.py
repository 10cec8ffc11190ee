"""Probes read what they say, and never what they must not know."""

import dataclasses
import itertools

import chex
import numpy as np
import pytest
import small_outputs

from magvit3d.data.scene_clips import SceneClips
from magvit3d.evaluation.probing import cells
from magvit3d.evaluation.probing.cells import (
  PIXELS,
  TOKENS,
  TRANSFORMER,
  CellReader,
)

_GIVEN = 4


@pytest.fixture(scope="module")
def outputs(trained_run):
  outputs, run = small_outputs.make(trained_run)
  return outputs, run.data.scene_clips("test", None)


@pytest.fixture(scope="module")
def read(outputs):
  """Returns `source -> cells` of its scenes 0 and 2."""
  networks, source = outputs
  names = [task.name for task in networks.model.tasks]
  reader = CellReader(networks, names.index("frame_prediction"))
  assert reader.given_frames == _GIVEN

  def read(change=None):
    if change is None:
      return reader.read(source, [0, 2])
    changed = _ChangedClips(source.scenes, window=source.window, change=change)
    return reader.read(changed, [0, 2])

  return read


@dataclasses.dataclass(frozen=True)
class _ChangedClips(SceneClips):
  change: object = None

  def _cut(self, index, views, frames):
    return self.change(super()._cut(index, views, frames))


def test_cells_have_one_grid(read, outputs):
  found = read()
  assert found.grid == (3, 4, 6, 6)  # 12 x 12 tokens, by twos.
  for array in (*found.whole.values(), *found.given.values()):
    assert array.shape[:2] == (2, 3 * 4 * 6 * 6)
    assert array.dtype == np.float16
  assert set(found.whole) == set(found.given) == {TOKENS, TRANSFORMER, PIXELS}
  scenes = outputs[1]
  assert found.labels.tolist() == [scenes[0]["labels"], scenes[2]["labels"]]
  np.testing.assert_array_equal(found.trajectory[1], scenes[2]["trajectory"])


def test_token_cells_are_means_of_codes(read, outputs):
  networks, _ = outputs
  found = read()
  codes = np.asarray(networks.tokenizer_params["quantizer"]["codebook"])
  # Scene 1 of two, view 2, time 3, row 4, column 5.
  grid = found.tokens[1 * 3 + 2, 3, 8:10, 10:12]
  of_scene = found.whole[TOKENS][1].reshape(*found.grid, -1)
  np.testing.assert_allclose(
    of_scene[2, 3, 4, 5], codes[grid].mean((0, 1)), atol=2e-3, rtol=2e-3
  )


def test_pixel_cells_are_the_pixels_of_their_place_and_time(read, outputs):
  _, source = outputs
  of_scene = read().whole[PIXELS][1].reshape(3, 4, 6, 6, -1)
  # A token frame has two frames; a cell 4 x 4 pixels.
  block = source[2]["frames"][2, 6:8, 16:20, 20:24] / 255
  np.testing.assert_allclose(of_scene[2, 3, 4, 5], block.ravel(), atol=5e-4)


def test_given_cells_know_nothing_of_later_frames(read):
  def change(sample):
    frames = sample["frames"].copy()
    frames[:, _GIVEN:] = 255 - frames[:, _GIVEN:]
    return sample | {"frames": frames}

  found, expected = read(change), read()
  for kind, array in expected.given.items():
    np.testing.assert_array_equal(found.given[kind], array)
    assert np.ptp(array) > 0
    assert (found.whole[kind] != expected.whole[kind]).any()


def test_given_cells_know_the_given_frames(read):
  def change(sample):
    frames = sample["frames"].copy()
    frames[:, :_GIVEN] = 255 - frames[:, :_GIVEN]
    return sample | {"frames": frames}

  found, expected = read(change), read()
  for kind, array in expected.given.items():
    assert (found.given[kind] != array).any()


def test_no_cell_knows_the_class(read):
  found, expected = (
    read(lambda sample, k=k: sample | {"labels": np.int32(k)}) for k in (0, 7)
  )
  for which in ("whole", "given"):
    chex.assert_trees_all_equal(
      getattr(found, which),
      getattr(expected, which),
    )


def test_cells_are_of_equal_sizes_where_that_leaves_four_or_more():
  found = {n: cells.choose_side(n) for n in (4, 8, 12, 16, 11, 13, 26, 3)}
  assert found == {4: 4, 8: 8, 12: 6, 16: 8, 11: 8, 13: 8, 26: 8, 3: 3}


def test_unequal_cells_are_means_of_what_they_cover():
  values = np.random.default_rng(0).normal(size=(2, 11, 3))
  found = cells._averages(values, 1, 8)
  edges = [0, 1, 2, 4, 5, 6, 8, 9, 11]
  for cell, (start, end) in enumerate(itertools.pairwise(edges)):
    # Float32: 6e-8 of some units, a few times.
    np.testing.assert_allclose(
      found[:, cell], values[:, start:end].mean(1), rtol=0, atol=1e-6
    )


def test_scenes_with_gaps_in_their_path_are_left_out(read):
  found = read()
  gap = found.trajectory.copy()
  gap[0, 3, 1] = np.nan
  kept = dataclasses.replace(found, trajectory=gap).with_known_paths()
  assert kept.labels.tolist() == [found.labels[1]]
  np.testing.assert_array_equal(kept.tokens, found.tokens[3:])
  for kind in found.whole:
    np.testing.assert_array_equal(kept.whole[kind], found.whole[kind][1:])
    np.testing.assert_array_equal(kept.given[kind], found.given[kind][1:])
