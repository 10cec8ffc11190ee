"""Share of tokens that stay masked as a function of progress."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def mask_ratio(
  method: str, progress: Float[Array, "*n"], num_tokens: int
) -> Float[Array, "*n"]:
  """Masked share at `progress` in [0, 1]; falls from 1 to 0.

  Args:
    method: 'uniform' 1 - r; 'cosine' cos(pi r / 2); 'powX' 1 - r^X; 'log'
      -log2 r / log2 n; 'exp' 1 - 2^(-log2(n) (1 - r)); 'poly:a,b,...' the
      polynomial with these coefficients, highest power first.
    progress: r.
    num_tokens: n, used by 'log' and 'exp'.

  Returns:
    The ratio, clipped to [1e-6, 1].
  """
  if method == "uniform":
    ratio = 1 - progress
  elif method == "cosine":
    ratio = jnp.cos(progress * math.pi / 2)
  elif method == "log":
    ratio = -jnp.log2(progress) / math.log2(num_tokens)
  elif method == "exp":
    ratio = 1 - jnp.exp2(-math.log2(num_tokens) * (1 - progress))
  elif method.startswith("pow"):
    ratio = 1 - progress ** float(method.removeprefix("pow"))
  elif method.startswith("poly:"):
    coefficients = [float(c) for c in method.removeprefix("poly:").split(",")]
    ratio = jnp.polyval(jnp.asarray(coefficients), progress)
  else:
    raise ValueError(
      f"Unknown mask schedule {method!r}; use 'uniform', 'cosine', 'powX', "
      "'log', 'exp' or 'poly:a,b,...'."
    )
  return jnp.clip(ratio, 1e-6, 1.0)
