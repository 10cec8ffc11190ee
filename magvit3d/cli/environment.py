"""What the environment says to JAX, and what our programs do not hear."""

import os

# Whoever simulates physics sets them for all programs; networks are of 32 bits.
_UNHEARD = ("JAX_ENABLE_X64", "JAX_NUMPY_DTYPE_PROMOTION")


def set_up() -> None:
  """Forgets them; before JAX is imported, which reads them then."""
  for name in _UNHEARD:
    os.environ.pop(name, None)
