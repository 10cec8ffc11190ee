"""What the environment says of a run's processes, before JAX is imported."""

from collections.abc import Mapping


def is_in_cluster(environment: Mapping[str, str]) -> bool:
  """Whether an environment is that of one of several processes.

  JAX asks Slurm, Open MPI or the TPU's metadata for the rest.
  """
  sizes = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
  if any(int(environment.get(name) or 1) > 1 for name in sizes):
    return True
  return "," in environment.get("TPU_WORKER_HOSTNAMES", "")
