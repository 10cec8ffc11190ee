"""What programs print, on terminals of any encoding."""

import sys


def escape_unknown_letters() -> None:
  """Lets letters that stdout or stderr cannot show be printed as escapes.

  Such as those of names on an ASCII terminal, or bytes of file names that are
  no UTF-8: `\\xe9`. Otherwise the first of them would end the program.
  """
  for stream in (sys.stdout, sys.stderr):
    if getattr(stream, "errors", None) == "strict":
      stream.reconfigure(errors="backslashreplace")
