"""Tests of the section of a comparison that shows a sweep."""

import re

import pytest
from small_comparisons import make_run, make_table

from magvit3d.report import compared_runs, comparison, swept_fields


def _runs(folder, scores, title="Predicted paths"):
  """Runs with an ADE each, by name."""
  for name, ade in scores.items():
    make_run(folder / name, [make_table(20.0, ade, title=title)])
  return compared_runs.load([folder / name for name in scores])


def _figures(html):
  return re.findall(r"<figure.*?</figure>", html)


def _names(figure):
  return re.findall(r"</i>([^<]*)</span>", figure)


def test_a_field_has_a_line_for_each_setting_of_the_others(tmp_path):
  swept = {
    f"{rate}{size}": {"a.rate": rate, "vqvae.size": size}
    for rate in ("1e-3", "2e-3")
    for size in ("96", "128")
  }
  runs = _runs(tmp_path, dict.fromkeys(swept, 0.1) | {"1e-396": 0.2})
  html = swept_fields.section(runs, swept)
  assert re.findall("<h3>(.*?)</h3>", html) == ["a.rate", "vqvae.size"]
  first, second = _figures(html)
  assert "Predicted paths: ADE, m (less is better)" in first
  assert _names(first) == ["size=96 (one seed)", "size=128 (one seed)"]
  assert _names(second) == ["rate=1e-3 (one seed)", "rate=2e-3 (one seed)"]
  # Numbers, not words: 96 is left of 128.
  assert second.index(">96</text>") < second.index(">128</text>")
  assert first.count("<path") == 2 and "V" not in first.split("<path")[1]


def test_seeds_are_a_mean_with_its_interval(tmp_path):
  swept = {
    f"{mode}{seed}": {"mode": mode, "seed": str(seed)}
    for mode in ("on", "off")
    for seed in range(3)
  }
  scores = dict(zip(swept, (0.1, 0.2, 0.3, 0.2, 0.2, 0.2), strict=True))
  (figure,) = _figures(swept_fields.section(_runs(tmp_path, scores), swept))
  assert _names(figure) == ["all (3 seeds)"]
  assert ">on</text>" in figure and ">off</text>" in figure
  assert figure.count('fill="#fff"') == 6  # Single runs.
  assert len(re.findall(r"M[\d.]+ [\d.]+V[\d.]+", figure)) == 2


def test_the_interval_is_students():
  # t of 0.975 with 2 degrees of freedom is 4.302653; s / sqrt(3) is 0.577350.
  low, high = swept_fields.mean_interval([1.0, 2.0, 3.0])
  assert (low, high) == pytest.approx((-0.484138, 4.484138), abs=1e-5)


def test_random_points_are_not_joined(tmp_path):
  swept = {
    f"r{number}": {"a": str(0.1 * number + 0.1), "b": str(number)}
    for number in range(8)
  }
  scores = {name: 0.1 + 0.01 * i for i, name in enumerate(swept)}
  first, second = _figures(swept_fields.section(_runs(tmp_path, scores), swept))
  assert _names(first) == _names(second) == ["single runs"]
  assert first.count('fill="#fff"') == 8 and 'd=""' in first


def test_heights_that_are_close_have_other_names(tmp_path):
  swept = {"x": {"a": "1"}, "y": {"a": "2"}}
  runs = _runs(tmp_path, {"x": 9.36911, "y": 9.36951})
  (figure,) = _figures(swept_fields.section(runs, swept))
  names = re.findall(r'text-anchor="end">(.*?)</text>', figure)
  assert len(names) > 3 and len(set(names)) == len(names)


def test_runs_without_headlines_show_what_they_have(tmp_path):
  swept = {"x": {"a": "1"}, "y": {"a": "2"}}
  runs = _runs(tmp_path, {"x": 0.1, "y": 0.2}, title="Mine")
  (figure,) = _figures(swept_fields.section(runs, swept))
  assert "Mine: PSNR, dB (more is better)" in figure
  alike = {"x": {"a": "1", "seed": "0"}, "y": {"a": "1", "seed": "1"}}
  assert "No field other than the seed" in swept_fields.section(runs, alike)


def test_of_several_models_the_first_is_named(tmp_path):
  """As of a study: its scores are not those of another run's other network."""
  swept = {name: {"a": name} for name in "xyz"}
  for name, model in zip("xyz", ("masked", "masked", "pooled"), strict=True):
    table = make_table(20.0, 0.1, title="Mine")
    table["rows"][0]["name"] = model
    make_run(tmp_path / name, [table])
  runs = compared_runs.load([tmp_path / name for name in "xyz"])
  masked, pooled = _figures(swept_fields.section(runs, swept))
  assert "Mine, masked: PSNR, dB" in masked
  assert "Mine, pooled: PSNR, dB" in pooled


def test_the_page_has_the_section_and_a_link_to_it(tmp_path):
  swept = {"x": {"a": "1"}, "y": {"a": "<b>"}}
  runs = _runs(tmp_path, {"x": 0.1, "y": 0.2})
  comparison.write(runs, tmp_path / "page.html", swept)
  page = (tmp_path / "page.html").read_text()
  assert '<a href="#swept">Swept fields</a>' in page
  assert '<section id="swept"><h2>Swept fields</h2>' in page
  assert "&lt;b&gt;" in page and "<b></text>" not in page
