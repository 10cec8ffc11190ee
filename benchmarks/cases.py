"""What `python -m benchmarks.run` times, and what is wanted of it.

Sizes and targets alone: nothing here needs JAX or PyTorch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

# How a case is computed. See `benchmarks.reference` and `benchmarks.torch_work`
# for the other two.
OURS, REFERENCE, TORCH = "ours", "reference", "torch"
FORMULATIONS = (OURS, REFERENCE, TORCH)

_GENERATOR_ALONE = {"vqgan.discriminator_start_step": None}
# `:tiny` trains its tokenizer on crops of these.
_CROP = {"data.num_frames": 8, "data.image_size": 16}
# "P": networks of `:S` on clips of 64 pixels.
_P = {"data.num_frames": 16, "data.image_size": 64}
# 4 x 16 x 16 tokens and a class, MAGVIT's length.
_NARROW = {
  "data.num_frames": 16,
  "data.image_size": 128,
  "transformer.num_layers": 6,
  "transformer.hidden_size": 192,
  "transformer.mlp_dim": 768,
  "transformer.num_heads": 6,
  "transformer.dropout_rate": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Case:
  """A piece of work that is timed.

  Attributes:
    title: For people.
    kind: One of `programs.PROGRAMS`, or 'rendering' or 'reading'.
    variant: Of configs/traj3d.py.
    changes: Fields of the config by path.
    num_items: Clips (frames in rendering) that a call works on.
    item: What is counted.
    formulations: Those that there are, of `FORMULATIONS`.
    min_over_reference: Wanted: speed as a multiple of the reference's.
    min_over_torch: Wanted: speed as a multiple of PyTorch's.
    min_rate: Wanted: items a second.
  """

  title: str
  kind: str
  variant: str = "tiny"
  changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  num_items: int = 1
  item: str = "clips"
  formulations: tuple[str, ...] = FORMULATIONS
  min_over_reference: float | None = None
  min_over_torch: float | None = None
  min_rate: float | None = None


# Targets are those of two CPU cores.
CASES: Mapping[str, Case] = {
  "tokenizer_p": Case(
    "Tokenizer's step P, with discriminator",
    "tokenizer",
    "S",
    _P,
    formulations=(OURS, REFERENCE),
    min_over_reference=2.5,
  ),
  "generator_p": Case(
    "Tokenizer's step P, generator alone",
    "tokenizer",
    "S",
    _P | _GENERATOR_ALONE,
    min_over_torch=0.7,
  ),
  "generator_tiny": Case(
    "Tokenizer's step `:tiny`, generator alone",
    "tokenizer",
    "tiny",
    _CROP | _GENERATOR_ALONE,
    16,
    "crops",
    min_rate=100.0,
  ),
  "generator_tiny_frames": Case(
    "The same, convolutions over frames, without oneDNN",
    "tokenizer",
    "tiny",
    _CROP | _GENERATOR_ALONE | {"vqvae.conv_implementation": "frames"},
    16,
    "crops",
    formulations=(OURS,),
  ),
  "transformer_1025": Case(
    "Transformer's step, 6 layers of 192, 1,025 tokens",
    "transformer",
    "S",
    _NARROW,
    2,
    min_over_reference=1.7,
    min_over_torch=0.9,
  ),
  "transformer_tiny": Case(
    "Transformer's step `:tiny`", "transformer", "tiny", {}, 16
  ),
  "decoding_1025": Case(
    "Decoding in 12 steps, 1,025 tokens",
    "decoding",
    "S",
    _NARROW,
    2,
    min_over_reference=1.5,
  ),
  "reconstruction_p": Case("Reconstruction, P", "reconstruction", "S", _P, 2),
  "rendering": Case(
    "Rendering, 128 pixels",
    "rendering",
    num_items=24 * 48,
    item="frames",
    formulations=(OURS,),
    min_rate=6000.0,
  ),
  "reading": Case(
    "Reading, 64 pixels",
    "reading",
    num_items=240,
    formulations=(OURS,),
    min_rate=1500.0,
  ),
}
