"""Tokenizer and detokenizer as serialized StableHLO (`jax.export`).

A folder has `tokenizer.jax_export` and `detokenizer.jax_export`, whose only
dimension that is left open is the number of clips, and says in
`signatures.json` and `README.md` what they take and return.
"""

import json
import pathlib
import string
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from magvit3d.api import Magvit
from magvit3d.data.pixels import to_unit_range
from magvit3d.errors import UserError
from magvit3d.files import new_folder
from magvit3d.models import target
from magvit3d.models.tokenizer import Tokenizer

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
SUFFIX = ".jax_export"
_README = string.Template("""\
# Tokenizer of magvit3d as StableHLO

Parameters are inside of the files; `b`, the number of clips, is any. They run
on $platforms with JAX alone:

```python
import pathlib

import jax.export
import numpy as np

data = pathlib.Path("tokenizer$suffix").read_bytes()
tokenize = jax.export.deserialize(bytearray(data)).call
clips = np.zeros((3, $clip), np.$pixels)
tokens = tokenize(clips)
```

- `tokenizer$suffix` takes clips, $pixels (b, $clip) in $range,
  and returns tokens, int32 (b, $grid) in [0, $codes).
- `detokenizer$suffix` takes such tokens, and returns such clips.

Written by JAX $jax. Which other versions read it:
https://docs.jax.dev/en/latest/export/export.html
""")


def export_tokenizer(
  magvit: Magvit,
  output: pathlib.Path,
  *,
  pixels: str = "uint8",
  platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> None:
  """Writes both directions of a tokenizer, for clips of any number.

  Args:
    magvit: Networks.
    output: Folder to write; it must not exist, or be empty.
    pixels: Type of the clips: "uint8" in [0, 255], or "float32" in [0, 1].
    platforms: What they shall run on. For CPUs alone the 3D convolutions are
      made as these do them best; other platforms get XLA's own, also on CPUs.

  Raises:
    UserError: An argument is none of those, or the folder cannot be written.
  """
  if pixels not in ("uint8", "float32"):
    raise UserError(f"pixels={pixels!r} is neither 'uint8' nor 'float32'.")
  unknown = sorted(set(platforms) - set(PLATFORMS))
  if unknown or not platforms:
    raise UserError(
      f"platforms: {', '.join(unknown) or 'nothing'} is unknown; use some of "
      f"{', '.join(PLATFORMS)}."
    )
  functions = _functions(magvit, pixels, platforms)
  precision = magvit.trained.config.matmul_precision
  export = jax.export.export
  with new_folder.written_whole(output) as folder:
    signatures = {}
    for name, (function, shape, dtype) in functions.items():
      (b,) = jax.export.symbolic_shape("b")
      argument = jax.ShapeDtypeStruct((b, *shape), dtype)
      with jax.default_matmul_precision(precision):
        exported = export(jax.jit(function), platforms=platforms)(argument)
      (folder / f"{name}{SUFFIX}").write_bytes(exported.serialize())
      signatures[name] = _signature(exported)
    text = json.dumps(signatures, indent=2) + "\n"
    (folder / "signatures.json").write_text(text)
    (folder / "README.md").write_text(_readme(magvit, pixels, platforms))


def _functions(
  magvit: Magvit, pixels: str, platforms: Sequence[str]
) -> dict[str, tuple[Callable, tuple[int, ...], Any]]:
  """Returns function, shape of a row, and type of the argument, by name."""
  trained = magvit.trained
  dtype = jnp.dtype(trained.config.dtype)
  # Not as this machine likes it best.
  is_for_cpu = tuple(platforms) == ("cpu",)
  with target.made_for("cpu" if is_for_cpu else "gpu"):
    tokenizer = Tokenizer.from_config(trained.config.vqvae, dtype)
  # On the host, as constants of the files belong to no device of this machine.
  params = jax.tree.map(np.asarray, trained.tokenizer_params)

  def apply(argument, method):
    variables = {"params": jax.tree.map(jnp.asarray, params)}
    return tokenizer.apply(variables, argument, method=method)

  def tokenize(clips):
    if pixels == "uint8":
      clips = to_unit_range(clips)
    return apply(clips, "encode").tokens.astype(jnp.int32)

  def detokenize(tokens):
    clips = jnp.clip(apply(tokens, "decode_tokens"), 0, 1)
    if pixels == "uint8":
      return jnp.rint(clips * 255).astype(jnp.uint8)
    return clips

  return {
    "tokenizer": (tokenize, magvit.clip_shape, jnp.dtype(pixels)),
    "detokenizer": (detokenize, magvit.latent_shape, jnp.int32),
  }


def _signature(exported: jax.export.Exported) -> dict[str, Any]:
  def describe(array):
    return {
      "shape": [n if isinstance(n, int) else str(n) for n in array.shape],
      "dtype": np.dtype(array.dtype).name,
    }

  return {
    "takes": [describe(array) for array in exported.in_avals],
    "returns": [describe(array) for array in exported.out_avals],
    "platforms": list(exported.platforms),
    "calling_convention_version": exported.calling_convention_version,
    "jax": jax.__version__,
  }


def _readme(magvit: Magvit, pixels: str, platforms: Sequence[str]) -> str:
  return _README.substitute(
    suffix=SUFFIX,
    platforms=", ".join(platforms),
    pixels=pixels,
    range="[0, 255]" if pixels == "uint8" else "[0, 1]",
    clip=", ".join(map(str, magvit.clip_shape)),
    grid=", ".join(map(str, magvit.latent_shape)),
    codes=magvit.codebook_size,
    jax=jax.__version__,
  )
