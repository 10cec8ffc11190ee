"""The runs of a sweep: its points, and stages that several of them share.

Which fields decide the data set and the tokenizer is said here, the other way
round: those that only later stages read are listed, and all others count, so
that a new field makes runs share too little, never too much.
"""

import collections
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from magvit3d.cli import command_line
from magvit3d.config.run import RunConfig
from magvit3d.config.world_model import CAMERA
from magvit3d.errors import UserError

_MAX_NAME = 100  # Letters of a folder's name.
# Sections and fields that neither data nor tokenizer are made of.
_LATER = {
  "experiment_name",
  "stages",
  "compilation_cache_dir",
  "oracle_gate",
  "oracle_gate_db",
  "tokenizer_cache",
  "transformer",
  "tasks",
  "maskgvt",
  "lmgvt",
  "train_transformer",
  "evaluation",
}


@dataclasses.dataclass(frozen=True)
class Task:
  """A run in a work folder of its own.

  Attributes:
    name: Its folder in that of the sweep: points/NAME or shared/NAME.
    flags: For `magvit3d.main`, besides --workdir.
    stages: That it has at its end, in order.
    values: Of the swept fields; none of a shared run.
    source: Name of the task that it takes its first stages from, or None.
    config: Hash of the whole config that the flags make.
  """

  name: str
  flags: tuple[str, ...]
  stages: tuple[str, ...]
  values: dict[str, str] = dataclasses.field(default_factory=dict, hash=False)
  source: str | None = None
  config: str = ""


@dataclasses.dataclass(frozen=True)
class _Point:
  """A point before it is known what it shares.

  Attributes:
    task: Without a source.
    keys: What its first stages are made with, a hash by stage that others may
      have as well.
  """

  task: Task
  keys: dict[str, str]


def make(
  flags: Sequence[str], values: Sequence[Mapping[str, str]]
) -> list[Task]:
  """Returns the tasks of a sweep, sources before those that need them.

  Args:
    flags: --config and --config.FIELD=VALUE of all points.
    values: Of the swept fields, for each point.

  Raises:
    UserError: A field or value is wrong, or two points are the same.
  """
  names, documents = _names(values), {}
  points = []
  for name, swept in zip(names, values, strict=True):
    _check_given(flags, swept)
    own = tuple(f"--config.{field}={text}" for field, text in swept.items())
    try:
      document = command_line.read_config([*flags, *own])
      config = RunConfig.from_dict(document)
    except UserError as error:
      if not own:
        raise
      raise UserError(f"Point {name}: {error}") from error
    digest = _hash(document)
    same = documents.setdefault(digest, name)
    if same != name:
      raise UserError(
        f"Points {same} and {name} are the same run. Take one value out."
      )
    task = Task(
      f"points/{name}",
      (*flags, *own),
      _stages(config),
      dict(swept),
      config=digest,
    )
    points.append(_Point(task, _keys(config)))
  return _with_sources(points)


def _check_given(flags: Sequence[str], swept: Mapping[str, str]) -> None:
  for field in swept:
    given = next((f for f in flags if f.startswith(f"--config.{field}=")), None)
    if given:
      raise UserError(f"{given} is a field that --sweep names too. Drop one.")


def _stages(config: RunConfig) -> tuple[str, ...]:
  chosen = config.chosen_stages
  return tuple(name for name in config.all_stages if name in chosen)


def _keys(config: RunConfig) -> dict[str, str]:
  """Hashes of what decides the stages that may be shared, in their order."""
  stages, given, keys = _stages(config), config.given, {}
  makes_data = config.data is not None and not config.data.data_dir
  if makes_data:
    if "data" not in stages:
      return {}
    model = config.world_model
    moves_cameras = model is not None and model.action == CAMERA
    content = [given["data"], CAMERA] if moves_cameras else given["data"]
    keys["data"] = _hash(content)
  if "tokenizer" in stages:
    deciding = {k: v for k, v in given.items() if k not in _LATER}
    batch_size = config.evaluation and config.evaluation.batch_size
    keys["tokenizer"] = _hash([deciding, batch_size])  # Of its validation.
  return keys


def _hash(content: Any) -> str:
  text = json.dumps(content, sort_keys=True, default=repr)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_sources(points: Sequence[_Point]) -> list[Task]:
  """Makes a task of what several share, and says who takes what from whom."""
  tokenizers = _by_key(points, "tokenizer")
  shared, consumers = {}, []
  for point in points:
    key = point.keys.get("tokenizer")
    if key is None or len(tokenizers[key]) == 1:
      consumers.append(point)
    elif key not in shared:
      shared[key] = _share(point, "tokenizer", tuple(point.keys))
      consumers.append(shared[key])
  data = {
    key: _share(users[0], "data", ("data",))
    for key, users in _by_key(consumers, "data").items()
    if len(users) > 1
  }

  def connected(point: _Point) -> Task:
    source = None if point in shared.values() else point.keys.get("tokenizer")
    found = shared.get(source) or data.get(point.keys.get("data", ""))
    return dataclasses.replace(point.task, source=found and found.task.name)

  return [
    *(share.task for share in data.values()),
    *(connected(share) for share in shared.values()),
    *(connected(point) for point in points),
  ]


def _by_key(points: Sequence[_Point], stage: str) -> dict[str, list[_Point]]:
  groups = collections.defaultdict(list)
  for point in points:
    if stage in point.keys:
      groups[point.keys[stage]].append(point)
  return groups


def _share(point: _Point, stage: str, stages: tuple[str, ...]) -> _Point:
  """The run of `stages` alone, as `point` has them."""
  name = f"shared/{stage}-{point.keys[stage]}"
  chosen = f"--config.stages={','.join(stages)}"
  flags = tuple(f for f in point.task.flags if "--config.stages=" not in f)
  task = Task(name, (*flags, chosen), stages, config=point.task.config)
  return _Point(task, point.keys)


def _names(values: Sequence[Mapping[str, str]]) -> list[str]:
  """Folders of the points: a number, and what they differ by."""
  short = short_names(list(values[0]))
  width = len(str(len(values) - 1))
  names = []
  for number, swept in enumerate(values):
    parts = [f"{short[field]}={text}" for field, text in swept.items()]
    label = re.sub(r"[^\w.=+-]+", "_", ",".join(parts).replace(",", "-"))
    names.append(f"{number:0{width}d}-{label}"[:_MAX_NAME])
  return names


def short_names(fields: Sequence[str]) -> dict[str, str]:
  """Returns the ends of the fields' names that no other one has."""
  return {field: _short(field, fields) for field in fields}


def _short(field: str, fields: Sequence[str]) -> str:
  """The end of a field's name that no other one has."""
  parts = field.split(".")
  for num in range(1, len(parts)):
    end = ".".join(parts[-num:])
    if sum(f == end or f.endswith(f".{end}") for f in fields) == 1:
      return end
  return field
