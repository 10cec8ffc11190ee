"""Step `smoke`: do the networks run here, and compute what they should?

  python -m benchmarks.gpu.smoke --output=gpu_check

Forward passes of the golden cases in float32 of the highest precision, and one
step of each program of training and decoding in both types.
"""

import concurrent.futures
import importlib
import json
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import programs
from benchmarks.gpu.results import SMALL, Results
from magvit3d.config.networks import (
  ArchitectureConfig,
  DiscriminatorConfig,
  TokenizerConfig,
)
from magvit3d.config.reading import read
from magvit3d.models.bert import Bert
from magvit3d.models.discriminator import Discriminator
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.parallel import sharding

ROOT = pathlib.Path(__file__).resolve().parents[2]
_GOLDEN = flags.DEFINE_string(
  "golden",
  str(ROOT / "tests" / "parity" / "cases"),
  "Folder of the numbers that MAGVIT's own code computed.",
)
NUM_CLIPS = 4
DTYPES = ("float32", "bfloat16")
_NUM_THREADS = 12
_TOLERANCE = 2e-4  # Of float32, relative; indices: share that may differ.
_SMALL_CASES = ("discriminator_base", "transformer_base")


def main(argv: list[str]) -> int:
  """Compiles all at once, on the host's cores, and runs one by one."""
  del argv
  results = Results("smoke")
  with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    golden = _start_golden(results, pool)
    mesh = sharding.make_mesh()
    made = {key: make_program(*key) for key in program_names()}
    compiled = {
      key: pool.submit(lambda p=program: p.lower(mesh).compile())
      for key, program in made.items()
    }
    for name, future in golden.items():
      results.attempt("golden", name, lambda f=future: _errors(*f.result()))
    for (kind, dtype), future in compiled.items():
      results.attempt(
        kind,
        dtype,
        lambda key=(kind, dtype), future=future: _run_once(
          future.result(), made[key], mesh
        ),
      )
  results.attempt("sharding", "mesh of one device", _sharding_of_one_device)
  return int(results.num_failed > 0)


def _start_golden(results: Results, pool) -> dict[str, Any]:
  """Compiles the cases; returns what is to come, by name."""
  folder = golden_folder()
  cases = golden_cases(folder)
  if not cases:
    results.put("golden", "missing", f"no cases in --golden={folder.name}")
  if SMALL.value:
    cases = [path for path in cases if path.stem in _SMALL_CASES]
  return {path.stem: pool.submit(_compile_golden, path) for path in cases}


def golden_folder() -> pathlib.Path:
  """Returns where the golden cases are, or would be."""
  return pathlib.Path(_GOLDEN.value)


