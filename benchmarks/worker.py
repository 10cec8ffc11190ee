"""One formulation of one case, in a process of its own.

Reads a JSON line that says what, builds and compiles it, and answers with a
JSON line; then does the work twice for each line that comes, and says how long
the second time took. `benchmarks.run` starts it. PyTorch's needs no JAX.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import cases


def _usage() -> tuple[float, int]:
  used = resource.getrusage(resource.RUSAGE_SELF)
  return used.ru_utime + used.ru_stime, used.ru_minflt


def _jax_work(
  kind: str, config: Mapping[str, Any], num_items: int, *, is_reference: bool
) -> tuple[Callable[[], Any], dict[str, Any]]:
  """Compiles a program; returns what runs it, and what is known of it."""
  import jax

  from benchmarks import programs, reference
  from magvit3d.monitoring.flops import step_flops
  from magvit3d.parallel import sharding

  mesh = sharding.make_mesh()

  def lower(config):
    program = programs.PROGRAMS[kind](config, num_items)
    return program, program.lower(mesh)

  start = time.perf_counter()
  if is_reference:
    with reference.operations():
      program, lowered = lower(reference.config(config))
  else:
    program, lowered = lower(config)
  traced = time.perf_counter()
  compiled = lowered.compile()
  compiled_at = time.perf_counter()
  state, *rest = program.put_arguments(mesh)
  jax.block_until_ready((state, rest))
  held = [state]

  def run():
    result = compiled(held[0], *rest)
    if program.is_step:
      held[0], result = result
    return jax.block_until_ready((held, result))

  return run, {
    "trace_s": traced - start,
    "compile_s": compiled_at - traced,
    "flops": step_flops(lowered, program.num_loops),
    "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
    "device": jax.devices()[0].device_kind,
  }


def _peak_work(num_items: int) -> tuple[Callable[[], Any], dict[str, Any]]:
  """Products of square matrices of float32."""
  import jax

  from benchmarks import timing

  size, num_links = num_items, 10
  keys = jax.random.split(jax.random.key(0))
  a, b = (jax.random.normal(key, (size, size)) / size**0.25 for key in keys)
  run = jax.jit(timing.matmul_program(num_links))
  return lambda: jax.block_until_ready(run(a, b)), {
    "flops": 2.0 * size**3 * num_links
  }


def _host_work(
  kind: str, num_items: int
) -> tuple[Callable[[], Any], dict[str, Any]]:
  from benchmarks import host_work

  return getattr(host_work, kind)(num_items), {}


def _make(order: Mapping[str, Any]) -> tuple[Callable, dict[str, Any]]:
  kind, formulation = order["kind"], order["formulation"]
  num_items = order["num_items"]
  if kind == "peak":
    return _peak_work(num_items)
  if kind in ("rendering", "reading"):
    return _host_work(kind, num_items)
  if formulation == cases.TORCH:
    from benchmarks import torch_work

    return torch_work.make(kind, order["config"], num_items), {}
  is_reference = formulation == cases.REFERENCE
  if not is_reference:
    from magvit3d.cli import host_memory

    host_memory.keep_freed()
  return _jax_work(kind, order["config"], num_items, is_reference=is_reference)


def _answers(orders: Iterator[str]) -> Iterator[dict[str, Any]]:
  order = json.loads(next(orders))
  run, known = _make(order)
  for _ in range(order["num_warm_up"]):
    run()
  yield known
  for _ in orders:
    run()  # Steps follow steps: threads are awake, caches its own.
    cpu_s, faults = _usage()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    now = _usage()
    yield {
      "seconds": seconds,
      "cpu_s": now[0] - cpu_s,
      "page_faults": now[1] - faults,
      "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main() -> None:
  """Answers on the stream that was stdout; what is printed goes to stderr."""
  with os.fdopen(os.dup(1), "w") as out:
    os.dup2(2, 1)
    for answer in _answers(iter(sys.stdin)):
      print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
  main()
