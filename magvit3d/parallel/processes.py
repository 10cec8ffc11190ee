"""Several processes that train one network together.

All run the same program on a shared work folder, and compute everything but
what only one must do: rendering data, writing logs, scores and reports. That
is the first process's; the others wait.
"""

import contextlib
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from magvit3d.errors import UserError
from magvit3d.parallel.cluster import is_in_cluster

# A process that does not answer for so long is taken for dead.
_HEARTBEAT_S = 60
_START_S = 110  # For all processes to be there.
_SHUTDOWN_S = 30
# In errors of collective operations and of the coordination service.
_ABOUT_OTHERS = ("Gloo", "NCCL", "coordination", "UNAVAILABLE", "DEADLINE")
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
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
  if coordinator_address and process_id == 0:
    _check_port(coordinator_address)
  try:
    with _ended_if_alone():
      jax.distributed.initialize(
        *given,
        # Ours comes first: JAX would end with a stack trace of C++.
        initialization_timeout=2 * _START_S,
        heartbeat_timeout_seconds=_HEARTBEAT_S,
        shutdown_timeout_seconds=_SHUTDOWN_S,
      )
  except (RuntimeError, ValueError) as error:
    raise UserError(_not_found(_first_line(error))) from error


def _not_found(why: str) -> str:
  return (
    f"The processes of this run do not find each other ({why}). Start all of "
    "them at about the same time, with the same --coordinator_address and "
    "--num_processes."
  )


def _first_line(error: Exception) -> str:
  return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _ended_if_alone() -> Iterator[None]:
  """Ends this process with a sentence where the others do not come in time.

  It waits for them in C++, which no exception leaves.
  """
  found = threading.Event()

  def end() -> None:
    if not found.wait(_START_S):
      why = f"not all of them came within {_START_S} s"
      print(f"Error: {_not_found(why)}", file=sys.stderr, flush=True)
      os._exit(1)

  threading.Thread(target=end, daemon=True).start()
  try:
    yield
  finally:
    found.set()


def _check_port(address: str) -> None:
  """Raises UserError if the first process cannot listen at its address."""
  host, _, port = address.rpartition(":")
  kind = socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET
  try:
    with socket.socket(kind) as probe:
      # As the coordinator does: one that has just ended is no obstacle.
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind(("", int(port)))
  except (OSError, OverflowError) as error:
    if getattr(error, "errno", None) in _NO_IPV6:
      return  # It will listen at IPv4 alone.
    raise UserError(
      f"--coordinator_address={address}: the first process cannot listen at "
      f"port {port} ({error}). Name a free port, the same for all processes; "
      f"{host} must be the machine of --process_id=0."
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
