"""The error that a user's input or files cause."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
  """Something the user can mend; the message says what and how.

  `python -m magvit3d.main` prints it without a traceback and exits with 1.
  """


@contextmanager
def as_user_errors(*types: type[Exception]) -> Iterator[None]:
  """Turns errors of `types`, raised by code that checks input, into ours."""
  try:
    yield
  except types as error:
    raise UserError(str(error)) from error