def golden_cases(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the cases of whole networks."""
  return [
    path
    for path in sorted(folder.glob("*.npz"))
    if path.stem.split("_")[0] in FAMILIES
  ]


def _tokenizer_case(case: dict[str, Any], name: str):
  config = _text(case, "config")
  tokenizer = Tokenizer.from_config(
    read(TokenizerConfig, config["vqvae"], "vqvae")
  )
  shape = tuple(int(size) for size in case["video_shape"])
  video = _recipe().array(f"{name}/video", shape, "uniform", int(case["seed"]))

  def forward(params, video):
    out = tokenizer.apply({"params": params}, video)
    wanted = {
      "latents": out.quantized.latents,
      "indices": out.quantized.tokens,
    }
    if float(case["min_gap"]) > 1e-3:
      wanted["reconstruction"] = out.reconstruction
    return wanted

  return forward, video


def _discriminator_case(case: dict[str, Any], name: str):
  config = _text(case, "config")
  network = Discriminator.from_config(
    read(DiscriminatorConfig, config["discriminator"], "discriminator"),
    ArchitectureConfig.of_tokenizer(config.get("vqvae", {})),
  )
  shape = tuple(int(size) for size in case["video_shape"])
  is_2d = "logits" in case
  kind, suffix = ("disc2d", "video") if is_2d else ("disc", "real")
  video = _recipe().array(
    f"{kind}/{name}/{suffix}", shape, "uniform", int(case["seed"])
  )

  def forward(params, video):
    logits = network.apply({"params": params}, video)
    return {"logits" if is_2d else "real_logit": logits}

  return forward, video


def _transformer_case(case: dict[str, Any], name: str):
  config, seed = _text(case, "config"), int(case["seed"])
  network = Bert(
    vocab_size=config["vocab_size"],
    hidden_size=config["hidden_size"],
    num_layers=config["num_hidden_layers"],
    num_heads=config["num_attention_heads"],
    mlp_dim=config["intermediate_size"],
    max_position_embeddings=config["max_position_embeddings"],
    num_segments=config.get("num_segments", 0),
  )
  shape = tuple(int(size) for size in case["shape"])
  draw = _recipe().integers
  ids = draw(f"bert/{name}/ids", shape, config["vocab_size"], seed)
  segments = draw(f"bert/{name}/seg", shape, 2, seed)

  def forward(params, ids, segments):
    return {"logits": network.apply({"params": params}, ids, segments)}

  return forward, ids, segments


FAMILIES = {
  "tokenizer": _tokenizer_case,
  "discriminator": _discriminator_case,
  "discriminator2d": _discriminator_case,
  "transformer": _transformer_case,
}


def _recipe():
  """The rule by which weights and inputs follow from their names."""
  tests = str(ROOT / "tests")
  if tests not in sys.path:
    sys.path.append(tests)
  return importlib.import_module("parity.recipe")


def _text(case: dict[str, Any], key: str) -> Any:
  return json.loads(str(case[key]))


def golden_program(path: pathlib.Path) -> tuple:
  """Returns the case, the forward pass, and its arguments."""
  with np.load(path) as file:
    case = dict(file)
  family, _, name = path.stem.partition("_")
  forward, *inputs = FAMILIES[family](case, name)
  params = _recipe().params(_text(case, "param_shapes"), int(case["seed"]))
  return case, forward, (params, *inputs)


def _compile_golden(path: pathlib.Path) -> tuple:
  case, forward, arguments = golden_program(path)
  with jax.default_matmul_precision("highest"):  # Of this thread.
    return case, jax.jit(forward).lower(*arguments).compile(), arguments


def _errors(case, compiled, arguments) -> dict[str, float]:
  """Relative error of each output; raises where one is too large."""
  found = jax.device_get(compiled(*arguments))
  errors = {}
  for key, value in found.items():
    wanted = np.asarray(case[key])
    if value.shape != wanted.shape:
      raise ValueError(f"{key} is {value.shape}, not {wanted.shape}.")
    if key == "indices":
      errors[key] = float(np.mean(value != wanted))
      continue
    gap = np.linalg.norm(np.float64(value) - wanted)
    errors[key] = float(gap / np.linalg.norm(np.float64(wanted)))
  limits = {"indices": 5e-3}
  wrong = {
    key: error
    for key, error in errors.items()
    if not error <= limits.get(key, _TOLERANCE)
  }
  if wrong:
    raise ValueError(f"These are too far from MAGVIT's: {wrong}.")
  return errors


def program_names() -> list[tuple[str, str]]:
  """Returns the kinds and types of the programs that are run once."""
  dtypes = DTYPES[1:] if SMALL.value else DTYPES
  return [(kind, dtype) for kind in programs.PROGRAMS for dtype in dtypes]


def make_program(kind: str, dtype: str, **changes: Any) -> programs.Program:
  """Returns one of them, of `:tiny`'s shapes."""
  config = programs.make_config(
    "tiny", {"dtype": dtype} | changes, is_small=SMALL.value
  )
  return programs.PROGRAMS[kind](config, NUM_CLIPS)


def _run_once(compiled, program: programs.Program, mesh) -> dict[str, Any]:
  out = compiled(*program.put_arguments(mesh))
  leaves = jax.tree.leaves(out)
  bad = sum(not np.isfinite(np.asarray(leaf)).all() for leaf in leaves)
  if bad:
    raise ValueError(f"{bad} of {len(leaves)} results are not finite.")
  if not program.is_step:
    return {"results": len(leaves)}
  names = ("loss", "g_loss", "d_loss", "grad_norm", "g_grad_norm")
  return {key: float(out[1][key]) for key in names if key in out[1]}


def _sharding_of_one_device() -> dict[str, str]:
  """A batch and a state as the loop places them, with all axes named."""
  mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1})
  if mesh.size != 1:
    raise ValueError(f"The mesh has {mesh.size} devices.")
  batch = sharding.shard_batch({"x": np.ones((4, 2), np.float32)}, mesh)
  total = jax.jit(lambda batch: jnp.sum(batch["x"]))(batch)
  if float(total) != 8:
    raise ValueError(f"A sum over a batch is {float(total)}, not 8.")
  return {"mesh": str(dict(mesh.shape)), "batch": str(batch["x"].sharding)}


if __name__ == "__main__":
  app.run(main)
