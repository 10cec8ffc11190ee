"""The kind of device that programs are made for."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_CHOSEN = contextvars.ContextVar[str | None]("platform", default=None)


def platform() -> str:
  """Returns 'cpu', 'gpu' or 'tpu': this machine's, unless `made_for` says."""
  return _CHOSEN.get() or jax.default_backend()


def is_here() -> bool:
  """Returns whether programs are made for this machine, to run here at once."""
  return _CHOSEN.get() is None


@contextlib.contextmanager
def made_for(name: str) -> Iterator[None]:
  """Within it networks choose what is fastest on devices of another kind."""
  token = _CHOSEN.set(name)
  try:
    yield
  finally:
    _CHOSEN.reset(token)
