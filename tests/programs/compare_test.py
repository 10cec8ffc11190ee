"""Tests of the page that compares runs."""

import html
import json
import pathlib
import re
import urllib.parse

import pytest
import shrunk
from small_comparisons import make_run, make_table

from magvit3d import compare
from magvit3d.evaluation.tables import Cell
from magvit3d.report import compared_runs

_SCRIPT = "<script>alert('&')</script>"


@pytest.fixture
def two(tmp_path):
  """Runs of the same data; the first has the better PSNR, not ADE."""
  make_run(tmp_path / "a", [make_table(22.5, Cell(0.15, 0.1, 0.2))], loss=1.0)
  make_run(tmp_path / "b", [make_table(21.5, Cell(0.12, 0.1, 0.2))])
  return [tmp_path / "a", tmp_path / "b"]


def _page(folders, name="page.html"):
  output = folders[0].parent / name
  assert compare.main([*map(str, folders), f"--output={output}"]) == 0
  return output.read_text(encoding="utf-8")


def _lines(page, section="scores"):
  """Cells of each row of a section, as text; best ones have a star."""
  start = page.index(f'<section id="{section}">')
  part = page[start : page.index("</section>", start)]
  lines = []
  for row in re.findall(r"<tr[^>]*>(.*?)</tr>", part):
    cells = re.findall(r"<t[dh]([^>]*)>(.*?)</t[dh]>", row)
    lines.append(
      [
        html.unescape(re.sub("<[^>]*>", "", text)) + "*" * ("best" in style)
        for style, text in cells
      ]
    )
  return lines


def _stars(page):
  return sum(cell.endswith("*") for line in _lines(page) for cell in line)


def test_scores_stand_side_by_side_and_the_best_is_marked(two):
  assert _lines(_page(two)) == [
    ["", "a", "b"],
    ["transformer"],
    ["PSNR, dB", "22.50*", "21.50"],
    ["ADE, m", "0.1500[0.1000, 0.2000]", "0.1200[0.1000, 0.2000]*"],
    ["perplexity", "7.500", "7.500"],
    ["copy of the last framebaseline"],
    ["PSNR, dB", "20.50", "20.50"],
    ["ADE, m", "0.3100", "0.3100"],
    ["perplexity", "1.000", "1.000"],
    ["floor: true frames"],
    ["PSNR, dB", "100.00", "100.00"],
    ["ADE, m", "0.0050", "0.0050"],
    ["perplexity", "–", "–"],
  ]
  assert 'class="warning"' not in _page(two)


def test_equal_scores_have_no_best(tmp_path):
  for name in "ab":
    make_run(tmp_path / name, [make_table(22.5, 0.15)])
  assert _stars(_page([tmp_path / "a", tmp_path / "b"])) == 0


def test_floors_have_no_best(tmp_path):
  for name, psnr in (("a", 30.0), ("b", 31.0)):
    table = make_table(22.5, 0.15)
    floor = {"name": "floor: reconstructions", "cells": [psnr, 0.05, None]}
    table["rows"].append(table["rows"][2] | floor)
    make_run(tmp_path / name, [table])
  page = _page([tmp_path / "a", tmp_path / "b"])
  assert ["PSNR, dB", "30.00", "31.00"] in _lines(page) and _stars(page) == 0


def test_a_score_that_is_not_finite_is_never_best(tmp_path):
  for name, psnr in zip("abc", (float("nan"), 20.0, 21.0), strict=True):
    make_run(tmp_path / name, [make_table(psnr, 0.15)])
  line = _lines(_page([tmp_path / name for name in "abc"]))[2]
  assert line == ["PSNR, dB", "not finite", "20.00", "21.00*"]


def test_tables_and_rows_of_one_run_alone_are_shown(two, tmp_path):
  older = make_table(23.5, 0.1)
  older["columns"][0]["unit"] = ""
  extra = make_table(1.0, 2.0, title="Only here")
  make_run(tmp_path / "c", [older, extra])
  lines = _lines(_page([*two, tmp_path / "c"]))
  assert lines[2] == ["PSNR, dB", "22.50*", "21.50", "–"]
  assert ["PSNR", "–", "–", "23.5"] in lines
  assert ["ADE, m", "–", "–", "2.0000"] in lines


