"""Probes are asked the right things, and baselines answer what they can."""

from unittest import mock

import numpy as np
import pytest

from data_gen.records.scene_source import SceneSource
from magvit3d.evaluation.probing import questions


def _source(shapes, motions):
  return mock.Mock(
    spec=SceneSource,
    shape_names=shapes,
    motion_names=motions,
    class_names=("a", "b"),
  )


def test_shape_and_motion_are_parts_of_the_class():
  source = _source(("cube", "cone"), ("line", "circle", "helix"))
  labels = np.array([0, 4, 5])
  found = questions.class_answers(source, labels)
  assert found["shape"].tolist() == [0, 1, 1]
  assert found["motion"].tolist() == [0, 1, 2]
  footage = _source((), ())
  assert questions.class_questions(footage) == {"class": ("a", "b")}
  assert questions.class_answers(footage, labels)["class"] is labels


def test_positions_are_those_at_the_last_given_frame_and_after():
  paths = np.random.default_rng(0).normal(size=(4, 10, 3))
  found = questions.positions(paths, 4)
  assert list(found) == ["t", "t+1", "t+5"]
  for name, frame in (("t", 3), ("t+1", 4), ("t+5", 8)):
    np.testing.assert_array_equal(found[name], paths[:, frame])
  assert list(questions.positions(paths, 8)) == ["t", "t+1"]


def test_constant_velocity_is_exact_on_a_line_and_not_asked_about_now():
  start, step = np.random.default_rng(0).normal(size=(2, 4, 1, 3))
  paths = start + step * np.arange(10)[:, None]
  right = questions.positions(paths, 4)
  mean = {name: places.mean(0) for name, places in right.items()}
  found = questions.baseline_positions(paths, 4, mean)
  assert list(found["constant velocity"]) == ["t+1", "t+5"]
  lengths = np.linalg.norm(step, axis=-1)
  for name, ahead in (("t+1", 1), ("t+5", 5)):
    line = found["constant velocity"][name]
    assert questions.distance(line, right[name]) < 1e-12
    assert questions.distance(
      found["last position"][name], right[name]
    ) == pytest.approx(ahead * lengths.mean())
  np.testing.assert_allclose(found["mean position"]["t"][2], mean["t"])


def test_confusion_counts_truth_in_rows():
  right, answers = np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1])
  found = questions.confusion(answers, right, 3)
  assert found.tolist() == [[1, 0, 1], [0, 1, 0], [0, 1, 0]]
  assert questions.accuracy(answers, right) == 0.5
