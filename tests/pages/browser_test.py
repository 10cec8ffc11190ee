"""Tests of how tests find their browser."""

import browser
import pytest

pytestmark = pytest.mark.slow  # In Chromium: .ci/nightly.


@pytest.fixture
def no_chromium(monkeypatch):
  monkeypatch.setattr("shutil.which", lambda name: None)


def test_without_chromium_tests_are_skipped(no_chromium, monkeypatch):
  monkeypatch.delenv("MAGVIT3D_NEEDS_CHROMIUM", raising=False)
  with pytest.raises(pytest.skip.Exception, match="Chromium is missing"):
    browser.require_chromium()


def test_without_chromium_tests_fail_where_it_is_needed(
  no_chromium, monkeypatch
):
  monkeypatch.setenv("MAGVIT3D_NEEDS_CHROMIUM", "1")
  with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
    browser.require_chromium()


def test_errors_of_a_page_are_kept(chromium, tmp_path):
  path = tmp_path / "page.html"
  path.write_text("<script>console.error('one'); missing()</script>")
  with chromium.open(path, 390) as page:
    found = page.problems
    assert page.evaluate("innerWidth") >= 390
  assert len(found) == 2
  assert "one" in found[0] and "missing is not defined" in found[1]
  path.write_text("<meta name='viewport' content='width=device-width'>")
  with chromium.open(path, 390) as page:
    assert page.evaluate("innerWidth") == 390 and not page.problems