def test_different_data_are_said_at_the_top_and_nothing_is_best(tmp_path):
  make_run(tmp_path / "a", [make_table(22.5, 0.15)])
  make_run(tmp_path / "b", [make_table(21.5, 0.12)], data_seed=4)
  page = _page([tmp_path / "a", tmp_path / "b"])
  warning = page.index("scored on different data")
  assert warning < page.index('id="checks"') and _stars(page) == 0
  (tmp_path / "b" / "data" / "manifest.json").unlink()
  page = _page([tmp_path / "a", tmp_path / "b"])
  assert "The data of b are not known" in page and _stars(page) == 0


@pytest.mark.parametrize(
  "change, warning",
  [
    ({"n": 48}, "Predicted: n differs (a: 96, b: 48)."),
    ({"split": "validation"}, "Predicted: split differs (a: test, b: val"),
    ({"copy": 20.6}, "Predicted: baselines differ (copy of the last frame)"),
  ],
)
def test_a_table_scored_otherwise_is_said_and_has_no_best(
  tmp_path, change, warning
):
  other = make_table(3.0, 4.0, title="Other")
  make_run(tmp_path / "a", [make_table(22.5, 0.15), other])
  other = make_table(2.0, 4.0, title="Other")
  make_run(tmp_path / "b", [make_table(21.5, 0.12, **change), other])
  page = _page([tmp_path / "a", tmp_path / "b"])
  assert warning in html.unescape(page[: page.index('id="checks"')])
  assert page.count("Not comparable:") == 1
  assert _stars(page) == 1 and ["PSNR, dB", "3.00*", "2.00"] in _lines(page)


def test_checks_configs_and_passports_stand_side_by_side(two, tmp_path):
  make_run(
    tmp_path / "c",
    [make_table(1.0, 2.0)],
    config={"train_transformer": {"batch_size": 16, "dropout": 0.1}},
  )
  page = _page([*two, tmp_path / "c"])
  (check,) = _lines(page, "checks")[1:]
  assert [re.sub(r"\s+", " ", cell) for cell in check] == [
    "Foreground PSNR",
    "1.00 dB failwanted at least 1.50 dB",
    "2.00 dB passwanted at least 1.50 dB",
    "2.00 dB passwanted at least 1.50 dB",
  ]
  assert _lines(page, "configuration")[1:] == [
    ["train_transformer.batch_size", "8", "8", "16"],
    ["train_transformer.num_steps", "30", "30", "–"],
    ["train_transformer.dropout", "–", "–", "0.1"],
  ]
  passports = _lines(page, "passports")
  for line in (
    ["transformer, steps", "30", "30", "30"],
    ["transformer, clips seen", "240", "240", "480"],
    ["transformer, tokens seen", "15,360", "15,360", "30,720"],
    ["commit", *["abc and uncommitted changes"] * 3],
    ["transformer", *["2 min"] * 3],
  ):
    assert line in passports
  assert "The runs have the same config" in _page(two)


def test_curves_of_all_runs_share_panels_and_keep_their_colours(tmp_path):
  make_run(tmp_path / "a", [], scalars=["train/loss"])
  make_run(tmp_path / "b", [], scalars=["train/loss", "validation/loss"])
  page = _page([tmp_path / "a", tmp_path / "b"])
  panels = {
    title: re.findall(r"#[0-9a-f]{6}", legend)
    for title, legend in re.findall(
      r"<figcaption><b>(.*?)</b>(.*?)</figcaption>", page
    )
  }
  assert list(panels) == ["loss, train", "loss, validation"]
  first, second = panels["loss, train"]
  assert first != second and panels["loss, validation"] == [first, second]
  shown = page[page.index(">loss, validation</b>") :]
  paths = re.findall(r'<path d="([^"]*)"[^>]*stroke="(#\w+)"', shown)
  assert [color for path, color in paths if path] == [second]


def test_links_lead_from_the_page_to_the_reports(tmp_path):
  folders = [tmp_path / "runs" / "a b#1", tmp_path / "c"]
  for folder in folders:
    make_run(folder, [], report=folder.name == "a b#1")
  output = tmp_path / "deep" / "er" / "page.html"
  assert compare.main([*map(str, folders), f"--output={output}"]) == 0
  page = output.read_text()
  (link,) = re.findall(r'href="([^"#]+)"', page)
  target = output.parent / urllib.parse.unquote(link)
  assert target.read_text() == "a report"
  assert "c has no report yet" in page


