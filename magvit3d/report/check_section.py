"""The report's head: what a run has to reach, and whether it did."""

import html
from collections.abc import Mapping
from typing import Any

from magvit3d.evaluation import checks
from magvit3d.report.page_texts import column_decimals, say_missing, value_text

_BADGES = {"pass": "good", "fail": "bad", "not measured": "bad"}


def lead(scores: Mapping[str, Any]) -> list[str]:
  """Returns sentences as HTML: a warning, if any, and how many checks hold."""
  sentences = []
  if scores.get("warning"):
    warning = html.escape(str(scores["warning"]))
    sentences.append(f'<strong class="warning">{warning}</strong>')
  found = as_checks(scores.get("checks"))
  if found:
    passed = sum(verdict(check) == "pass" for check in found)
    sentences.append(f"{passed} of {len(found)} checks hold.")
  return sentences


def as_checks(found: object) -> list[dict[str, Any]]:
  """Returns the checks of a file that may hold anything."""
  entries = found if isinstance(found, list) else []
  return [entry for entry in entries if isinstance(entry, dict)]


def verdict(check: Mapping[str, Any]) -> str:
  """Returns "pass", "fail" or "not measured"."""
  if check.get("passed") is True:
    return "pass"
  is_known = None not in (check.get("value"), check.get("threshold"))
  return "fail" if is_known else "not measured"


def badge(check: Mapping[str, Any]) -> str:
  """Returns the verdict as HTML."""
  word = verdict(check)
  return f'<span class="badge {_BADGES[word]}">{word}</span>'


def texts(check: Mapping[str, Any]) -> tuple[str, str]:
  """Returns as HTML what was measured, and what is wanted."""
  numbers = check.get("value"), check.get("threshold")
  unit = str(check.get("unit") or "")
  decimals = column_decimals(unit, numbers)
  value, threshold = (
    "–" if number is None else f"{value_text(number, decimals)} {unit}".strip()
    for number in numbers
  )
  if numbers[1] is None:
    threshold = "what was not measured"
  comparison = str(check.get("comparison"))
  wanted = f"{checks.WANTED.get(comparison, comparison)} {threshold}"
  return html.escape(value), html.escape(wanted)


def section(found: object) -> str:
  """Returns a card a check."""
  cards = []
  for check in as_checks(found):
    value, wanted = texts(check)
    word = verdict(check)
    cards.append(
      f'<div class="check {"pass" if word == "pass" else "fail"}">'
      f'<div class="name">{html.escape(str(check.get("name")))}</div>'
      f'<div class="value">{value}</div>'
      f'<div class="wanted">{badge(check)} wanted: {wanted}</div></div>'
    )
  if not cards:
    return say_missing("evaluation/scores.json has no checks.")
  return f'<div class="checks">{"".join(cards)}</div>'
