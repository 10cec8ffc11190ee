"""Tests of the report, on work folders made here."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from magvit3d.evaluation import report

_FRAMES = 8
_SCRIPT = "<script>alert('&')</script>"
_SECTIONS = (
  "Checks",
  "Scores",
  "Reconstruction",
  "Prediction",
  "Samples",
  "Training",
  "Data",
  "Stages",
  "Passport",
  "Configuration",
)


def make_clips(rng, *lead, size=32, frames=_FRAMES):
  """A square that moves over a plain background: (*lead, t, size, size, 3)."""
  clips = np.full((*lead, frames, size, size, 3), (226, 230, 235), np.uint8)
  for index in np.ndindex(*lead):
    color = rng.integers(0, 200, 3)
    side = size // 4
    start, end = rng.integers(0, size - side, (2, 2))
    for frame, share in enumerate(np.linspace(0, 1, frames)):
      y, x = np.round(start + share * (end - start)).astype(int)
      clips[(*index, frame)][y : y + side, x : x + side] = color
  return clips


def make_workdir(workdir, num_clips=3, size=32, frames=_FRAMES):
  rng = np.random.default_rng(0)

  def noisy(clips):
    noise = rng.normal(0, 8, clips.shape)
    return np.clip(clips + noise, 0, 255).astype(np.uint8)

  def write(name, value):
    path = workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

  write(
    "config.json",
    {
      "experiment_name": "traj3d",
      "note": _SCRIPT,
      "data": {"batch_size": 64, "image_size": size},
    },
  )
  write(
    "stages.json",
    {
      "data": {
        "status": "done",
        "seconds": 12.3,
        "started": "2026-11-20T20:00",
      },
      "tokenizer": {"status": "done", "seconds": 7500, "started": "21:00"},
      "transformer": {"status": "failed", "seconds": 90, "reason": _SCRIPT},
      "report": {"status": "running"},
    },
  )
  write(
    "evaluation/scores.json",
    {
      "tables": [
        {
          "title": "Reconstruction",
          "note": f"Foreground: the mask dilated by 2 {_SCRIPT}",
          "split": "test",
          "n": 1000,
          "columns": ["clips", "PSNR (dB)", "SSIM", "foreground PSNR (dB)"],
          "rows": [
            ["tokenizer", 34.56789, 0.9812, 24.3],
            ["background only", 25.1, 0.93, float("nan")],
            ["copy of the first frame", 27.3, 0.95, None],
          ],
        },
        {
          "title": "3D trajectory error",
          "note": "",
          "split": "test",
          "n": 1000,
          "columns": ["ADE (m)", "FDE (m)"],
          "rows": [
            [f"prediction {_SCRIPT}", 0.0123, 0.034],
            ["true frames", 0.0021, 0.0022],
            ["constant velocity", 0.151, 0.34],
          ],
        },
      ],
      "checks": [
        {
          "name": "Foreground PSNR of the reconstruction",
          "value": 24.3,
          "threshold": 22,
          "comparison": ">=",
          "passed": True,
          "unit": "dB",
        },
        {
          "name": f"Token error {_SCRIPT}",
          "value": float("nan"),
          "threshold": 0.5,
          "comparison": "<=",
          "passed": False,
          "unit": "",
        },
      ],
      "run": {
        "devices": "2 x CPU",
        "parameters": {"tokenizer": 1234567, "transformer": 7654321},
        "code_version": "abc1234",
        "date": "2026-11-20 22:00",
      },
    },
  )
  for stage, keys in {
    "tokenizer": ("g_loss", "d_loss", "code_perplexity", "reconstruction_loss"),
    "transformer": ("loss", "accuracy", "learning_rate", "steps_per_second"),
  }.items():
    lines = []
    for step in range(10, 2010, 10):
      record = {"step": step, "time": 1e9 + step}
      for key in keys:
        record[f"train/{key}"] = 30 * np.exp(-step / 300) + rng.uniform(
          0.1, 0.3
        )
      if step == 50:
        record[f"train/{keys[0]}"] = float("nan")
      if step % 200 == 0:
        score = 20 + step / 300
        record |= {"validation/psnr": score, "validation/accuracy": 0.3}
      lines.append(json.dumps(record))
    path = workdir / stage / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, '{"step": 2010, "train/lo']))
  real = make_clips(rng, num_clips, size=size, frames=frames)
  samples = make_clips(rng, 12, 4, size=size, frames=frames)
  captions = np.array([f"a green cone on a helix {_SCRIPT}"] * num_clips)
  copied = real[:, np.minimum(np.arange(frames), frames // 4 - 1)]
  names = [
    f"{shape} {motion}"
    for shape in ("cube", "cylinder", "cone")
    for motion in ("linear", "circular", "helical", "parabolic")
  ]
  np.savez_compressed(
    workdir / "evaluation" / "clips.npz",
    **{
      "reconstruction/real": real,
      "reconstruction/reconstructed": noisy(real),
      "reconstruction/captions": captions,
      "prediction/real": real,
      "prediction/reconstructed": noisy(real),
      "prediction/predicted": noisy(real),
      "prediction/copy_last": copied,
      "prediction/captions": captions,
      "prediction/given_frames": frames // 4,
      "samples/frames": noisy(samples),
      "samples/class_names": np.array(names),
      "samples/real": samples[:, 0],
    },
  )
  (workdir / "data").mkdir()
  preview = real[0].transpose(1, 0, 2, 3).reshape(size, -1, 3)
  Image.fromarray(preview).save(workdir / "data" / "preview.png")


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
  path = report.write_report(workdir)
  assert path == workdir / "report" / "index.html"
  return path.read_text(encoding="utf-8")


def _images(source):
  for data in re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", source):
    yield Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_page_loads_nothing(page):
  loading = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
  for tag, attributes in _Page(page).tags:
    assert tag not in ("script", "link", "iframe", "object", "base")
    for name in loading & attributes.keys():
      assert attributes[name].startswith(("#", "data:")), (tag, name)
  for word in ("://", "@import", "url("):
    assert word not in page


def test_every_section_is_there_and_none_is_missing_a_file(page):
  parsed = _Page(page)
  ids = {attributes.get("id") for _, attributes in parsed.tags}
  targets = {a["href"][1:] for tag, a in parsed.tags if tag == "a"}
  assert targets == {section.lower() for section in _SECTIONS} == ids - {None}
  assert 'class="missing"' not in page
  for text in ("1 of 2 checks hold", "2 h 07 min", "1,234,567", "34.57"):
    assert text in parsed.text
  assert "test split, n = 1000" in parsed.text
  assert "2 h 05 min" in parsed.text


def test_text_of_a_run_is_never_markup(page):
  assert "<script" not in page
  # Config, stage, table note, row name, check, and each strip's caption.
  assert _Page(page).text.count(_SCRIPT) == 5 + 2 * 3


def test_baselines_are_marked(page):
  rows = re.findall(r'<tr class="baseline"><td>([^<]*)', page)
  assert rows == [
    "background only",
    "copy of the first frame",
    "constant velocity",
  ]


def test_nan_and_null_are_shown_as_words(page):
  assert not re.search(r"\bnan\b", _Page(page).text, re.IGNORECASE)
  assert "NaN" not in page[page.index("<svg") : page.rindex("</svg>")]
  assert "<td>not finite</td>" in page and "<td>–</td>" in page


def test_each_animation_has_as_many_frames_as_its_clips(page):
  counts = [image.n_frames for image in _images(page)]
  assert counts == [_FRAMES] * (3 + 3 + 12)
  assert all(image.info["loop"] == 0 for image in _images(page))


def test_half_a_run_gives_a_report_that_names_what_is_missing(tmp_path):
  page = report.write_report(tmp_path).read_text(encoding="utf-8")
  text = _Page(page).text
  for name in (
    "config.json",
    "stages.json",
    "tokenizer/metrics.jsonl",
    "transformer/metrics.jsonl",
    "evaluation/scores.json",
    "evaluation/clips.npz",
    "data/preview.png",
  ):
    assert name in text
  for section in _SECTIONS:
    assert f'id="{section.lower()}"' in page


@pytest.mark.parametrize(
  "name",
  [
    "config.json",
    "stages.json",
    "evaluation/scores.json",
    "evaluation/clips.npz",
    "data/preview.png",
  ],
)
def test_a_broken_file_is_named_and_the_rest_is_shown(tmp_path, name):
  make_workdir(tmp_path, num_clips=1)
  data = (tmp_path / name).read_bytes()
  (tmp_path / name).write_bytes(data[: len(data) // 2])
  page = report.write_report(tmp_path).read_text(encoding="utf-8")
  notes = re.findall(r'class="missing">([^<]*)', page)
  assert notes and all(name in note for note in notes)


def test_clips_without_predictions_say_so(tmp_path):
  (tmp_path / "evaluation").mkdir()
  clips = make_clips(np.random.default_rng(0), 1)
  np.savez(
    tmp_path / "evaluation" / "clips.npz",
    **{"reconstruction/real": clips, "reconstruction/reconstructed": clips},
  )
  page = report.write_report(tmp_path).read_text(encoding="utf-8")
  assert len(list(_images(page))) == 1
  assert "clips.npz has no prediction/real" in page
  assert "clips.npz has no samples/frames" in page


def test_the_old_report_stays_when_a_new_one_cannot_be_written(
  tmp_path, monkeypatch
):
  path = report.write_report(tmp_path)
  before = path.read_bytes()

  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr("os.replace", fail)
  with pytest.raises(OSError, match="disk full"):
    report.write_report(tmp_path)
  assert path.read_bytes() == before
  assert [p.name for p in path.parent.iterdir()] == ["index.html"]


@pytest.mark.slow
def test_twelve_clips_of_128_pixels_stay_below_ten_megabytes(tmp_path):
  make_workdir(tmp_path, num_clips=12, size=128, frames=16)
  assert report.write_report(tmp_path).stat().st_size < 10e6
