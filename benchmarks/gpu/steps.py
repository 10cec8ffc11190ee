"""Step `steps`: how fast training and decoding are, and how near to the peak.

  python -m benchmarks.gpu.steps --output=gpu_check

Clips a second, share of the measured bfloat16 peak, memory and compile time of
steps of both stages and of decoding; the transformer beside the same network in
torch. FLOPs are those of the traced program, attention's products included, so
the share is of what the model needs.
"""

import time
from collections.abc import Iterator
from typing import Any

import jax
from absl import app

from benchmarks import programs, timing
from benchmarks.gpu.results import SMALL, Results
from magvit3d.monitoring.device_memory import memory_metrics
from magvit3d.parallel import sharding

# Kind, variant, clips, and what differs from the variant.
_CASES = (
  ("tokenizer", "S", 16, {}),
  ("transformer", "B", 16, {}),
  ("tokenizer", "B", 16, {}),
  ("transformer", "B", 16, {"transformer.attention_implementation": "xla"}),
  ("decoding", "B", 16, {}),
  ("transformer", "S", 16, {}),
  ("decoding", "B", 16, {"transformer.attention_implementation": "xla"}),
  ("tokenizer", "S", 16, {"dtype": "float32"}),
)
_SMALL_CASES = (
  ("transformer", "tiny", 2, {}),
  ("decoding", "tiny", 2, {}),
)


def cases() -> Iterator[tuple[str, str, dict[str, Any], int]]:
  """Yields kinds and names of programs, configs, and clips."""
  for kind, variant, num_clips, changes in (
    _SMALL_CASES if SMALL.value else _CASES
  ):
    changes = {"dtype": "bfloat16"} | changes
    config = programs.make_config(variant, changes, is_small=SMALL.value)
    told = ", ".join(str(value) for value in changes.values())
    name = f"{variant}, {num_clips} clips, {told}"
    yield kind, name, config, num_clips


def main(argv: list[str]) -> int:
  """Times all; returns the exit status."""
  del argv
  results = Results("steps")
  peak = results.attempt(
    "peak, FLOP/s",
    "bfloat16",
    lambda: timing.matmul_flops_per_second(
      "bfloat16", 256 if SMALL.value else 8192
    ),
  )
  mesh = sharding.make_mesh()
  for kind, name, *sizes in cases():
    results.attempt(
      kind,
      name,
      lambda kind=kind, sizes=sizes: _measure(kind, *sizes, mesh, peak),
    )
  results.attempt("torch", "transformer", lambda: _torch(peak))
  return int(results.num_failed > 0)


def _measure(
  kind: str,
  config: dict[str, Any],
  num_clips: int,
  mesh: jax.sharding.Mesh,
  peak: float | None,
) -> dict[str, Any]:
  program = programs.PROGRAMS[kind](config, num_clips)
  start = time.perf_counter()
  lowered = program.lower(mesh)
  traced = time.perf_counter()
  compiled = lowered.compile()
  compile_s = time.perf_counter() - traced
  num_calls, num_repeats = (1, 2) if SMALL.value else (5, 5)
  first, *rest = program.put_arguments(mesh)
  if program.is_step:
    seconds, metrics = timing.seconds_per_step(
      compiled,
      first,
      tuple(rest),
      num_calls=num_calls,
      num_repeats=num_repeats,
    )
  else:
    metrics = {}
    seconds = timing.seconds_per_call(
      lambda: compiled(first, *rest),
      num_calls=num_calls,
      num_repeats=num_repeats,
    )
  flops = programs.model_flops(kind, config, num_clips)
  memory = compiled.memory_analysis()
  return {
    "milliseconds": seconds * 1e3,
    "clips_per_second": program.num_clips / seconds,
    "GFLOP": flops / 1e9 if flops else None,
    "share_of_peak": flops / seconds / peak if flops and peak else None,
    "trace_s": traced - start,
    "compile_s": compile_s,
    "arguments_GiB": memory.argument_size_in_bytes / 2**30,
    "temporary_GiB": memory.temp_size_in_bytes / 2**30,
    "device": memory_metrics(),
    "metrics": {
      key: value for key, value in metrics.items() if key.endswith("loss")
    },
  }


def _torch(peak: float | None) -> dict[str, Any]:
  """The transformer's step of the same sizes."""
  try:
    from benchmarks.gpu import torch_transformer
  except ImportError:
    return {"missing": "torch is not here"}
  num_clips = 2 if SMALL.value else 16
  config = programs.make_config("B", {}, is_small=SMALL.value)
  model_shape = programs.transformer_step(config, num_clips).shapes[1]
  num_tokens = model_shape["tokens"].size // num_clips
  return torch_transformer.measure(
    config,
    num_clips=num_clips,
    num_tokens=num_tokens,
    peak=peak,
    is_small=SMALL.value,
  )


if __name__ == "__main__":
  app.run(main)
