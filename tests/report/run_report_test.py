"""Tests of the report, on work folders made here."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from report_inputs import (
  FRAMES,
  SCRIPT,
  make_clips,
  make_paths,
  make_workdir,
)

from magvit3d.report import run_report

_SECTIONS = (
  "Motions",
  "Paths",
  "Checks",
  "Scores",
  "Plots",
  "Confusion",
  "Galleries",
  "Reconstruction",
  "Prediction",
  "Samples",
  "Training",
  "Data",
  "Stages",
  "Passport",
  "Configuration",
)


class _Page(html.parser.HTMLParser):
  """Tags with their attributes, and the text outside of <style>."""

  def __init__(self, source):
    super().__init__()
    self.tags, self.text = [], ""
    self.feed(source)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  make_workdir(workdir)
  path = run_report.write_report(workdir)
  assert path == workdir / "report" / "index.html"
  return path.read_text(encoding="utf-8")


def _images(source):
  for data in re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", source):
    yield Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_page_loads_nothing(page):
  loading = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
  for tag, attributes in _Page(page).tags:
    assert tag not in ("link", "iframe", "object", "base")
    for name in loading & attributes.keys():
      assert attributes[name].startswith(("#", "data:")), (tag, name)
  for word in ("://", "@import", "url("):
    assert word not in page


def test_every_section_is_there_and_none_is_missing_a_file(page):
  parsed = _Page(page)
  ids = {a.get("id") for tag, a in parsed.tags if tag == "section"}
  targets = {a["href"][1:] for tag, a in parsed.tags if tag == "a"}
  assert targets == {section.lower() for section in _SECTIONS} == ids
  assert 'class="missing"' not in page
  for text in ("1 of 2 checks hold", "2 h 07 min", "1,234,567", "34.57"):
    assert text in parsed.text
  assert "test split, n = 1000" in parsed.text
  assert "2 h 05 min" in parsed.text


def test_moving_pairs_and_paths_come_before_any_table(page):
  sections = re.findall(r'<section id="(\w+)">', page)
  assert sections[:4] == ["motions", "paths", "checks", "scores"]
  first = page[: page.index('<section id="paths">')]
  images = list(_images(first))
  assert len(images) == 4 == first.count('<figure class="strip"')
  assert {image.info["loop"] for image in images} == {0}
  # Side by side, each with a border: wider than two clips, one high.
  assert all(image.width > 2 * 32 and image.height < 48 for image in images)
  for name in ("linear", "helical", "parabolic", "zigzag"):
    assert f"<figcaption>{name}</figcaption>" in first
  assert "first 4 of 8 frames" in first and 'class="key predicted"' in first
  assert "ADE 0.010 m" in first and 'data-scene="100"' in first


def test_a_warning_is_the_first_sentence(tmp_path):
  make_workdir(tmp_path, num_clips=1)
  path = tmp_path / "evaluation" / "scores.json"
  scores = json.loads(path.read_text())
  scores["warning"] = "The prediction is worse than <copying>."
  path.write_text(json.dumps(scores))
  source = run_report.write_report(tmp_path).read_text(encoding="utf-8")
  lead = re.search(r'<p class="lead">(.*?)</p>', source)[1]
  assert lead.startswith(
    '<strong class="warning">The prediction is worse than &lt;copying&gt;.'
    "</strong> 1 of 2 checks hold."
  )


def test_a_check_that_was_not_measured_says_so(tmp_path):
  make_workdir(tmp_path, num_clips=1)
  path = tmp_path / "evaluation" / "scores.json"
  scores = json.loads(path.read_text())
  scores["checks"] += [
    {
      "name": "Probes",
      "value": None,
      "threshold": 0.9,
      "comparison": ">=",
      "passed": False,
      "unit": "",
    },
    {
      "name": "Motion",
      "value": 0.25,
      "threshold": None,
      "comparison": "<",
      "passed": False,
      "unit": "m",
    },
  ]
  path.write_text(json.dumps(scores))
  source = run_report.write_report(tmp_path).read_text(encoding="utf-8")
  assert "1 of 4 checks hold." in source
  cards = source.split('<div class="check ')[1:]
  text = [re.sub("<[^>]*>", " ", f"<{card}").split() for card in cards]
  assert text[2][:8] == "Probes – not measured wanted: at least 0.9000".split()
  assert text[3][:5] == "Motion 0.2500 m not measured".split()
  assert "what was not measured" in cards[3]


def test_text_of_a_run_is_never_markup(page):
  scripts = [a for tag, a in _Page(page).tags if tag == "script"]
  assert scripts == [{"type": "application/json", "id": "path-data"}, {}]
  assert SCRIPT not in page
  # Config, stage, table note, row name, check, two matrices, a plot's note and
  # line, and each strip's caption.
  assert _Page(page).text.count(SCRIPT) == 5 + 4 + 2 * 3


def test_baselines_are_marked(page):
  rows = re.findall(r'<tr class="baseline"><td>([^<]*)', page)
  assert rows == [
    "background only",
    "copy of the first frame",
    "constant velocity",
  ]


def test_nan_and_null_are_shown_as_words(page):
  assert not re.search(r"\bnan\b", _Page(page).text, re.IGNORECASE)
  drawings = re.findall("<svg.*?</svg>", page, re.DOTALL)
  assert len(drawings) > 8 and "NaN" not in "".join(drawings)
  assert "<td>not finite</td>" in page and "<td>–</td>" in page


def test_each_animation_has_as_many_frames_as_its_clips(page):
  counts = [image.n_frames for image in _images(page)]
  assert counts == [FRAMES] * (4 + 3 + 3 + 12 + 36)
  assert all(image.info["loop"] == 0 for image in _images(page))


def test_half_a_run_gives_a_report_that_names_what_is_missing(tmp_path):
  page = run_report.write_report(tmp_path).read_text(encoding="utf-8")
  text = _Page(page).text
  for name in (
    "config.json",
    "stages.json",
    "tokenizer/metrics.jsonl",
    "transformer/metrics.jsonl",
    "evaluation/scores.json",
    "evaluation/clips.npz",
    "evaluation/paths.npz",
    "data/preview.png",
  ):
    assert name in text
  for section in _SECTIONS:
    assert f'id="{section.lower()}"' in page


@pytest.mark.variants
@pytest.mark.parametrize(
  "name",
  [
    "config.json",
    "stages.json",
    "evaluation/scores.json",
    "evaluation/clips.npz",
    "evaluation/paths.npz",
    "data/preview.png",
  ],
)
def test_a_broken_file_is_named_and_the_rest_is_shown(tmp_path, name):
  make_workdir(tmp_path, num_clips=1)
  data = (tmp_path / name).read_bytes()
  (tmp_path / name).write_bytes(data[: len(data) // 2])
  page = run_report.write_report(tmp_path).read_text(encoding="utf-8")
  notes = re.findall(r'class="missing">([^<]*)', page)
  assert notes and all(name in note for note in notes)


def test_clips_without_predictions_say_so(tmp_path):
  (tmp_path / "evaluation").mkdir()
  clips = make_clips(np.random.default_rng(0), 1)
  np.savez(
    tmp_path / "evaluation" / "clips.npz",
    **{"reconstruction/real": clips, "reconstruction/reconstructed": clips},
  )
  page = run_report.write_report(tmp_path).read_text(encoding="utf-8")
  assert len(list(_images(page))) == 1
  assert "clips.npz has no prediction/real" in page
  assert "clips.npz has no samples/frames" in page


def test_the_old_report_stays_when_a_new_one_cannot_be_written(
  tmp_path, monkeypatch
):
  path = run_report.write_report(tmp_path)
  before = path.read_bytes()

  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr("os.replace", fail)
  with pytest.raises(OSError, match="disk full"):
    run_report.write_report(tmp_path)
  assert path.read_bytes() == before
  assert [p.name for p in path.parent.iterdir()] == ["index.html"]


@pytest.mark.slow
def test_twelve_clips_of_128_pixels_stay_below_ten_megabytes(tmp_path):
  make_workdir(tmp_path, num_clips=12, size=128, frames=16)
  path = tmp_path / "evaluation" / "clips.npz"
  clips = dict(np.load(path))
  for name in ("view_prediction", "view_frame_prediction"):
    for key in ("real", "reconstructed", "predicted", "copy_last"):
      clips[f"{name}/{key}"] = clips[f"prediction/{key}"]
  np.savez(path, **clips)
  paths = make_paths(num_scenes=200, num_frames=16)
  np.savez_compressed(tmp_path / "evaluation" / "paths.npz", **paths)
  assert run_report.write_report(tmp_path).stat().st_size < 10e6


def test_why_there_are_no_paths_is_told(tmp_path):
  make_workdir(tmp_path)
  evaluation = tmp_path / "evaluation"
  (evaluation / "paths.npz").unlink()
  scores = json.loads((evaluation / "scores.json").read_text())
  scores["why_no_paths"] = "One camera cannot tell <where> an object is."
  (evaluation / "scores.json").write_text(json.dumps(scores))
  source = run_report.write_report(tmp_path).read_text(encoding="utf-8")
  assert (
    "There are no paths in metres. One camera cannot tell &lt;where&gt; an "
    "object is."
  ) in source
