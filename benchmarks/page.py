"""docs/performance.md, made of benchmarks/history.jsonl.

python -m benchmarks.page
"""

import json
import pathlib
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.cases import CASES, OURS, REFERENCE, TORCH, Case
from magvit3d.files import atomic_file

ROOT = pathlib.Path(__file__).parents[1]
HISTORY = ROOT / "benchmarks" / "history.jsonl"
PAGE = ROOT / "docs" / "performance.md"
_INTRODUCTION = ROOT / "benchmarks" / "page_introduction.md"
_MIB = 2**20
# A training loop whose memory is kept asks the kernel for none.
_FEW_FAULTS = 1000
# Of a case's results, what the history keeps of each formulation.
_KEPT = (
  "seconds",
  "items_per_second",
  "compile_s",
  "peak_bytes",
  "page_faults",
  "cores_used",
  "flops",
)


def compared(case: Case, found: Mapping[str, dict]) -> dict[str, Any]:
  """Returns a case's results: formulations, ratios, and targets missed."""
  result: dict[str, Any] = {"formulations": dict(found)}
  ours = found[OURS]
  for name in (REFERENCE, TORCH):
    if name in found:
      result[f"over_{name}"] = found[name]["seconds"] / ours["seconds"]
  result["missed"] = list(_missed(case, result))
  return result


def _missed(case: Case, result: Mapping[str, Any]) -> Iterable[str]:
  ours = result["formulations"][OURS]
  reference = result["formulations"].get(REFERENCE)
  rate = ours["items_per_second"]
  over_torch = result.get(f"over_{TORCH}")
  over_reference = result.get(f"over_{REFERENCE}")
  if case.min_over_reference and over_reference is not None:
    if over_reference < case.min_over_reference:
      wanted = case.min_over_reference
      yield f"{over_reference:.2f} x the reference, wanted {wanted}"
  if case.min_over_torch and over_torch is not None:
    if over_torch < case.min_over_torch:
      yield f"{over_torch:.2f} x PyTorch, wanted {case.min_over_torch}"
  if case.min_rate and rate < case.min_rate:
    yield f"{rate:.0f} {case.item}/s, wanted {case.min_rate:.0f}"
  if case.kind in ("tokenizer", "transformer"):
    if ours["page_faults"] > _FEW_FAULTS:
      yield f"{ours['page_faults']:.0f} page faults a step, wanted none"
    if reference and ours["compile_s"] > reference["compile_s"] / 2:
      yield (
        f"compiled in {ours['compile_s']:.1f} s, wanted half of the "
        f"reference's {reference['compile_s']:.1f}"
      )


def with_shares(found: dict[str, Any], peak: float) -> dict[str, Any]:
  """Adds what each case reaches of the machine's peak.

  FLOPs are those of the reference, so that no formulation is paid for doing
  more than it must.
  """
  for result in found.values():
    reference = result["formulations"].get(REFERENCE, {})
    if reference.get("flops"):
      rate = reference["flops"] / result["formulations"][OURS]["seconds"]
      result |= {"flops_per_second": rate, "share_of_peak": rate / peak}
  return found


def line(name: str, result: Mapping[str, Any]) -> str:
  """Returns what is said as soon as a case is measured."""
  told = ", ".join(
    f"{key} {formulation['seconds'] * 1e3:.1f} ms"
    for key, formulation in result["formulations"].items()
  )
  return f"{name}: {told}"


def _rows(results: Mapping[str, Any]) -> Iterable[list[str]]:
  yield [
    "Case",
    "ms",
    "a second",
    "reference, ms",
    "x reference",
    "PyTorch, ms",
    "x PyTorch",
    "GFLOP/s",
    "of peak",
    "compiled, s (reference)",
    "memory, MiB (reference)",
    "page faults (reference)",
  ]
  for name, result in results["cases"].items():
    case, found = CASES[name], result["formulations"]
    ours = found[OURS]
    reference = found.get(REFERENCE, {})
    torch = found.get(TORCH, {})
    rate = result.get("flops_per_second")
    yield [
      case.title,
      _number(ours["seconds"] * 1e3),
      f"{_number(ours['items_per_second'])} {case.item}",
      _milliseconds(reference),
      _ratio(result.get(f"over_{REFERENCE}")),
      _milliseconds(torch),
      _ratio(result.get(f"over_{TORCH}")),
      _number(rate / 1e9) if rate else "",
      f"{result['share_of_peak']:.2f}" if rate else "",
      _both(ours, reference, "compile_s", 1),
      _both(ours, reference, "peak_bytes", _MIB),
      _both(ours, reference, "page_faults", 1),
    ]


