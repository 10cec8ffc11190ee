"""Several processes that train one network together.

All run the same program on a shared work folder, and compute everything but
what only one must do: rendering data, writing logs, scores and reports. That
is the first process's; the others wait.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from magvit3d.errors import UserError

# A process that does not answer for so long is taken for dead.
_HEARTBEAT_S = 60
_START_S = 110  # For all processes to be there.
_SHUTDOWN_S = 30
# In errors of collective operations and of the coordination service.
_ABOUT_OTHERS = ("Gloo", "NCCL", "coordination", "UNAVAILABLE", "DEADLINE")
_NAMES = ("coordinator_address", "num_processes", "process_id")


def start(
  coordinator_address: str | None,
  num_processes: int | None,
  process_id: int | None,
) -> None:
  """Joins the other processes, if there are any; before JAX is used.

  Without arguments, Slurm, Open MPI and TPU pods are recognised by their
  environment, and anything else is a run of one process.

  Args:
    coordinator_address: HOST:PORT of the first process; a free port.
    num_processes: Processes of the run.
    process_id: Number of this one, from 0.

  Raises:
    UserError: Some arguments are missing or wrong, or the others do not come.
  """
  given = (coordinator_address, num_processes, process_id)
  if any(value is not None for value in given):
    _check(*given)
    if num_processes == 1:
      return
  elif not is_in_cluster(os.environ):
    return
  try:
    jax.distributed.initialize(
      *given,
      initialization_timeout=_START_S,
      heartbeat_timeout_seconds=_HEARTBEAT_S,
      shutdown_timeout_seconds=_SHUTDOWN_S,
    )
  except (RuntimeError, ValueError) as error:
    raise UserError(
      f"The processes of this run do not find each other ({error}). Start all "
      "of them at about the same time, with the same --coordinator_address "
      "and --num_processes."
    ) from error


def _check(address, count, number) -> None:
  values = zip(_NAMES, (address, count, number), strict=True)
  missing = [f"--{name}" for name, value in values if value is None]
  if missing:
    raise UserError(
      f"{' and '.join(missing)} missing: give "
      f"{', '.join(f'--{name}' for name in _NAMES)} together, or none of them."
    )
  if count < 1 or not 0 <= number < count:
    raise UserError(
      f"--process_id={number} is not in [0, --num_processes={count})."
    )
  host, _, port = address.rpartition(":")
  if not host or not port.isdecimal():
    raise UserError(f"--coordinator_address={address} is not HOST:PORT.")


def is_in_cluster(environment: Mapping[str, str]) -> bool:
  """Whether an environment is that of one of several processes.

  JAX asks Slurm, Open MPI or the TPU's metadata for the rest.
  """
  sizes = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
  if any(int(environment.get(name) or 1) > 1 for name in sizes):
    return True
  return "," in environment.get("TPU_WORKER_HOSTNAMES", "")


def is_main() -> bool:
  """Whether this is the process that writes."""
  return jax.process_index() == 0


def wait_for_all(what: str) -> None:
  """Waits until all processes are here; `what` names the place."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)


def is_about_others(error: Exception) -> bool:
  """Whether an error comes from talking to the other processes."""
  if jax.process_count() == 1:
    return False
  return any(word in str(error) for word in _ABOUT_OTHERS)


def leave(status: int) -> None:
  """Ends this process without waiting for the others, if there are any.

  They notice, and end too. A regular end would wait for those that are stuck.
  """
  if jax.distributed.is_initialized() and jax.process_count() > 1:
    logging.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def is_true_anywhere(value: bool) -> bool:
  """Whether a value is true in some process; the same in all of them."""
  if jax.process_count() == 1:
    return value
  return bool(np.any(multihost_utils.process_allgather(np.asarray(value))))


def by_main(act: Callable[[], Any]) -> None:
  """Calls `act` in the first process; the others wait until it is done.

  Raises:
    UserError: `act` raised it; then all processes do.
  """
  problem = None
  if is_main():
    try:
      act()
    except UserError as error:
      problem = error
  if is_true_anywhere(problem is not None):
    raise problem or UserError("The first process failed; it says why.")
