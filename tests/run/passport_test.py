"""Tests of what a run says of itself, and of how the report shows it."""

import hashlib
import html
import json
import platform
import re

import jax.numpy as jnp
import numpy as np
import pytest

from data_gen.scenes.options import DatasetOptions
from magvit3d.report import run_passport, run_report
from magvit3d.run import data_manifest, passport


def _write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))


def _manifest(**options):
  options = DatasetOptions(output_dir="data", **options)
  return {
    "dataset": "traj3d",
    "seed": options.seed,
    "code_version": "0.0.9",
    "arguments": options.arguments(),
    "splits": {
      "train": {"num_scenes": options.num_train},
      "test": {"num_scenes": options.num_test},
    },
  }


def test_a_manifest_is_told_by_what_is_not_as_by_default(tmp_path):
  _write(tmp_path / "manifest.json", _manifest(num_train=12, image_size=32))
  found = data_manifest.describe(tmp_path)
  data = (tmp_path / "manifest.json").read_bytes()
  assert found == {
    "manifest": str(tmp_path / "manifest.json"),
    "sha256": hashlib.sha256(data).hexdigest(),
    "dataset": "traj3d",
    "seed": 0,
    "code_version": "0.0.9",
    "scenes": {"train": 12, "test": 1000},
    "arguments": {"image_size": 32},
  }


def test_footage_tells_all_its_arguments_and_counts_its_files(tmp_path):
  arguments = {
    "calibration": "c.json",
    "image_size": 128,
    "files": {"a": "1", "b": "2"},
  }
  _write(tmp_path / "manifest.json", {"arguments": arguments})
  found = data_manifest.describe(tmp_path)["arguments"]
  assert found == arguments | {"files": "2 files"}


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_manifest_that_cannot_be_read_says_nothing(tmp_path, text):
  if text is not None:
    (tmp_path / "manifest.json").write_text(text)
  assert data_manifest.describe(tmp_path) == {}


def test_what_is_written_says_machine_versions_and_networks(tmp_path):
  _write(tmp_path / "manifest.json", _manifest())
  params = {"a": jnp.zeros((2, 3)), "b": jnp.zeros(4)}
  found = passport.describe({"tokenizer": params}, tmp_path, 256)
  json.dumps(found)
  assert found["parameters"] == {"tokenizer": 10}
  assert found["tokens_per_clip"] == 256
  assert found["data"]["seed"] == 0
  assert found["versions"]["Python"] == platform.python_version()
  assert found["versions"]["NumPy"] == np.__version__
  assert found["code"].keys() == {"version", "commit", "is_dirty"}
  hardware = found["hardware"]
  assert hardware["platform"] == "cpu" and hardware["processes"] == 1
  assert hardware["cpu"] and hardware["cpu_cores"] >= 1
  with open("/proc/meminfo") as file:
    kib = int(re.match(r"MemTotal: *(\d+) kB", file.readline())[1])
  assert hardware["memory_gib"] == pytest.approx(kib / 2**20, abs=0.06)


@pytest.mark.parametrize(
  "stage, time",
  [
    ({"seconds": 30}, "30.0 s"),
    ({"seconds": 7200.0}, "2 h 00 min"),
    ({"seconds": 60.0, "was_killed": True}, "at least 1 min"),
    # Of older versions, which counted energy too.
    ({"seconds": 60.0, "energy": {"GPU 0": {"joules": 3.6e6}}}, "1 min"),
    ({"seconds": "many"}, "–"),
    ({"seconds": 0.0}, "0.0 s"),
  ],
)
def test_time_of_a_stage(tmp_path, stage, time):
  facts = run_passport.read(tmp_path, {}, {"data": stage}, {})
  assert facts["Time"]["data"] == time


def test_the_report_has_the_passport(tmp_path):
  _write(tmp_path / "data" / "manifest.json", _manifest(image_size=64))
  facts = passport.describe({"tokenizer": {}}, tmp_path / "data", 64)
  facts["hardware"]["cpu"] = "<script>"
  _write(tmp_path / "evaluation" / "scores.json", {"run": facts})
  _write(tmp_path / "config.json", {"train_tokenizer": {"batch_size": 4}})
  _write(tmp_path / "tokenizer" / "metrics.jsonl", {"step": 50, "train/x": 1})
  page = run_report.write_report(tmp_path).read_text()
  assert "<script>" not in page
  start = page.index('<section id="passport">')
  part = page[start : page.index("</section>", start)]
  rows = {
    html.unescape(name): html.unescape(text)
    for name, text in re.findall(
      r'<td>(.*?)</td><td class="reason">(.*?)<', part
    )
  }
  assert rows["not as by default"] == "image_size=64"
  assert rows["scenes, test"] == "1,000"
  assert rows["tokenizer, steps"] == "50"
  assert rows["tokenizer, clips seen"] == "200"
  assert rows["tokenizer, tokens seen"] == "12,800"
  assert rows["devices"].endswith("x cpu")
  assert rows["CPU"].startswith("<script>, ")
  assert rows["Python"] == platform.python_version()


def test_the_manifest_of_the_scores_holds_where_the_data_changed_since(
  tmp_path,
):
  _write(tmp_path / "data" / "manifest.json", _manifest(seed=1))
  stored = {"run": {"data": {"sha256": "abc", "seed": 0}}}
  data = run_passport.read(tmp_path, {}, {}, stored)["Data"]
  assert data["sha256"] == "abc"
  (tmp_path / "data").rename(tmp_path / "elsewhere")
  config = {"data": {"data_dir": str(tmp_path / "elsewhere")}}
  data = run_passport.read(tmp_path, config, {}, {})["Data"]
  assert data["seed"] == "1"


def test_a_run_of_an_older_version_tells_what_it_wrote(tmp_path):
  run = {"devices": "1 x cpu", "code_version": "0.1.0", "jax_version": "0.10"}
  facts = run_passport.read(tmp_path, {}, {}, {"run": run})
  assert facts["Hardware"] == {"devices": "1 x cpu"}
  assert facts["Versions"] == {"JAX": "0.10"}
  assert facts["Code"] == {"magvit3d": "0.1.0"}