def _wrapped(text: str) -> str:
  """Lines as those of other documents."""
  indent = "  " if text.startswith("- ") else ""
  return textwrap.fill(
    text, 88, subsequent_indent=indent, break_on_hyphens=False
  )


def _number(value: float) -> str:
  return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
  return "" if value is None else f"{value:.2f}"


def _milliseconds(formulation: Mapping[str, Any]) -> str:
  seconds = formulation.get("seconds")
  return "" if seconds is None else _number(seconds * 1e3)


def _both(ours, reference, key: str, unit: float) -> str:
  if key not in ours:
    return ""
  text = _number(ours[key] / unit)
  return f"{text} ({_number(reference[key] / unit)})" if reference else text


def table(results: Mapping[str, Any]) -> str:
  """Returns all cases as a table in Markdown, and the targets missed."""
  head, *rows = _rows(results)
  lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
  machine = results["machine"]
  peak = results["peak_flops_per_second"] / 1e9
  title = (
    f"{machine['processor']}, {machine['cores']} cores"
    if machine["device"] == "cpu"
    else machine["kind"]
  )
  missed = [
    _wrapped(f"- {CASES[name].title}: {'; '.join(result['missed'])}.")
    for name, result in results["cases"].items()
    if result["missed"]
  ]
  versions = f"Python {machine['python']}, jax {machine['jax']}"
  if machine.get("onednn"):
    versions += f", oneDNN {machine['onednn']}"
  if machine.get("jemalloc"):
    versions += ", jemalloc"
  text = [
    _wrapped(
      f"{title}; {versions}; commit {results['commit']}, "
      f"{results['date']}; medians of {results['rounds']} "
      f"turns; products of matrices reach {peak:.0f} GFLOP/s."
    ),
    "",
    *(f"| {' | '.join(cells)} |" for cells in lines),
  ]
  if missed:
    text += ["", "Targets missed:", "", *missed]
  return "\n".join(text)


def add_to_history(results: Mapping[str, Any]) -> None:
  """Adds a line to the history, without the times of single calls."""
  cases = {
    name: {
      **result,
      "formulations": {
        key: {k: v for k, v in formulation.items() if k in _KEPT}
        for key, formulation in result["formulations"].items()
      },
    }
    for name, result in results["cases"].items()
  }
  entry = json.dumps({**results, "cases": cases})
  before = HISTORY.read_text() if HISTORY.is_file() else ""
  atomic_file.write_text(HISTORY, before + entry + "\n")


def history() -> list[dict[str, Any]]:
  """Returns the entries, the oldest first."""
  return [json.loads(text) for text in HISTORY.read_text().splitlines()]


def make_page() -> str:
  """Returns the page's text."""
  entries = history()
  text = [_INTRODUCTION.read_text().rstrip(), "", "## Now", ""]
  newest = {entry["machine"]["device"]: entry for entry in entries}
  for device, entry in sorted(newest.items()):
    text += [f"### {device.upper()}", "", table(entry), ""]
  if "gpu" not in newest:
    text += ["### GPU", "", "Not measured: no GPU was at hand.", ""]
  older = [e for e in entries if e is not newest[e["machine"]["device"]]]
  text += ["## Before", "", *_trend(older)]
  return "\n".join(text).rstrip() + "\n"


def _trend(entries: Iterable[Mapping[str, Any]]) -> list[str]:
  lines = ["| Commit | Date | Device | Case | ms | x reference | x PyTorch |"]
  lines.append("| --- | --- | --- | --- | ---: | ---: | ---: |")
  for entry in entries:
    for name, result in entry["cases"].items():
      cells = [
        str(entry["commit"]),
        entry["date"],
        entry["machine"]["device"],
        CASES[name].title,
        _milliseconds(result["formulations"][OURS]),
        _ratio(result.get(f"over_{REFERENCE}")),
        _ratio(result.get(f"over_{TORCH}")),
      ]
      lines.append(f"| {' | '.join(cells)} |")
  return lines


if __name__ == "__main__":
  atomic_file.write_text(PAGE, make_page())
