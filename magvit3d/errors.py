"""The error that a user's input or files cause."""


class UserError(Exception):
  """Something the user can mend; the message says what and how.

  `python -m magvit3d.main` prints it without a traceback and exits with 1.
  """
