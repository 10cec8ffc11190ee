"""Devices that XLA compiles for without having them, by name.

`h100:8` are eight of one node, `h100:64` eight nodes of eight; `v5e:4x4` and
`v6e:2x2` are slices of a TPU; `here` is this machine.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental import topologies

from magvit3d.errors import UserError
from magvit3d.parallel import devices


@dataclasses.dataclass(frozen=True)
class Kind:
  """What is known of a kind of device.

  Attributes:
    memory_bytes: That programs may use; None where nobody knows.
    bytes_per_second: Of its memory.
    flops_per_second: Of bfloat16 products.
    platform: As JAX names it; None where it is this machine's.
    options: Of XLA.
  """

  memory_bytes: int | None
  bytes_per_second: float | None
  flops_per_second: float | None
  platform: str | None = None
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


KINDS = {
  # Bandwidth of the data sheet, products as measured; no kernel is tried out.
  "h100": Kind(
    84942979072,
    3.35e12,
    798e12,
    "gpu",
    options={
      "xla_gpu_autotune_level": "0",
      "xla_gpu_enable_triton_gemm": False,
    },
  ),
  # Of Google's pages on each.
  "v5e": Kind(16 * 2**30, 819e9, 197e12, "tpu"),
  "v6e": Kind(32 * 2**30, 1640e9, 918e12, "tpu"),
}
HERE = "here"
_DEVICES_OF_A_NODE = 8
# What XLA asks of a card; the data sheet's and CUDA's numbers.
_H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000
  device_memory_size: 84942979072
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def prepare(name: str) -> None:
  """Sets what JAX must know before it starts, for `describe`."""
  if name != HERE:
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # There is no driver.
    jax.config.update("jax_platforms", "cpu")


def describe(name: str) -> tuple[list[jax.Device], Kind]:
  """Returns the devices of a name, such as 'h100:8', and their kind.

  Raises:
    UserError: The name is unknown, or their compiler is not installed.
  """
  if name == HERE:
    return devices.find(), Kind(None, None, None)
  kind_name, _, shape = name.partition(":")
  kind = KINDS.get(kind_name)
  pattern = r"\d+" if kind and kind.platform == "gpu" else r"\d+x\d+"
  if kind is None or not re.fullmatch(pattern, shape or "1"):
    raise UserError(
      f"--plan_device={name} is unknown; use {HERE}, h100:8 (any number), or "
      "v5e:4x4 or v6e:2x2 (a slice)."
    )
  extra = f"plan-{kind.platform}"
  try:
    if kind.platform == "gpu":
      return describe_h100(int(shape or 1)), kind
    return _tpus(f"{kind_name}:{shape or '1x1'}"), kind
  except (RuntimeError, ValueError, NotImplementedError) as error:
    text = " ".join(str(error).split())[:200]
    raise UserError(
      f"--plan_device={name}: XLA cannot compile for it here ({text}). "
      f"pip install 'magvit3d[{extra}]' brings the compiler; an environment "
      "of its own is best."
    ) from error


def describe_h100(count: int) -> list[jax.Device]:
  """Returns H100s, eight of a node.

  Raises:
    UserError: They do not fill the nodes.
    RuntimeError: CUDA's part of JAX is not installed.
  """
  nodes, rest = divmod(count, _DEVICES_OF_A_NODE)
  if count < 1 or (nodes and rest):
    raise UserError(
      f"--plan_device=h100:{count} fills no nodes of eight; use 1 to 8, or a "
      "multiple of 8."
    )
  shape = (nodes, _DEVICES_OF_A_NODE) if nodes > 1 else (1, count)
  return topologies.get_topology_desc(
    platform="cuda",
    topology_name="",
    target_config=_H100,
    topology=f"1x{shape[0]}x{shape[1]}",
  ).devices


def _tpus(name: str) -> list[jax.Device]:
  return topologies.get_topology_desc(
    platform="tpu", topology_name=name
  ).devices
