"""Reads a section of a config into a frozen dataclass, and checks its types."""

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

from data_gen.files import user_paths
from magvit3d.errors import UserError

Section = TypeVar("Section")
_PATH, _PATHS = "path", "paths"
# Types of fields: a file, folder or address, whose ~ is the user's home; or
# several with commas.
UserPath = Annotated[str, _PATH]
UserPaths = Annotated[str, _PATHS]
_WORDS = {
  int: "a whole number",
  float: "a number",
  bool: "True or False",
  str: "a text",
  UserPath: "a path",
  UserPaths: "paths with commas between",
  type(None): "None",
}


def read(cls: type[Section], given: Any, name: str) -> Section:
  """Returns a section as `cls`; its fields' types say what may be in it.

  Args:
    cls: A dataclass; fields may be dataclasses, or dicts of them.
    given: Values by field; those that `cls` has a default for may be absent.
    name: Of the section in messages, such as 'config.vqvae'.

  Raises:
    UserError: A field is unknown, missing, or of another type.
  """
  if not isinstance(given, Mapping):
    raise UserError(f"{name}={given!r} must be a section with fields.")
  fields = {f.name: f for f in dataclasses.fields(cast(Any, cls)) if f.init}
  for field in given:
    if field not in fields:
      near = difflib.get_close_matches(str(field), fields, 1)
      hint = f"; did you mean {near[0]}?" if near else "."
      raise UserError(f"{name}.{field} is unknown{hint}")
  hints, values = _hints(cls), {}
  for field in fields.values():
    where = f"{name}.{field.name}"
    if field.name in given:
      values[field.name] = _value(given[field.name], hints[field.name], where)
    elif _is_needed(field):
      raise UserError(f"{where} is missing.")
  return cls(**values)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
  return typing.get_type_hints(cls, include_extras=True)


def _is_needed(field: dataclasses.Field) -> bool:
  missing = dataclasses.MISSING
  return field.default is missing and field.default_factory is missing


def _value(value: Any, hint: Any, where: str) -> Any:
  is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
  kinds = typing.get_args(hint) if is_union else (hint,)
  sections = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
  if sections and (value is not None or type(None) not in kinds):
    return read(_most_alike(sections, value), value, where)
  for kind in kinds:
    if kind in (UserPath, UserPaths):
      if isinstance(value, str):
        return _expanded(value, kind, where)
      continue
    origin = typing.get_origin(kind) or kind
    if kind in sections:
      continue
    if origin is dict and isinstance(value, Mapping):
      of_items = typing.get_args(kind)[1]
      return {
        key: _value(item, of_items, f"{where}.{key}")
        for key, item in value.items()
      }
    elif origin is tuple and isinstance(value, list | tuple):
      of_items = typing.get_args(kind)[0]
      return tuple(
        _value(item, of_items, f"{where}[{i}]") for i, item in enumerate(value)
      )
    elif origin is Literal:
      if value in typing.get_args(kind):
        return value
    elif _is_a(value, origin):
      return value
  choices = [c for k in kinds if k is not type(None) for c in _choices(k)]
  if choices:
    raise UserError(
      f"{where}={value!r} is unknown; use one of {', '.join(choices)}."
    )
  wanted = " or ".join(_WORDS.get(kind, "several values") for kind in kinds)
  raise UserError(f"{where}={value!r} must be {wanted}.")


def _expanded(text: str, kind: Any, where: str) -> str:
  parts = text.split(",") if kind == UserPaths else [text]
  try:
    return ",".join(map(user_paths.expanded, parts))
  except ValueError as error:
    raise UserError(f"{where}={error}") from error


def _most_alike(sections: list, given: Any) -> type:
  """The one that has most of the given fields."""
  names = set(given) if isinstance(given, Mapping) else set()
  return max(
    sections, key=lambda one: len(names & one.__dataclass_fields__.keys())
  )


def _choices(kind: Any) -> tuple[str, ...]:
  is_choice = typing.get_origin(kind) is Literal
  return typing.get_args(kind) if is_choice else ()


def _is_a(value: Any, kind: type) -> bool:
  if kind is float:
    return isinstance(value, int | float) and not isinstance(value, bool)
  if kind is int:
    return isinstance(value, int) and not isinstance(value, bool)
  return isinstance(value, kind)
