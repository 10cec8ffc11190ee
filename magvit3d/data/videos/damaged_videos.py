"""Videos of a folder that cannot be opened: all are told at once."""

import pathlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from data_gen.errors import DataError
from data_gen.files import video_files

Opened = TypeVar("Opened")
_MOST_NAMED = 20
_NUM_THREADS = 16


def open_all(
  paths: Sequence[pathlib.Path], function: Callable[[pathlib.Path], Opened]
) -> tuple[list[Opened | None], list[str]]:
  """Calls a function for each of some videos, several at a time.

  Args:
    paths: Of the videos.
    function: Raises DataError for one that is damaged.

  Returns:
    What it returned, in the order of `paths`, None for those that are damaged;
    and what is wrong with these.
  """

  def attempt(path):
    try:
      return function(path), None
    except DataError as error:
      return None, str(error).removesuffix(video_files.ADVICE).strip()

  with ThreadPoolExecutor(_NUM_THREADS) as pool:
    found = list(pool.map(attempt, paths))
  texts = [text for _, text in found if text is not None]
  return [value for value, _ in found], texts


def describe(texts: Sequence[str], total: int, where: str) -> str:
  """Returns a sentence that names damaged videos, 20 at most.

  Args:
    texts: What is wrong with each.
    total: Number of all videos.
    where: What to call these, such as "--real".
  """
  named = " ".join(texts[:_MOST_NAMED])
  rest = len(texts) - _MOST_NAMED
  more = f" And {rest} more." if rest > 0 else ""
  return (
    f"{len(texts)} of {total} videos of {where} cannot be used: {named}{more}"
  )
