"""Floating-point operations of a step, against what the device could do.

FLOPs are XLA's count for the compiled program (`cost_analysis`), where a
multiply-add is 2. It counts

  - for ONE device: of a program split over 8 devices an eighth, if all is
    split; what every device repeats counts on each;
  - products of matrices and convolutions without what meets padding, and
    elementwise operations (few beside them);
  - what is recomputed for lack of memory, again;
  - of a loop one round, to which further ones of products of matrices are added
    here where XLA knows how many there are; of convolutions see `num_loops`;
  - of a `lax.cond` its costliest branch;
  - nothing of kernels that XLA does not see into, such as cuDNN's attention,
    unless they say it in an attribute `flops`, as oneDNN's convolutions do.

So it is what the hardware does rather than what the model needs: without
rematerialisation the two agree.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax

from magvit3d.monitoring import hlo, peak_flops


@runtime_checkable
class Compiled(Protocol):
  """A compiled program: `jax.stages.Compiled`."""

  def cost_analysis(self) -> Any:
    """What XLA counts in it."""

  def as_text(self) -> str:
    """Its instructions."""


def step_flops(compiled: Compiled, num_loops: int = 1) -> float | None:
  """Returns the FLOPs of one call on one device; None if XLA does not tell.

  Args:
    compiled: `jax.jit(...).lower(...).compile()`.
    num_loops: How often the loop runs that makes up the program, as in
      gradient accumulation; its body is counted once, so the count is
      multiplied by this. The little outside of the loop is then overcounted.
  """
  try:
    analysis = compiled.cost_analysis()
  except (NotImplementedError, jax.errors.JaxRuntimeError):
    return None
  if not isinstance(analysis, Mapping):
    return None
  text = compiled.as_text()
  told = re.findall(r"\bflops = (\d+) : i64", text)
  flops = float(analysis.get("flops", 0)) + sum(map(int, told))
  flops += hlo.further_flops(text, num_loops)
  return flops * num_loops if flops > 0 else None


class FlopsMeter:
  """Turns step times into FLOP/s.

  Args:
    flops: Of a step on one device, see `step_flops`; None if not known.
    num_devices: All devices of the run, of all processes.
    peak: FLOP/s of one device, see `peak_flops.find`; None if not known.
  """

  def __init__(self, flops: float | None, num_devices: int, peak: float | None):
    self._flops = flops
    self._num_devices = num_devices
    self._peak = peak

  @classmethod
  def of_step(
    cls,
    compiled: Compiled,
    devices: Iterable[jax.Device],
    dtype: str,
    peak_flops_per_second: float | None = None,
    num_loops: int = 1,
  ) -> "FlopsMeter":
    """Makes the meter of a compiled step.

    Args:
      compiled: See `step_flops`.
      devices: All of the mesh, such as `mesh.devices.flat`.
      dtype: Of the networks' computation, `config.dtype`.
      peak_flops_per_second: `config.monitoring.peak_flops_per_second`; None
        looks the device up.
      num_loops: See `step_flops`.
    """
    devices = list(devices)
    peak = peak_flops_per_second
    if peak is None:
      peak = peak_flops.find(
        devices[0].device_kind, dtype, jax.config.jax_default_matmul_precision
      )
    return cls(step_flops(compiled, num_loops), len(devices), peak)

  def metrics(self, step_time_s: float | None) -> dict[str, float]:
    """Returns the metrics of steps that take `step_time_s` seconds.

    Returns:
      model_flops_per_second: Over all devices.
      flops_utilisation: Share of the peak, 0 to 1.
      Without those that are not known.
    """
    if not step_time_s or self._flops is None:
      return {}
    rate = self._flops / step_time_s
    metrics = {"model_flops_per_second": rate * self._num_devices}
    if self._peak:
      metrics["flops_utilisation"] = rate / self._peak
    return metrics
