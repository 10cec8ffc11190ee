"""The devices that JAX finds."""

import jax

from magvit3d.errors import UserError


def find() -> list[jax.Device]:
  """Returns the devices of all processes.

  Raises:
    UserError: There is none of the kind that JAX_PLATFORMS asks for.
  """
  try:
    return jax.devices()
  # Without JAX's plugin for CUDA it is an assertion of JAX's that fails.
  except (RuntimeError, AssertionError) as error:
    asked = getattr(jax.config, "jax_platforms", None)
    given = f"JAX_PLATFORMS={asked} asks for" if asked else "JAX wants"
    why = "".join(f" ({line.rstrip('.')})" for line in str(error).splitlines())
    raise UserError(
      f"{given} a device that is not here{why}. Run where there is one, with "
      "its driver and JAX's plugin for it (such as pip install "
      "'jax[cuda12]'), or set JAX_PLATFORMS=cpu."
    ) from error
