"""What programs print, on terminals of any encoding, or on none."""

import contextlib
import io
import os
import sys
from typing import TextIO


def set_up() -> None:
  """Lets a program print whatever it has to say, wherever that goes.

  Letters that stdout or stderr cannot show become escapes, such as those of
  names on an ASCII terminal, or bytes of file names that are no UTF-8: `\\xe9`.
  What is printed to a stream that is closed (`>&-`) or fails, as on a full disk
  or in a pipe that nobody reads any more, is lost. Otherwise the first of these
  would end the program.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:  # Else the next file that is opened had this number.
      os.open(os.devnull, os.O_RDWR)
  sys.stdout = _lasting(sys.stdout, sys.__stdout__, 1)
  sys.stderr = _lasting(sys.stderr, sys.__stderr__, 2)
  for stream in (sys.stdout, sys.stderr):
    if getattr(stream, "errors", None) == "strict":
      stream.reconfigure(errors="backslashreplace")


def _lasting(
  stream: TextIO | None, first: TextIO | None, number: int
) -> TextIO:
  """Returns a stream in place of the process's own; another one stays."""
  if stream is not first:
    return stream
  with contextlib.suppress(OSError, ValueError, AttributeError):
    stream.flush()
  encoding = getattr(stream, "encoding", "utf-8")
  return io.TextIOWrapper(
    io.BufferedWriter(_Lasting(number)),
    encoding,
    getattr(stream, "errors", "backslashreplace"),
    line_buffering=True,
  )


class _Lasting(io.RawIOBase):
  """A descriptor; what it does not take is lost."""

  def __init__(self, number: int):
    super().__init__()
    self._number = number

  def fileno(self) -> int:
    return self._number

  def isatty(self) -> bool:
    return os.isatty(self._number)

  def writable(self) -> bool:
    return True

  def write(self, data) -> int:
    try:
      return os.write(self._number, data)
    except OSError:
      return len(data)
