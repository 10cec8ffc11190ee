"""Checkpoints come back as they were, or say what does not fit."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from checkpoint_samples import (
  IDENTITY,
  abstract,
  checkpoints_in,
  make_batches_of_numbers,
  make_state,
  restore,
  save,
  steps_in,
)

from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.manager import Checkpoints
from magvit3d.checkpoints.retention import CheckpointSettings
from magvit3d.errors import UserError


@pytest.fixture
def folder(tmp_path):
  """Holds a checkpoint of step 7, whose next batch is the third."""
  folder = tmp_path / "stage" / "checkpoints"
  batches = make_batches_of_numbers()
  next(batches), next(batches)
  save(folder, 7, batches=batches)
  return folder


def test_state_and_place_in_the_data_come_back(folder):
  batches, reference = make_batches_of_numbers(), make_batches_of_numbers()
  found = restore(folder, batches=batches)
  chex.assert_trees_all_equal(found, make_state())
  next(reference), next(reference)
  for _ in range(3):
    np.testing.assert_array_equal(
      next(batches)["number"], next(reference)["number"]
    )


def test_place_in_the_data_of_other_batches_is_refused(folder):
  with pytest.raises(UserError, match="batch_size of all hosts was 2 and is 4"):
    restore(folder, batches=make_batches_of_numbers(batch_size=4))
  assert steps_in(folder) == [7]


def test_arrays_lie_where_they_are_asked_for(folder):
  with pytest.raises(ValueError, match="does not say on which devices"):
    restore(folder, jax.eval_shape(make_state))
  found = restore(folder)
  assert all(
    leaf.sharding == wanted.sharding
    for leaf, wanted in zip(
      jax.tree.leaves(found), jax.tree.leaves(abstract()), strict=True
    )
  )


def test_donated_state_is_saved_as_it_was(tmp_path):
  """Writing goes on while the next steps overwrite the arrays."""

  @jax.jit
  def make():
    return {"kernel": jnp.arange(2**22, dtype=jnp.float32)}

  step = jax.jit(
    lambda state: jax.tree.map(lambda x: -x - 1, state), donate_argnums=0
  )
  state, wanted = make(), np.asarray(make()["kernel"]).copy()
  jax.block_until_ready(step(make()))
  with checkpoints_in(tmp_path) as checkpoints:
    checkpoints.save(1, state, make_batches_of_numbers())
    for _ in range(5):
      state = step(state)
    jax.block_until_ready(state)
    assert np.asarray(state["kernel"])[0] != wanted[0]
    checkpoints.wait()
    found = checkpoints.restore(abstract(state))
  np.testing.assert_array_equal(found["kernel"], wanted)


# What a checkpoint must agree with.


def test_other_field_is_named_with_both_values(folder):
  other = {"network": {"filters": 16, "sizes": (1, 2)}}
  with pytest.raises(
    UserError, match=r"network\.filters is 8 there and 16 here"
  ):
    restore(folder, identity=other)
  assert steps_in(folder) == [7]


def test_only_a_handful_of_fields_is_named(folder):
  other = {"network": IDENTITY["network"] | {f"x{i}": i for i in range(9)}}
  with pytest.raises(UserError) as caught:
    restore(folder, identity=other)
  message = str(caught.value)
  assert "network.x4 is missing there and 4 here and 4 more. Use" in message
  assert "x5" not in message


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"size": 4}, r"kernel is float32\[3\] there and float32\[4\] here"),
    (
      {"dtype": jnp.bfloat16},
      r"kernel is float32\[3\] there and bfloat16\[3\] here",
    ),
  ],
)
def test_other_leaves_are_named(folder, fields, message):
  with pytest.raises(UserError, match=message):
    restore(folder, abstract(make_state(**fields)))
  assert steps_in(folder) == [7]


def test_missing_leaf_is_named(folder):
  like = abstract()
  del like["counts"]
  with pytest.raises(
    UserError, match=r"counts is int32\[2\] there and missing"
  ):
    restore(folder, like)


# What it says of itself.


def test_record_holds_config_code_and_data(tmp_path):
  given = {"config": {"sizes": (1, 2)}, "data_manifest_sha256": "abc"}
  with checkpoints_in(tmp_path, record=given) as checkpoints:
    metrics = {"validation/psnr": np.float32(2), "validation/bad": np.nan}
    checkpoints.save(3, make_state(), make_batches_of_numbers(), metrics)
  record = checkpoint_record.read(tmp_path / "3")
  assert record["given"] == {
    "config": {"sizes": [1, 2]},
    "data_manifest_sha256": "abc",
  }
  assert record["step"] == 3
  assert record["metrics"] == {"validation/psnr": 2.0}
  assert record["code"]["jax"] == jax.__version__
  assert record["iterator"]["next_index"] == 0
  assert record["time"][:2] == "20"


def test_checkpoint_of_another_schema_is_refused(folder):
  path = folder / "7" / "record" / "metadata"
  content = json.loads(path.read_text())["content"]
  path.write_text(json.dumps(checkpoint_record.seal(content, schema=9)))
  with pytest.raises(
    UserError, match=r"written by magvit3d .* in schema 9, .* reads schema 1\."
  ):
    restore(folder)
  assert steps_in(folder) == [7]


def test_checkpoint_without_a_schema_is_refused(folder):
  shutil.move(folder / "7" / "record", folder / "7" / "identity")
  with pytest.raises(UserError, match="an early magvit3d in schema 0"):
    restore(folder)
  assert steps_in(folder) == [7]


# Which are kept.


def test_unfinished_checkpoint_is_left_out(folder):
  """Orbax names a folder so until it is complete."""
  unfinished = folder / "9.orbax-checkpoint-tmp-123"
  unfinished.mkdir()
  (unfinished / "state").mkdir()
  with checkpoints_in(folder) as checkpoints:
    assert checkpoints.latest_step() == 7


def test_oldest_checkpoints_are_removed(tmp_path):
  for step in (1, 2, 3):
    save(tmp_path, step)
  assert steps_in(tmp_path) == [2, 3]


def test_a_step_is_saved_once(tmp_path):
  with checkpoints_in(tmp_path) as checkpoints:
    for _ in range(2):
      checkpoints.save(1, make_state(), make_batches_of_numbers())
    assert checkpoints.latest_step() == 1


@pytest.mark.variants
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize(
  ("best_metric", "kept"),
  [(None, [6, 7]), ("max:score", [4, 6, 7]), ("min:score", [2, 6, 7])],
)
def test_best_checkpoint_outlives_newer_ones(
  tmp_path, best_metric, kept, is_restarted
):
  """Not all have the metric; of 4 and 3, which are equal, the newer is kept."""
  settings = CheckpointSettings(2, best_metric)
  scores = {2: 1.0, 3: 9.0, 4: 9.0, 5: np.nan, 6: 5.0}
  batches = make_batches_of_numbers()
  checkpoints = Checkpoints(tmp_path, IDENTITY, settings=settings)
  for step in range(1, 8):
    if is_restarted:
      checkpoints.close()
      checkpoints = Checkpoints(tmp_path, IDENTITY, settings=settings)
    metrics = {"score": scores[step]} if step in scores else None
    checkpoints.save(step, make_state(), batches, metrics)
  checkpoints.close()
  assert steps_in(tmp_path) == kept
  with checkpoints_in(tmp_path, settings=settings) as checkpoints:
    assert checkpoints.best_step() == (kept[0] if best_metric else None)
    assert checkpoints.latest_step() == 7


def test_metric_that_validation_does_not_give_is_told_once(tmp_path, caplog):
  settings = CheckpointSettings(1, "max:psnr", field="train_x.best_metric")
  with checkpoints_in(tmp_path, settings=settings) as checkpoints:
    for step in (1, 2):
      checkpoints.save(
        step, make_state(), make_batches_of_numbers(), {"ssim": 1.0}
      )
  told = [m for m in caplog.messages if "config.train_x.best_metric" in m]
  assert len(told) == 1 and "There are: ssim." in told[0]
  assert steps_in(tmp_path) == [2]


def test_full_disk_is_named(tmp_path, monkeypatch):
  def fail(*arguments, **fields):
    raise ValueError("RESOURCE_EXHAUSTED: ... [OS error 28: No space left]")

  with checkpoints_in(tmp_path) as checkpoints:
    with monkeypatch.context() as patched:
      patched.setattr(ocp.CheckpointManager, "save", fail)
      with pytest.raises(
        UserError, match=r"cannot be written \(No space left on device\)\. Free"
      ):
        checkpoints.save(1, make_state(), make_batches_of_numbers())
