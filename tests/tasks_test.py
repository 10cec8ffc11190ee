"""Tests of vocabulary, tasks and conditions."""

import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.tokens import conditions, tasks, vocabulary


@pytest.mark.parametrize(
  ("num_classes", "multi_task", "size", "prefix_length"),
  # BAIR frame prediction, BAIR multi-task, UCF-101 class-conditional.
  [(0, False, 1026, 1), (0, True, 1041, 2), (101, False, 1127, 1)],
)
def test_vocabulary_sizes_are_upstreams(
  num_classes, multi_task, size, prefix_length
):
  vocab = vocabulary.Vocabulary(1024, num_classes, multi_task)
  assert vocab.size == size
  assert vocab.prefix_length == prefix_length
  assert vocab.no_class == 1024 + num_classes


def test_special_tokens_have_rows_that_no_other_id_has():
  vocab = vocabulary.Vocabulary(8, 3, multi_task=True)
  special = [vocabulary.MASK, vocabulary.SEPARATOR, vocabulary.PADDING]
  rows = [vocab.size + token for token in special]
  rows += [vocab.size + token for token in vocabulary.TASK_TOKENS.values()]
  assert len(set(rows)) == len(rows)
  assert min(rows) > vocab.no_class


@pytest.mark.parametrize("mode", ["edge", "constant", "wrap", "reflect"])
def test_frame_prediction_pads_as_numpy_does(mode):
  rng = np.random.default_rng(0)
  video = rng.uniform(size=(2, 8, 2, 3, 3)).astype(np.float32)
  out = conditions.frame_prediction(jnp.asarray(video), 4, 5, 3, mode)
  widths = [(0, 0), (0, 3), (0, 0), (0, 0), (0, 0)]
  np.testing.assert_array_equal(out.video, np.pad(video[:, :5], widths, mode))
  np.testing.assert_array_equal(
    out.video_mask[:, :, 0, 0, 0], [[True] * 5 + [False] * 3] * 2
  )
  np.testing.assert_array_equal(
    out.latent_mask[:, :, 0, 0], [[True] * 3 + [False]] * 2
  )


@pytest.mark.parametrize("cond_frames", [0, 4, 9])
def test_given_frames_must_leave_something_to_predict(cond_frames):
  video = jnp.zeros((1, 4, 1, 1, 3))
  with pytest.raises(ValueError, match=f"={cond_frames} is not between 1 and"):
    conditions.frame_prediction(video, 2, cond_frames, 1)
  config = {"frame_prediction": dict(cond_frames=cond_frames)}
  with pytest.raises(ValueError, match=r"frame_prediction.cond_frames=\d must"):
    tasks.tasks_from_config(config, 4, 2)


@pytest.mark.parametrize(
  ("cond_frames", "expected"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)]
)
def test_given_latent_frames_are_those_with_a_given_frame(
  cond_frames, expected
):
  config = dict(cond_frames=cond_frames, cond_latent_frames=None)
  (task,) = tasks.tasks_from_config({"frame_prediction": config}, 16, 4)
  assert task.cond_latent_frames == expected
  mask = task.latent_mask((4, 2, 2))
  assert mask.sum() == 4 * expected and mask[:expected].all()


def test_an_unknown_task_names_the_known_ones():
  with pytest.raises(ValueError, match=r"tasks.outpaint is unknown.*full_gen"):
    tasks.tasks_from_config({"outpaint": {}}, 16, 4)


def test_tasks_without_weight_are_left_out():
  config = {
    "full_generation": dict(weight=0.0),
    "frame_prediction": dict(cond_frames=1, cond_latent_frames=1),
  }
  built = tasks.tasks_from_config(config, 16, 4)
  assert [task.name for task in built] == ["frame_prediction"]


def test_task_order_holds_each_task_weight_times_a_hundred():
  chosen = [
    tasks.Task("full_generation", weight=0.29),
    tasks.Task("frame_prediction", weight=1.5),
  ]
  order = tasks.make_task_order(chosen, np.random.default_rng(0))
  np.testing.assert_array_equal(np.bincount(order), [29, 150])
  assert np.any(np.diff(order[:60]) != 0)  # Shuffled.
  again = tasks.make_task_order(chosen, np.random.default_rng(0))
  np.testing.assert_array_equal(order, again)


def test_guidance_uses_full_generation_where_it_is_a_task():
  full = tasks.Task("full_generation")
  prediction = tasks.Task("frame_prediction")
  assert tasks.uncond_task_token([full, prediction], prediction) == full.token
  assert tasks.uncond_task_token([prediction], prediction) == prediction.token


def test_task_weight_that_rounds_to_no_step_is_refused():
  with pytest.raises(ValueError, match=r"weight=0.004 is too small"):
    tasks.tasks_from_config({"full_generation": {"weight": 0.004}}, 16, 4)
