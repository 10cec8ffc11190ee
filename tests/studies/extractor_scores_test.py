"""What answers about motion and position are worth."""

import numpy as np
import pytest

from magvit3d.config.studies import EXTRACTORS, ExtractorsConfig
from magvit3d.errors import UserError
from magvit3d.studies.extractors import extractor_scores, motion_scenes

_NAMES = ("linear", "circular", "helical", "parabolic")
_CONFIG = ExtractorsConfig(
  features=dict.fromkeys(EXTRACTORS, 4),
  min_accuracy=0.95,
  min_class_accuracy=0.9,
  positions_below_constant_velocity=True,
)
_NUM_FRAMES, _NUM_CAMERAS = 16, 3


def _truth(n=40):
  rng = np.random.default_rng(0)
  paths = rng.normal(size=(n, 1, 3)) + 0.1 * rng.normal(
    size=(n, _NUM_FRAMES, 3)
  ).cumsum(1)
  return {"motion": np.arange(n) % 4, "positions": paths}


def _asked(truth, wrong=(), shift=0.0):
  """A network that is right but in some scenes, and off by some metres."""
  motions = truth["motion"].copy()
  motions[list(wrong)] = (motions[list(wrong)] + 1) % 4
  places = truth["positions"] + np.array([shift, 0, 0])

  def answer(seen, camera=None):
    del seen, camera
    return np.eye(4)[motions], places

  return extractor_scores.ask(answer, np.zeros((len(motions), _NUM_CAMERAS)))


def _tables(truth, **answers):
  return extractor_scores.tables(
    answers,
    truth,
    training_positions=truth["positions"],
    training_motions=truth["motion"],
    motion_names=_NAMES,
    config=_CONFIG,
    split="test",
    costs={name: extractor_scores.Cost(10, 1.0) for name in answers},
  )


def test_a_perfect_network_passes_and_is_all_right():
  truth = _truth()
  results = _tables(truth, frames=_asked(truth))
  assert len(results.checks) == 4
  assert all(check["passed"] for check in results.checks)
  row = results.tables[0].rows[0]
  assert [cell.value for cell in row.cells] == [1.0] * 5
  assert np.trace(results.confusions[0]["counts"]) == 40


def test_mistakes_are_counted_where_they_are():
  truth = _truth()
  # Four of the ten linear scenes.
  results = _tables(truth, frames=_asked(truth, wrong=(0, 4, 8, 12), shift=9.0))
  accuracy, *of_classes = results.tables[0].rows[0].cells
  assert accuracy.value == pytest.approx(0.9)
  assert accuracy.low < 0.9 < accuracy.high
  assert [cell.value for cell in of_classes] == pytest.approx([0.6, 1, 1, 1])
  assert not any(check["passed"] for check in results.checks)
  assert results.confusions[0]["counts"][0] == [6, 4, 0, 0]
  positions = results.tables[2].rows[0].cells
  assert [cell.value for cell in positions] == pytest.approx([9.0] * 4)


def test_positions_are_told_for_each_motion():
  truth = _truth()
  truth["positions"][truth["motion"] == 2, 8:] += (
    1.0  # A jump, of helical ones.
  )
  results = _tables(truth, frames=_asked(truth, shift=0.5))
  table = next(t for t in results.tables if t.title == "Position by motion")
  rows = {row.name: [c.value for c in row.cells] for row in table.rows}
  assert rows["frames"] == pytest.approx([0.5] * 8)
  last = rows["last position"]
  assert last[2] > 1.5 > max(last[0], last[1], last[3])  # sqrt(3), and steps.
  assert [column.name for column in table.columns][4:6] == [
    "t+5, linear",
    "t+5, circular",
  ]


def test_one_camera_is_the_mean_over_cameras():
  truth = _truth(4)

  def answer(seen, camera=None):
    right = np.eye(4)[truth["motion"]]
    return (right if camera in (None, 0) else -right), truth["positions"]

  asked = extractor_scores.ask(answer, np.zeros((4, _NUM_CAMERAS)))
  results = _tables(truth, frames=asked)
  assert results.tables[0].rows[0].cells[0].value == 1
  assert results.tables[1].rows[0].cells[0].value == pytest.approx(1 / 3)


def test_constant_velocity_is_right_on_straight_paths():
  line = extractor_scores.velocity_line(
    np.arange(_NUM_FRAMES)[None, :, None] * np.ones((2, 1, 3)), given=8
  )
  assert line["x"] == list(range(9, 17))
  np.testing.assert_allclose(line["y"], 0, atol=1e-12)
  bent = np.zeros((1, _NUM_FRAMES, 3))
  bent[0, 7, 0] = 1.0  # Then it is back: one metre, and one more a frame.
  line = extractor_scores.velocity_line(bent, given=8)
  np.testing.assert_allclose(line["y"], np.arange(2, 10))


def test_a_split_must_have_each_motion_equally_often():
  motion_scenes.check_stratified("test", np.arange(40) % 4, _NAMES)
  with pytest.raises(UserError, match=r"test split.*has no motions"):
    motion_scenes.check_stratified("test", np.full(3, -1), ())  # Footage.
  for motions in (np.zeros(40, int), np.arange(40) % 3):
    with pytest.raises(UserError, match=r"test split.*equally often"):
      motion_scenes.check_stratified("test", motions, _NAMES)
