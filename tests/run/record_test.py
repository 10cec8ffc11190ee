"""What stages.json says of stages, and of files that are complete."""

import json
import os

import pytest

from magvit3d.errors import UserError
from magvit3d.run import stages
from magvit3d.run.record import StageRecord

_NAMES = ("data", "report")


class _Stage(stages.Stage):
  name = "report"

  def __init__(self, path):
    self._path = path

  def is_complete(self):
    return True

  def outputs(self):
    return [self._path]

  def key(self):
    return "abc"

  def run(self):
    pass


@pytest.fixture
def page(tmp_path):
  path = tmp_path / "run" / "index.html"
  path.parent.mkdir()
  path.write_text("a page")
  return path


def _read(workdir):
  record = StageRecord(workdir, _NAMES)
  record.read()
  return record


@pytest.fixture
def record(page):
  record = _read(page.parent)
  with record.running(_Stage(page)):
    pass
  return record


def test_a_stage_that_is_done_has_its_key_and_outputs(page, record):
  found = _read(page.parent)
  assert found.is_done("report") and found.key("report") == "abc"
  assert found.find_damage("report") is None
  (described,) = json.loads((page.parent / "stages.json").read_text())[
    "report"
  ]["outputs"].values()
  assert described["bytes"] == 6 and len(described["sha256"]) == 64


@pytest.mark.parametrize(
  ("spoil", "damage"),
  [
    (os.unlink, "index.html is missing"),
    (lambda path: path.write_text(""), "index.html is not as it was written"),
    (lambda path: path.write_text("a pAge"), "index.html is not as it was"),
    (lambda path: (path.unlink(), path.mkdir()), "index.html cannot be read"),
  ],
)
def test_a_spoilt_output_is_named(page, record, spoil, damage):
  spoil(page)
  assert _read(page.parent).find_damage("report").startswith(damage)


def test_outputs_are_forgotten_before_they_are_made_again(page, record):
  with pytest.raises(KeyboardInterrupt), record.running(_Stage(page)):
    entry = json.loads((page.parent / "stages.json").read_text())["report"]
    assert entry["status"] == "running" and "outputs" not in entry
    raise KeyboardInterrupt
  assert not _read(page.parent).is_done("report")


def test_earlier_versions_noted_no_outputs(page):
  old = {"report": {"status": "done", "seconds": 3.0}}
  (page.parent / "stages.json").write_text(json.dumps(old))
  record = _read(page.parent)
  assert record.is_done("report") and record.key("report") is None
  assert record.find_damage("report") is None
  record.note_done(_Stage(page))
  page.unlink()
  assert _read(page.parent).find_damage("report") == "index.html is missing"


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\x00",
    b"[" * 100_000,
    b'{"data": 1}',
    b'{"data": {"status": 1}}',
    b'{"data": {"seconds": NaN}}',
    b'{"data": {"outputs": []}}',
    b'{"data": {"outputs": {"a": 1}}}',
    b'{"data": {"outputs": {"../a": {"bytes": 1, "sha256": null}}}}',
    b'{"data": {"outputs": {"/a": {"bytes": 1, "sha256": null}}}}',
    b'{"data": {"outputs": {"a\\u0000": {"bytes": 1, "sha256": null}}}}',
  ],
)
def test_a_damaged_file_is_set_aside_and_made_again(page, caplog, content):
  path = page.parent / "stages.json"
  path.write_bytes(content)
  record = _read(page.parent)
  assert not record.is_done("data")
  assert path.with_name("stages.json.damaged").read_bytes() == content
  assert f"{path} is damaged" in caplog.text
  record.note_done(_Stage(page))
  assert _read(page.parent).is_done("report")


def test_a_folder_in_its_place_is_set_aside(page):
  path = page.parent / "stages.json"
  path.mkdir()
  _read(page.parent)
  assert path.with_name("stages.json.damaged").is_dir()


def test_a_file_that_may_not_be_read_is_named(page, monkeypatch):
  def read(path):
    raise PermissionError(13, "Permission denied", str(path))

  monkeypatch.setattr("pathlib.Path.read_bytes", read)
  with pytest.raises(UserError, match=r"stages\.json cannot be read \(Perm"):
    _read(page.parent)


def test_the_key_of_a_report_is_of_the_config_and_all_else(page, record):
  first = record.key_of_others("data", {"seed": 0})
  assert record.key_of_others("data", {"seed": 0}) == first
  assert record.key_of_others("data", {"seed": 1}) != first
  page.write_text("another")
  record.note_outputs(_Stage(page))
  assert record.key_of_others("data", {"seed": 0}) != first
  assert record.key_of_others("report", {}) == StageRecord(
    page.parent, _NAMES
  ).key_of_others("report", {})
