"""The trained networks that come with the package, by name."""

import pathlib
from typing import Any

from jax.sharding import NamedSharding

import magvit3d.pretrained
from data_gen.files import json_files
from magvit3d.errors import UserError
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.pretrained import files

ROOT = pathlib.Path(magvit3d.pretrained.__file__).parent
CARD_NAME = "card.json"


def names() -> tuple[str, ...]:
  """Returns the names, sorted."""
  return tuple(
    sorted(
      path.name
      for path in ROOT.iterdir()
      if path.is_dir() and not path.name.startswith(("_", "."))
    )
  )


def summaries() -> dict[str, str]:
  """Returns what each is, in a line, by name.

  Raises:
    UserError: A card is missing or damaged.
  """
  return {name: str(read_card(name)["summary"]) for name in names()}


def read_card(name: str) -> dict[str, Any]:
  """Returns the card of one of `names`; see `model_card`.

  Raises:
    UserError: It is missing or damaged.
  """
  path = ROOT / name / CARD_NAME
  try:
    card = json_files.read(path)
    if not {"summary", "check"} <= card.keys():
      raise ValueError("it is no card")
  except (OSError, ValueError) as error:
    raise UserError(
      f"{path} cannot be read ({error}). {_remedy(name)}"
    ) from error
  return card


def load(name: str, place: NamedSharding) -> TrainedNetworks:
  """Reads one of `names`.

  Args:
    name: Of the networks.
    place: Where the parameters shall lie.

  Raises:
    UserError: A file is missing or damaged; the message names it.
  """
  try:
    return files.load(ROOT / name, place)
  except UserError as error:
    raise UserError(f"{error} {_remedy(name)}") from error


def _remedy(name: str) -> str:
  return (
    f"The model {name} came with magvit3d: install that again (pip install "
    "--force-reinstall --no-deps), or in a checkout run git checkout -- "
    f"magvit3d/pretrained/{name}."
  )


def unknown(name: str) -> UserError:
  """Returns the error for what is neither a name nor a folder."""
  known = ", ".join(names()) or "none"
  return UserError(
    f"{name!r} is no folder, and no model that comes with magvit3d; these are: "
    f"{known}."
  )
