"""One writer at a time in a folder, whom the others can name.

The lock is the kernel's (`flock`): it ends with its process however that ends,
and reaches from machine to machine where NFS or Lustre are mounted for it.
Where they are not, and where there is no `flock`, the owner's heartbeat tells:
it touches the file every few seconds, and whoever finds a file of another
machine looks whether it does. Nothing is compared with a clock.

The package filelock has the first half of this; who the owner is, and whether
one on another machine lives, would have been left to write.
"""

import contextlib
import dataclasses
import datetime
import errno
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

LOCK_NAME = ".data_gen.lock"
HEARTBEAT_S = 5.0
SILENCE_S = 20.0  # After which an owner on another machine counts as dead.
_POLL_S = 0.5
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
# Of file systems without locks.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


@dataclasses.dataclass(frozen=True)
class Owner:
  """Who has a lock.

  Attributes:
    host: Name of the machine.
    process: Its number there.
    boot: Of the machine since it started; containers on it share that.
    since: Local time in ISO 8601.
  """

  host: str
  process: int
  boot: str
  since: str

  @classmethod
  def here(cls) -> "Owner":
    """Returns this process."""
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return cls(socket.gethostname(), os.getpid(), _boot(), now)

  @classmethod
  def read(cls, text: str) -> "Owner | None":
    """Returns what a file says; None if that is nothing or half of it."""
    try:
      found = cls(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
      return None
    return found if isinstance(found.process, int) else None

  def __str__(self) -> str:
    return f"process {self.process} on {self.host}, since {self.since}"


class InUseError(BlockingIOError):
  """Another process has the lock.

  Attributes:
    owner: Which, if it has said so.
  """

  def __init__(self, owner: Owner | None):
    super().__init__(errno.EAGAIN, f"In use by {owner or 'another process'}.")
    self.owner = owner


@contextlib.contextmanager
def locked(
  folder: pathlib.Path, log: Callable[[str], None] = lambda line: None
) -> Iterator[None]:
  """Keeps other processes from writing a data set here meanwhile.

  Args:
    folder: Of the data set.
    log: See `held`.

  Raises:
    BlockingIOError: Another process has it.
  """
  try:
    with held(folder / LOCK_NAME, log):
      yield
  except InUseError as error:
    which = f" It is {error.owner}." if error.owner else ""
    raise BlockingIOError(
      f"Another process is writing a data set to --output_dir={folder}: wait "
      f"until it has ended, or name another folder.{which}"
    ) from error


@contextlib.contextmanager
def held(
  path: pathlib.Path, log: Callable[[str], None] = lambda line: None
) -> Iterator[None]:
  """Holds the lock of a file, which is there only as long.

  Windows has no `flock`, and no lock.

  Args:
    path: Of the file, in a folder that is there.
    log: Takes a line where an owner on another machine is waited for.

  Raises:
    InUseError: Another process, or thread, has it.
    OSError: The file cannot be written.
  """
  try:
    import fcntl
  except ImportError:
    yield
    return
  descriptor = _acquire(path, fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, log)
  stopped = threading.Event()
  heart = threading.Thread(
    target=_beat, args=(descriptor, stopped), name="lock", daemon=True
  )
  try:
    text = json.dumps(dataclasses.asdict(Owner.here())).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text, 0)
    heart.start()
    yield
  finally:
    stopped.set()
    if heart.ident is not None:
      heart.join()  # It must not touch what has the descriptor next.
    if _is_at(path, descriptor):  # Else the folder was moved away.
      path.unlink(missing_ok=True)
    os.close(descriptor)


def _acquire(path, flock, mode, log) -> int:
  """Returns a descriptor of the file, which is locked."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      is_kernels = _lock(descriptor, flock, mode)
      if not _is_at(path, descriptor):  # Its owner has just removed it.
        os.close(descriptor)
        continue
      owner = _owner_of(descriptor)
      is_left = owner is not None and not (is_kernels and owner.boot == _boot())
      if is_left and _lives(path, owner, log):
        raise InUseError(owner)
    except BaseException:
      os.close(descriptor)
      raise
    return descriptor


def _lock(descriptor: int, flock: Callable, mode: int) -> bool:
  """Locks a file; returns whether the file system knows locks."""
  try:
    flock(descriptor, mode)
  except BlockingIOError as error:
    raise InUseError(_owner_of(descriptor)) from error
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    return False
  return True


def _lives(path: pathlib.Path, owner: Owner, log) -> bool:
  """Whether the owner of a file that we could lock touches it all the same."""
  log(
    f"{path} was left by {owner}. Waiting for {SILENCE_S:.0f} s to see whether "
    "it lives."
  )
  first, end = _touched_ns(path), time.monotonic() + SILENCE_S
  while time.monotonic() < end:
    time.sleep(_POLL_S)
    if _touched_ns(path) != first:
      return True
  return False


def _touched_ns(path: pathlib.Path) -> int:
  # Opened, as NFS asks the server then.
  with open(path, "rb") as file:
    return os.fstat(file.fileno()).st_mtime_ns


def _beat(descriptor: int, stopped: threading.Event) -> None:
  while not stopped.wait(HEARTBEAT_S):
    with contextlib.suppress(OSError):
      os.utime(descriptor)


def _owner_of(descriptor: int) -> Owner | None:
  return Owner.read(os.pread(descriptor, 4096, 0).decode(errors="replace"))


def _is_at(path: pathlib.Path, descriptor: int) -> bool:
  try:
    return os.path.samestat(os.stat(path), os.fstat(descriptor))
  except OSError:
    return False


def _boot() -> str:
  try:
    return _BOOT_ID.read_text().strip()
  except OSError:
    return socket.gethostname()