def test_the_page_loads_nothing_and_text_is_never_markup(tmp_path):
  table = make_table(1.0, 2.0, title=_SCRIPT)
  table["rows"][0]["name"] = table["columns"][0]["name"] = _SCRIPT
  table["note"] = table["split"] = table["columns"][1]["unit"] = _SCRIPT
  for name in ("a", "<u>"):
    make_run(
      tmp_path / name,
      [table],
      config={_SCRIPT: name + _SCRIPT},
      scalars=[f"train/{_SCRIPT}", f"{_SCRIPT}/loss"],
    )
  page = _page([tmp_path / "a", tmp_path / "<u>"])
  for word in ("<script", "<u>", "://", "@import", "url(", "src="):
    assert word not in page
  assert "default-src 'none'" in page and page.count("&lt;script&gt;") > 10


def test_older_scores_are_compared_with_those_of_today(two, tmp_path):
  """Older texts are as exact as what is shown: baselines do not differ."""
  table = {
    "title": "Predicted",
    "split": "test",
    "n": 96,
    "columns": ["", "PSNR, dB", "ADE, m"],
    "rows": [
      ["transformer", 21.0, "0.1100 [0.1000, 0.1200]"],
      ["copy of the last frame", 20.5, "0.3100"],
    ],
    "baselines": ["copy of the last frame"],
  }
  make_run(tmp_path / "c", [])
  path = tmp_path / "c" / "evaluation" / "scores.json"
  path.write_text(json.dumps({"tables": [table]}))
  page = _page([*two, tmp_path / "c"])
  assert _lines(page)[2:4] == [
    ["PSNR, dB", "22.50*", "21.50", "21.00"],
    [
      "ADE, m",
      "0.1500[0.1000, 0.2000]",
      "0.1200[0.1000, 0.2000]",
      "0.1100[0.1000, 0.1200]*",
    ],
  ]
  assert "Not comparable" not in page


def test_names_have_as_many_parents_as_tell_them_apart():
  paths = map(pathlib.Path, ("/x/a", "/y/a", "/z/y/a", "/x/b"))
  names = compared_runs.short_names(list(paths))
  assert names == ["x/a", "/y/a", "z/y/a", "b"]


def _fail(capsys, *arguments):
  assert compare.main(list(map(str, arguments))) == 1
  return capsys.readouterr().err


def test_runs_that_cannot_be_compared_are_named(two, tmp_path, capsys):
  a, b = two
  output = f"--output={tmp_path / 'page.html'}"
  assert "two or more runs" in _fail(capsys, a, output)
  (tmp_path / "link").symlink_to(a)
  assert "the same folder" in _fail(capsys, a, tmp_path / "link", output)
  for folder in (tmp_path, tmp_path / "missing", a / "config.json"):
    error = _fail(capsys, a, folder, output)
    assert f"{folder} is no work folder of a run" in error
  scores = b / "evaluation" / "scores.json"
  text = scores.read_text()
  for damaged in (text[:50], "[]"):
    scores.write_text(damaged)
    assert f"{scores} cannot be read" in _fail(capsys, a, b, output)
  scores.unlink()
  error = _fail(capsys, a, b, output)
  assert f"{b} has no scores yet" in error and "stages=evaluate" in error
  assert not (tmp_path / "page.html").exists()


def test_an_output_that_cannot_be_is_refused(two, tmp_path, capsys):
  assert "is a folder" in _fail(capsys, *two, f"--output={tmp_path}")
  report = two[1] / "report" / "index.html"
  assert "is the report of b" in _fail(capsys, *two, f"--output={report}")
  assert report.read_text() == "a report"
  below = two[0] / "config.json" / "page.html"
  assert "cannot be written" in _fail(capsys, *two, f"--output={below}")


def test_the_command_of_the_documents_runs(tmp_path, monkeypatch):
  commands = [
    re.findall(r"python -m (magvit3d.compare runs/a .*)", path.read_text())
    for path in (
      shrunk.ROOT / "docs" / "training.md",
      shrunk.ROOT / "docs" / "comparison.md",
    )
  ]
  assert commands[0] == commands[1]
  (command,) = commands[0]
  for name in "ab":
    make_run(tmp_path / "runs" / name, [])
  monkeypatch.chdir(tmp_path)
  assert compare.main(command.split()[1:]) == 0
  assert (
    'href="runs/b/report/index.html"'
    in (tmp_path / "comparison.html").read_text()
  )
