"""Tests of the comparison page in a browser."""

import pytest
from small_comparisons import make_run, make_table

from magvit3d import compare
from magvit3d.evaluation.tables import Cell

pytestmark = pytest.mark.slow  # In Chromium: .ci/nightly.


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs")
  names = [f"a_run_with_a_rather_long_name_{number}" for number in range(5)]
  for number, name in enumerate(names):
    make_run(
      folder / name,
      [make_table(20.0 + number, Cell(0.15, 0.1, 0.2), n=number)],
      config={"long": "word" * 40 + str(number)},
    )
  runs = [str(folder / name) for name in names]
  assert compare.main([*runs, f"--output={folder / 'page.html'}"]) == 0
  return folder / "page.html"


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_has_no_errors_and_nothing_to_scroll_sideways(
  path, chromium, width
):
  with chromium.open(path, width) as page:
    page.draw()
    assert page.sideways == 0
    assert page.evaluate("document.querySelectorAll('svg path').length") == 10
    assert not page.problems


def test_names_of_scores_stay_in_view_while_runs_are_scrolled(path, chromium):
  with chromium.open(path, 390) as page:
    left = page.evaluate(
      "(() => { const box = document.querySelector('#scores .scroll'); "
      "box.scrollLeft = 100; "
      "const name = box.querySelectorAll('tbody tr')[1].firstChild; "
      "return [box.scrollLeft, name.getBoundingClientRect().left "
      "- box.getBoundingClientRect().left]; })()"
    )
  assert left[0] == 100 and left[1] == 0
