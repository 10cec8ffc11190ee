"""The `monitoring` block of a config."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magvit3d.errors import UserError
from magvit3d.monitoring.metric_writers import check_wandb


@dataclasses.dataclass(frozen=True)
class MonitoringOptions:
  """How a run is watched.

  Attributes:
    stall_after_s: Seconds without a step after which a run counts as stalled,
      see `heartbeat`.
    wandb_project: Project of Weights & Biases; None: do without.
    peak_flops_per_second: Of one device; None: from the table.
  """

  stall_after_s: float = 300.0
  wandb_project: str | None = None
  peak_flops_per_second: float | None = None

  @classmethod
  def from_config(cls, monitoring: Mapping[str, Any]) -> "MonitoringOptions":
    """Reads `config.monitoring`.

    Raises:
      UserError: A value cannot be, or wandb is asked for and not installed.
    """
    for name in ("stall_after_s", "peak_flops_per_second"):
      value = monitoring[name]
      if value is not None and not value > 0:
        raise UserError(f"config.monitoring.{name}={value} must be above 0.")
    check_wandb(monitoring["wandb_project"])
    return cls(**monitoring)
