"""Tests of vocabulary and tasks."""

import jax.numpy as jnp
import numpy as np
import pytest

from magvit3d.config.tasks import TaskConfig
from magvit3d.tokens import masking, tasks, vocabulary


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


def _make(blocks, *arguments, **options):
  sections = {
    name: None if block is None else TaskConfig(**block)
    for name, block in blocks.items()
  }
  return tasks.tasks_from_config(sections, *arguments, **options)


@pytest.mark.parametrize(
  ("cond_frames", "expected"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)]
)
def test_given_latent_frames_are_those_with_a_given_frame(
  cond_frames, expected
):
  config = dict(cond_frames=cond_frames, cond_latent_frames=None)
  (task,) = _make({"frame_prediction": config}, None, 16, 4)
  assert task.condition.cond_latent_frames == expected
  mask = task.latent_mask((4, 2, 2))
  assert mask.sum() == 4 * expected and mask[:expected].all()


def test_an_unknown_task_names_the_known_ones():
  with pytest.raises(ValueError, match=r"tasks.outpaint is unknown.*full_gen"):
    _make({"outpaint": {}}, None, 16, 4)


def test_full_generation_has_its_class_unless_a_block_says_otherwise():
  def is_conditional(block):
    (task,) = _make({"full_generation": block}, None, 16, 4)
    return task.class_conditional

  assert is_conditional(None)
  assert not is_conditional({"weight": 1.0})
  assert is_conditional({"class_conditional": True})


def test_bair_tasks_have_their_regions_and_tokens():
  built = _make(dict.fromkeys(tasks.BAIR_TASKS), "cond->input", 16, 4)
  assert {task.name: task.condition.cond_region for task in built} == {
    "frame_prediction": None,
    "frame_interpolation": None,
    "outpainting_h": "rectangle_horizontal",
    "outpainting_v": "rectangle_vertical",
    "outpainting_c": "rectangle_central",
    "outpainting_dv": "dynamic_vertical",
    "inpainting_c": "rectangle_central",
    "inpainting_dv": "dynamic_central",
  }
  tokens = {task.name: task.token for task in built}
  # Ids as upstream's: inpainting borrows outpainting's.
  assert tokens == {
    "frame_prediction": -4,
    "frame_interpolation": -5,
    **dict.fromkeys(list(tasks.REGIONS), -6),
  }


def test_inpainting_sends_its_own_token_where_asked():
  (task,) = _make({"inpainting_c": {}}, None, 16, 4, has_inpainting_token=True)
  assert task.token == vocabulary.TASK_TOKENS["inpainting"]


def test_latent_frame_prediction_is_a_generation_that_fixes_its_condition():
  (task,) = _make({"latent_frame_prediction": {}}, "cond->input", 16, 4)
  assert task.mask_mode == "cond->cond"
  assert task.token == vocabulary.TASK_TOKENS["full_generation"]


def test_prefix_mode_puts_the_condition_before_the_latents():
  (task,) = _make({"frame_prediction": {"cond_frames": 1}}, "prefix", 4, 2)
  vocab = vocabulary.Vocabulary(8, 3, multi_task=False)
  tokens = jnp.arange(16).reshape(2, 2, 2, 2) % 8
  cond_tokens = (tokens + 1) % 8
  masked = masking.random_mask(
    tokens,
    cond_tokens,
    jnp.asarray(task.latent_mask((2, 2, 2))[None]),
    jnp.zeros(tokens.shape),
    1.0,
    task.mask_mode,
    "mask+refine",
  )
  got = tasks.add_prefix(
    vocab,
    masked,
    task.token,
    jnp.full(2, vocab.no_class),
    task.token,
    task.prefix_tokens(cond_tokens),
  )
  np.testing.assert_array_equal(
    got.masked_inputs,
    [[11, 1, 2, 3, 4, vocabulary.SEPARATOR] + [vocabulary.MASK] * 8] * 2,
  )
  np.testing.assert_array_equal(got.weights, [[0] * 6 + [1] * 8] * 2)
  np.testing.assert_array_equal(got.targets[:, 6:], tokens.reshape(2, -1))


def test_prefix_mode_is_for_one_task():
  blocks = {"frame_prediction": {}, "frame_prediction_2": {"cond_frames": 2}}
  with pytest.raises(ValueError, match="for a single task"):
    _make(blocks, "prefix", 16, 4)
  with pytest.raises(ValueError, match=r"full_generation.*frame_prediction"):
    _make({"full_generation": {}}, "prefix", 16, 4)


@pytest.mark.parametrize(
  ("name", "block", "message"),
  [
    ("frame_prediction", {"cond_frames": 16}, "between 1 and 15"),
    ("frame_prediction", {"cond_padding": "egde"}, "cond_padding .* 'egde'"),
    ("outpainting_c", {"cond_latent_frames": -1}, "cond_latent_frames=-1"),
    ("frame_interpolation", {"cond_frames": 8}, "between 1 and 7"),
    ("full_generation", {"cond_frames": 8}, "no field cond_frames"),
    ("outpainting_c", {"cond_region": "middle"}, "cond_region of outpainting"),
  ],
)
def test_a_wrong_field_is_named_with_its_task(name, block, message):
  with pytest.raises(ValueError, match=rf"config.tasks.{name}: .*{message}"):
    _make({name: block}, None, 16, 4)


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
    _make({"full_generation": {"weight": 0.004}}, None, 16, 4)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_named(weight):
  with pytest.raises(ValueError, match=rf"weight={weight} must be 0 or more"):
    _make({"full_generation": {"weight": weight}}, None, 16, 4)
