"""Which checkpoints are kept, and whether the disk has room for them."""

import dataclasses
import math
import pathlib
import shutil
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import PyTree

from magvit3d.errors import UserError

_SIGNS = {"max": 1.0, "min": -1.0}


@dataclasses.dataclass(frozen=True)
class CheckpointSettings:
  """Which checkpoints are kept.

  Attributes:
    num_to_keep: Newest ones.
    best_metric: Such as 'max:validation/foreground_psnr': the one whose
      validation gave the most ('min:' for least) is kept besides, the newest
      of equal ones. None: none.
    field: Of the config that `best_metric` is from, for messages.

  Raises:
    UserError: Another value.
  """

  num_to_keep: int = 2
  best_metric: str | None = None
  field: str = "best_metric"

  def __post_init__(self):
    if self.num_to_keep < 1:
      raise UserError(
        f"config.checkpoints.num_to_keep={self.num_to_keep} must be at least "
        "1: the newest checkpoint is what a run continues from."
      )
    if self.best_metric is not None:
      mode, _, name = self.best_metric.partition(":")
      if mode not in _SIGNS or not name:
        raise UserError(
          f"config.{self.field}={self.best_metric!r} must be 'max:' or 'min:' "
          "and the name of a metric, as 'max:validation/psnr', or None."
        )

  @property
  def metric_name(self) -> str | None:
    """Name of the metric without its mode."""
    return self.best_metric and self.best_metric.partition(":")[2]

  def num_on_disk(self) -> int:
    """Checkpoints there may be at once, the one being written included."""
    return self.num_to_keep + (self.best_metric is not None) + 1

  def best_of(self, metrics: Mapping[int, Mapping[str, float]]) -> int | None:
    """Returns the best of some steps; None if none has the metric."""
    if self.best_metric is None:
      return None
    sign = _SIGNS[self.best_metric.partition(":")[0]]
    scores = {
      step: sign * values[self.metric_name]
      for step, values in metrics.items()
      if self.metric_name in values
    }
    return max(scores, key=lambda step: (scores[step], step), default=None)

  def to_delete(self, metrics: Mapping[int, Mapping[str, float]]) -> list[int]:
    """Returns the steps, of those with some metrics, that are not kept."""
    newest = sorted(metrics)[-self.num_to_keep :]
    kept = {*newest, self.best_of(metrics)}
    return [step for step in sorted(metrics) if step not in kept]


def check_disk_space(
  folder: pathlib.Path, like: PyTree, settings: CheckpointSettings
) -> None:
  """Raises UserError if the checkpoints to keep do not fit on the disk.

  Args:
    folder: Of the checkpoints; need not exist.
    like: The state, or its shapes. Its size is what a checkpoint may take;
      Orbax compresses, so it is mostly less.
    settings: How many there are at once.
  """
  size = sum(
    math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize
    for leaf in jax.tree.leaves(like)
  )
  there = sum(
    path.stat().st_size
    for path in folder.rglob("*")
    if path.is_file() and not path.is_symlink()
  )
  existing = next(
    path for path in (folder, *folder.absolute().parents) if path.exists()
  )
  free = shutil.disk_usage(existing).free
  count = settings.num_on_disk()
  needed = count * size - there
  if needed > free:
    best = ", the best" if settings.best_metric else ""
    raise UserError(
      f"{folder} needs {_text(needed)} more for {count} checkpoints of "
      f"{_text(size)} (config.checkpoints.num_to_keep="
      f"{settings.num_to_keep}{best}, and one that is being written), but the "
      f"disk has {_text(free)} left. Free some, keep fewer, or use a --workdir "
      "on another disk."
    )


def _text(num_bytes: int) -> str:
  if num_bytes < 10**9:
    return f"{num_bytes / 10**6:.1f} MB"
  return f"{num_bytes / 10**9:.1f} GB"
