"""What is kept is what is asked for, and the disk has room for it."""

import shutil
import types

import jax
import jax.numpy as jnp
import pytest

from magvit3d.checkpoints.retention import CheckpointSettings, check_disk_space
from magvit3d.errors import UserError

_MB = 10**6
_LIKE = {
  "kernel": jax.ShapeDtypeStruct((250_000, 10), jnp.float32),  # 10 MB.
  "half": jax.ShapeDtypeStruct((_MB,), jnp.bfloat16),  # 2 MB.
}


@pytest.fixture
def free(monkeypatch):
  """Sets how many MB the disk has left; holds the folder that was asked of."""
  asked = []

  def set_free(num_mb):
    def disk_usage(path):
      asked.append(path)
      return types.SimpleNamespace(free=num_mb * _MB)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    return asked

  return set_free


@pytest.mark.parametrize(
  ("num_to_keep", "best_metric", "needed_mb"),
  [(1, None, 24), (2, None, 36), (2, "max:psnr", 48)],
)
def test_room_is_for_all_kept_and_one_more(
  tmp_path, free, num_to_keep, best_metric, needed_mb
):
  settings = CheckpointSettings(num_to_keep, best_metric)
  folder = tmp_path / "not" / "yet"
  asked = free(needed_mb)
  check_disk_space(folder, _LIKE, settings)
  assert asked == [tmp_path]
  free(needed_mb - 1)
  with pytest.raises(UserError) as caught:
    check_disk_space(folder, _LIKE, settings)
  message = str(caught.value)
  assert f"{needed_mb}.0 MB more" in message and "of 12.0 MB" in message
  assert f"has {needed_mb - 1}.0 MB left" in message
  assert f"config.checkpoints.num_to_keep={num_to_keep}" in message
  assert ("the best" in message) == (best_metric is not None)


def test_what_lies_there_counts(tmp_path, free):
  (tmp_path / "7").mkdir()
  (tmp_path / "7" / "state").write_bytes(bytes(6 * _MB))
  free(30)
  check_disk_space(tmp_path, _LIKE, CheckpointSettings(2))
  free(29)
  with pytest.raises(UserError, match=r"30\.0 MB more"):
    check_disk_space(tmp_path, _LIKE, CheckpointSettings(2))


@pytest.mark.parametrize("metric", ["psnr", "best:psnr", "max:", ""])
def test_wrong_metrics_are_named(metric):
  with pytest.raises(UserError, match=r"config\.train_x\.best_metric='"):
    CheckpointSettings(2, metric, field="train_x.best_metric")


def test_keeping_none_is_refused():
  with pytest.raises(UserError, match=r"config\.checkpoints\.num_to_keep=0"):
    CheckpointSettings(0)


@pytest.mark.parametrize(
  ("metric", "best"),
  [("max:a", 5), ("min:a", 1), ("max:b", None), (None, None)],
)
def test_best_is_the_newest_of_equals(metric, best):
  metrics = {1: {"a": -1.0}, 4: {"a": 2.0}, 5: {"a": 2.0}, 6: {}}
  assert CheckpointSettings(2, metric).best_of(metrics) == best
