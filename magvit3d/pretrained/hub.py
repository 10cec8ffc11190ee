"""Pretrained folders on the Hugging Face Hub, by names such as user/model.

Needs the extra `hub`: pip install 'magvit3d[hub]'. Where the hub is, and who
asks, say its own variables (HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE).
"""

import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from magvit3d.errors import UserError
from magvit3d.pretrained import files

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def is_name(text: str) -> bool:
  """Whether a text may be the name of a repository, user/model."""
  return _NAME.fullmatch(text) is not None


@contextmanager
def downloaded(name: str, revision: str | None) -> Iterator[pathlib.Path]:
  """Gives the folder of a repository, as regular files.

  What is there already is not downloaded again.

  Args:
    name: user/model.
    revision: Branch, tag or commit; None is the newest.

  Raises:
    UserError: It cannot be had, or what is done with the folder raises one.
  """
  hub = _import(f"{name!r} is no folder, and taken for a name on the hub")
  found = _asked(
    name,
    lambda: hub.snapshot_download(
      name,
      revision=revision,
      allow_patterns=[files.CONFIG_NAME, files.WEIGHTS_PATTERN],
      library_name="magvit3d",
    ),
  )
  # The cache has links into another folder.
  with tempfile.TemporaryDirectory(prefix="magvit3d_hub_") as folder:
    for path in pathlib.Path(found).glob("*"):
      shutil.copyfile(path, pathlib.Path(folder, path.name))
    try:
      yield pathlib.Path(folder)
    except UserError as error:
      raise UserError(f"Of {name!r} on the hub: {error}") from error


def upload(folder: pathlib.Path, name: str, private: bool, message: str) -> str:
  """Uploads what `files.save` wrote, in one commit; returns its address.

  Args:
    folder: With the files.
    name: user/model; made if there is none.
    private: Whether a new one is seen by its owners alone.
    message: Of the commit.

  Raises:
    UserError: The hub does not take it.
  """
  if not is_name(name):
    raise UserError(f"repo_id={name!r} must be a name such as user/model.")
  hub = _import("push_to_hub needs the package huggingface_hub")
  api = hub.HfApi(library_name="magvit3d")

  def send() -> str:
    api.create_repo(name, private=private, exist_ok=True)
    return api.upload_folder(
      repo_id=name,
      folder_path=folder,
      commit_message=message,
      delete_patterns=files.WEIGHTS_PATTERN,
    ).commit_url

  return _asked(name, send)


def _asked(name: str, function: Callable[[], str]) -> str:
  """Calls a function of the hub's; its errors become the user's."""
  from huggingface_hub import errors

  try:
    return function()
  except errors.RepositoryNotFoundError as error:
    raise UserError(
      f"The hub has no model {name!r}, or you may not see it: check the name, "
      "or log in (hf auth login)."
    ) from error
  except errors.RevisionNotFoundError as error:
    raise UserError(f"The hub's {name!r} has no such revision.") from error
  except Exception as error:  # Those of its transport change with its version.
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise UserError(
      f"The hub did not do what was asked of it for {name!r} ({first}). Log in "
      "(hf auth login) where it needs that, or try again later."
    ) from error


def _import(why: str) -> ModuleType:
  try:
    import huggingface_hub
  except ImportError as error:
    raise UserError(f"{why}: pip install 'magvit3d[hub]'.") from error
  return huggingface_hub
