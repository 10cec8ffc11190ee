"""Tables of scores, as the evaluation makes and `scores.json` holds them."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

SCHEMA_VERSION = 2  # Of scores.json; files without one are older.
# What is better; None: neither. "by row": each row says it.
Direction = Literal["higher", "lower", "by row"] | None
_DIRECTIONS = ("higher", "lower", "by row", None)
# A baseline needs no network; a floor is what a perfect one could reach.
Role = Literal["model", "baseline", "floor"]
_ROLES = ("model", "baseline", "floor")


@dataclasses.dataclass(frozen=True)
class Cell:
  """A score.

  Attributes:
    value: None where there is none; NaN if it came out so.
    low: Lower end of its 95% interval; None without one.
    high: Upper end.

  Raises:
    ValueError: One of them is no number.
  """

  value: int | float | None
  low: int | float | None = None
  high: int | float | None = None

  def __post_init__(self):
    for number in (self.value, self.low, self.high):
      is_number = isinstance(number, int | float)
      if number is not None and (isinstance(number, bool) or not is_number):
        raise ValueError(f"{number!r} is no number")


@dataclasses.dataclass(frozen=True)
class Column:
  """What a column's cells are.

  Attributes:
    name: Of the score, without its unit.
    unit: "m", "px", "dB"; "" for none.
    direction: What is better.
  """

  name: str
  unit: str
  direction: Direction

  def __post_init__(self):
    if self.direction not in _DIRECTIONS:
      raise ValueError(f"{self.direction!r} is no direction")

  @property
  def heading(self) -> str:
    """Name and unit."""
    return f"{self.name}, {self.unit}" if self.unit else self.name


@dataclasses.dataclass(frozen=True)
class Row:
  """Scores of one thing.

  Attributes:
    name: Of what is scored.
    role: What it is scored for.
    cells: One a column.
    direction: What is better, in columns whose direction is "by row".
  """

  name: str
  role: Role
  cells: tuple[Cell, ...]
  direction: Direction = None

  def __post_init__(self):
    if self.role not in _ROLES or self.direction not in _DIRECTIONS:
      raise ValueError(f"{self.role!r}, {self.direction!r} are of no row")

  @classmethod
  def of(
    cls,
    name: str,
    role: Role,
    values: Iterable[int | float | Cell | None],
    direction: Direction = None,
  ) -> "Row":
    """Returns a row of numbers, or of cells with intervals."""
    cells = (v if isinstance(v, Cell) else Cell(v) for v in values)
    return cls(name, role, tuple(cells), direction)


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of scores.

  Attributes:
    title: Of the table.
    note: What one must know to read it.
    split: On which it was measured; None: not known.
    n: Samples; None: not known.
    columns: Of the scores.
    rows: With as many cells.
    row_heading: Heading of the rows' names.
    unit: Of all columns, where the title says it and they do not.

  Raises:
    ValueError: A row has other cells than there are columns.
  """

  title: str
  note: str
  split: str | None
  n: int | None
  columns: tuple[Column, ...]
  rows: tuple[Row, ...]
  row_heading: str = ""
  unit: str = ""

  def __post_init__(self):
    if any(len(row.cells) != len(self.columns) for row in self.rows):
      raise ValueError(f"{self.title}: a row has not a cell a column")

  def direction(self, column: Column, row: Row) -> Direction:
    """Returns what is better in a cell."""
    is_by_row = column.direction == "by row"
    return row.direction if is_by_row else column.direction

  def to_json(self) -> dict[str, Any]:
    """Returns the table, as for JSON.

    A cell is a number or null; with an interval `value`, `low` and `high`.
    """
    content = dataclasses.asdict(self)
    for entry in content["rows"]:
      entry["cells"] = [
        cell["value"] if cell["low"] is None else cell
        for cell in entry["cells"]
      ]
    lists = {name: list(content[name]) for name in ("columns", "rows")}
    return content | lists

  @classmethod
  def from_json(cls, content: Any) -> "Table":
    """Returns the table of `to_json`.

    Raises:
      ValueError: It is none.
    """
    try:
      split, n = content["split"], content["n"]
      return cls(
        str(content["title"]),
        str(content["note"]),
        None if split is None else str(split),
        None if n is None else int(n),
        tuple(
          Column(str(entry["name"]), str(entry["unit"]), entry["direction"])
          for entry in content["columns"]
        ),
        tuple(
          Row.of(
            str(entry["name"]),
            entry["role"],
            [Cell(**c) if isinstance(c, dict) else c for c in entry["cells"]],
            entry["direction"],
          )
          for entry in content["rows"]
        ),
        str(content["row_heading"]),
        str(content["unit"]),
      )
    except (KeyError, TypeError, OverflowError) as error:
      raise ValueError(f"a table cannot be read ({error!r})") from error
