"""Compiles the programs of `launch/gpu_check.sh` for an H100 that is not here.

  pip install "jax[cuda12]"
  python -m benchmarks.gpu.compile_check --output=gpu_compiled

XLA needs no card for that. Writes for each program its memory, its calls into
libraries, and a bound of its time, or why it was refused; prints a table. No
algorithms are tried out, and cuDNN's own memory is not counted.
"""

import functools
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from magvit3d.plan import described_devices

described_devices.prepare("h100:1")

from benchmarks import programs, timing  # noqa: E402
from benchmarks.gpu import (  # noqa: E402
  operations,
  smoke,
  steps,
  training,
)
from benchmarks.gpu.results import Results  # noqa: E402
from magvit3d.models import target  # noqa: E402
from magvit3d.parallel import sharding  # noqa: E402
from magvit3d.plan import program_bounds  # noqa: E402

_ONLY = flags.DEFINE_string(
  "only", "", "Regular expression that a program's name shall match."
)
_H100 = described_devices.KINDS["h100"]
_DETERMINISTIC = {"xla_gpu_deterministic_ops": True}


class _Traced(NamedTuple):
  """A program to compile.

  Attributes:
    name: Of the step and of the program.
    lower: Traces it.
    options: Of XLA, besides the usual ones.
    num_links: How often it repeats what its times are told of.
  """

  name: str
  lower: Callable[[], jax.stages.Lowered]
  options: Mapping[str, Any] = {}
  num_links: int = 1


def main(argv: list[str]) -> int:
  """Compiles all; returns the exit status."""
  del argv
  (device,) = described_devices.describe_h100(1)
  mesh = Mesh(np.asarray([device]).reshape(1, 1, 1), sharding.AXES)
  results = Results("compiled")
  print("| program | compile, s | temporary, GiB | bound, ms | products, ms |")
  print("|---|---|---|---|---|")
  with target.made_for("gpu"):
    for traced in _programs(mesh):
      if re.search(_ONLY.value, traced.name):
        results.attempt(
          "programs", traced.name, lambda traced=traced: _compile(traced)
        )
  return int(results.num_failed > 0)


def _programs(mesh: Mesh) -> Iterator[_Traced]:
  whole = NamedSharding(mesh, PartitionSpec())
  for kind, name, config, num_clips in steps.cases():
    program = programs.PROGRAMS[kind](config, num_clips)
    yield _of(f"steps: {kind} {name}", program, mesh)
  yield _Traced("steps: peak", lambda: _matmul(whole))
  for dtype in smoke.DTYPES:
    config = programs.make_config(training.VARIANT.value, {"dtype": dtype})
    for kind, make in programs.PROGRAMS.items():
      section = config.get(f"train_{kind}", config["evaluation"])
      name = f"training: {kind} {training.VARIANT.value} {dtype}"
      yield _of(name, make(config, section["batch_size"]), mesh)
  for kind, dtype in smoke.program_names():
    program = smoke.make_program(kind, dtype)
    yield _of(f"smoke: {kind} {dtype}", program, mesh)
    if program.is_step and dtype == "float32":
      name = f"bits: {kind}, deterministic"
      yield _of(name, program, mesh)._replace(options=_DETERMINISTIC)
  for path in smoke.golden_cases(smoke.golden_folder()):
    yield _Traced(f"golden: {path.stem}", lambda p=path: _golden(p, whole))
  for dtype in operations.DTYPES:
    for case in operations.cases(dtype):
      for implementation, which in itertools.product(
        case.implementations, operations.PASSES
      ):
        yield _Traced(
          f"operations: {case.kind} {case.name}, {dtype}, {implementation}, "
          f"{which}",
          functools.partial(
            operations.lower, case, dtype, implementation, which, sharding=whole
          ),
          num_links=operations.num_links(case, dtype, which),
        )


def _of(name: str, program: programs.Program, mesh: Mesh) -> _Traced:
  return _Traced(name, lambda: program.lower(mesh))


def _matmul(place: NamedSharding) -> jax.stages.Lowered:
  shape = jax.ShapeDtypeStruct((8192, 8192), "bfloat16", sharding=place)
  return jax.jit(timing.matmul_program(10)).lower(shape, shape)


def _golden(path, place: NamedSharding) -> jax.stages.Lowered:
  _, forward, arguments = smoke.golden_program(path)
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments
  )
  with jax.default_matmul_precision("highest"):
    return jax.jit(forward).lower(*shapes)


def _compile(traced: _Traced) -> dict[str, Any]:
  start = time.monotonic()
  compiled = traced.lower().compile(dict(_H100.options) | dict(traced.options))
  seconds = time.monotonic() - start
  bounds = program_bounds.read(compiled.as_text())
  memory = compiled.memory_analysis()
  bound = sum(bounds.seconds.values()) / traced.num_links
  products = bounds.flops / program_bounds.FLOPS_PER_SECOND / traced.num_links
  temporary = memory.temp_size_in_bytes / 2**30
  print(
    f"| {traced.name} | {seconds:.0f} | {temporary:.2f} | {bound * 1e3:.3g} | "
    f"{products * 1e3:.3g} |"
  )
  return {
    "compile_s": round(seconds, 1),
    "arguments_GiB": memory.argument_size_in_bytes / 2**30,
    "temporary_GiB": temporary,
    "bound_ms": bound * 1e3,
    "products_ms": products * 1e3,
    "num_links": traced.num_links,
    "GFLOP": bounds.flops / 1e9,
    "moved_GB": bounds.moved_bytes / 1e9,
    "calls": dict(bounds.calls.most_common(8)),
    "plain_convolutions": bounds.num_plain_convolutions,
    "longest_ms": {
      kind: seconds * 1e3 for kind, seconds in bounds.seconds.most_common(6)
    },
  }


if __name__ == "__main__":
  app.run(main)
