"""What a step can tell of its state: norms of parameters, use of codes."""

import dataclasses

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

_SUFFIX = "params"


def parameter_norms(state: PyTree) -> dict[str, Float[Array, ""]]:
  """Returns the global norm of each `*params` field of a state.

  Args:
    state: A dataclass, such as `TokenizerState`.

  Returns:
    `g_param_norm` for `g_params`, `param_norm` for `params`, and so on.
  """
  return {
    f"{field.name.removesuffix(_SUFFIX)}param_norm": optax.tree.norm(
      getattr(state, field.name)
    )
    for field in dataclasses.fields(state)
    if field.name.endswith(_SUFFIX)
  }


def code_usage(counts: Int[Array, " k"]) -> Float[Array, ""]:
  """Returns the share of the codes that were chosen, 0 to 1."""
  return jnp.mean(counts > 0, dtype=jnp.float32)


def num_dead_codes(counts: Int[Array, " k"]) -> Float[Array, ""]:
  """Returns how many codes were not chosen."""
  return jnp.sum(counts == 0).astype(jnp.float32)
