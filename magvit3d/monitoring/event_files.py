"""TensorBoard's files, which a full disk must not end a run for.

tensorboardX writes them in a thread; an error there would end the thread, and
whoever hands it the next scalars would wait for ever.
"""

import os
import pathlib
from typing import Any, BinaryIO

import tensorboardX
from tensorboardX.proto.event_pb2 import Event, SessionLog

from data_gen.files import failpoints
from magvit3d.files import write_errors
from magvit3d.monitoring.best_effort import BestEffort


def open_writer(
  folder: pathlib.Path, purge_step: int, best_effort: BestEffort
) -> Any:
  """Returns a `SummaryWriter`, or what does nothing where none can be.

  Args:
    folder: Of the files; made.
    purge_step: First step whose earlier scalars do not count.
    best_effort: What to do where a file cannot be written.
  """
  opened = []

  def open_() -> None:
    with write_errors.named(folder):
      failpoints.reach("open", folder.name)
      folder.mkdir(parents=True, exist_ok=True)
      # Without `purge_step`, whose events would come before the file is ours.
      writer = tensorboardX.SummaryWriter(str(folder))
      events = writer.file_writer.event_writer._ev_writer._py_recordio_writer
      events._writer = _EventFile(events._writer, folder, best_effort)
      opened.append(writer)

  if not best_effort.attempt(open_):
    return _Nothing()
  (writer,) = opened
  for event in (
    Event(step=purge_step, file_version="brain.Event:2"),
    Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)),
  ):
    writer.file_writer.add_event(event)
  return writer


class _EventFile:
  """A file of tensorboardX, without its errors."""

  def __init__(
    self, file: BinaryIO, folder: pathlib.Path, best_effort: BestEffort
  ):
    self._file = file
    self._folder = folder
    self._best_effort = best_effort

  def _attempt(self, act) -> None:
    def named() -> None:
      with write_errors.named(self._folder):
        failpoints.reach("append", self._folder.name)
        act()

    self._best_effort.attempt(named)

  def write(self, data: bytes) -> None:
    self._attempt(lambda: self._file.write(data))

  def flush(self) -> None:
    def act() -> None:
      self._file.flush()
      os.fsync(self._file.fileno())

    self._attempt(act)

  def close(self) -> None:
    self._attempt(self._file.close)


class _Nothing:
  """In place of a `SummaryWriter`."""

  def add_scalar(self, *arguments: Any, **fields: Any) -> None:
    pass

  def add_image(self, *arguments: Any, **fields: Any) -> None:
    pass

  def close(self) -> None:
    pass
