"""Which code runs: versions, and the commit where it is a git checkout."""

import functools
import importlib.metadata
import pathlib
import subprocess
from typing import Any

import jax

_PACKAGE = "magvit3d"
_ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def code_version() -> dict[str, Any]:
  """Returns versions by name, `commit` and `is_dirty`.

  The latter two are None outside of a git checkout; dirty means that files
  that git follows differ from the commit. An uninstalled checkout has no
  version of its own ("unknown").
  """
  try:
    version = importlib.metadata.version(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    version = "unknown"
  commit, is_dirty = git_state(_ROOT)
  return {
    _PACKAGE: version,
    "commit": commit,
    "is_dirty": is_dirty,
    "jax": jax.__version__,
  }


def git_state(root: pathlib.Path) -> tuple[str | None, bool | None]:
  """Returns commit and dirtiness of the checkout whose top folder is `root`."""
  top = _git(root, "rev-parse", "--show-toplevel")
  # Installed code may lie in some other project's checkout.
  if top is None or pathlib.Path(top).resolve() != root.resolve():
    return None, None
  commit = _git(root, "rev-parse", "HEAD")
  status = _git(root, "status", "--porcelain", "--untracked-files=no")
  return commit, None if status is None else bool(status)


def _git(root: pathlib.Path, *arguments: str) -> str | None:
  try:
    done = subprocess.run(
      ["git", "-C", str(root), *arguments],
      capture_output=True,
      text=True,
      timeout=10,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return done.stdout.strip() if done.returncode == 0 else None
