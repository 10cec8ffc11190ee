"""Files that a run can do without, such as its status and its metrics."""

from collections.abc import Callable

from magvit3d.files import work_folder


def _print(line: str) -> None:
  print(line, flush=True)


class BestEffort:
  """Writes them if it can; the first failure is said, and no other.

  Args:
    say: Takes a line.
  """

  def __init__(self, say: Callable[[str], None] = _print):
    self._say = say
    self._has_failed = False

  def attempt(self, write: Callable[[], None]) -> bool:
    """Returns whether a function came to its end without an OSError.

    Raises:
      WorkFolderGoneError: The work folder was moved or removed.
    """
    try:
      write()
    except OSError as error:
      work_folder.check_there()
      if not self._has_failed:
        self._say(f"{error} Until then the run goes on without it.")
      self._has_failed = True
      return False
    return True
