"""Tests of the report in a browser: drawn, used, offline, and on a phone."""

import json
import re

import numpy as np
import pytest
from report_inputs import make_confusion, make_gallery, make_paths, make_workdir

from data_gen.previews import view3d
from data_gen.rendering import cameras
from magvit3d.report import run_report

pytestmark = pytest.mark.slow  # In Chromium: .ci/nightly.

_PREDICTED, _TRUE = (0xEA, 0x58, 0x0C), (0x1B, 0x1F, 0x24)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  make_workdir(workdir)
  run_report.write_report(workdir)
  return workdir


@pytest.fixture(params=[1400, 390])
def page(request, workdir, chromium):
  path = workdir / "report" / "index.html"
  with chromium.open(path, request.param) as opened:
    opened.draw()
    yield opened
    assert not opened.problems


@pytest.fixture
def screen(workdir, chromium):
  with chromium.open(workdir / "report" / "index.html", 1400) as opened:
    opened.draw()
    yield opened
    assert not opened.problems


def _picture(page):
  """What the 3D plot shows, (size, size, 3), int."""
  return page.pixels("#path-space")[..., :3].astype(int)


def _choose(page, name, value):
  page.evaluate(
    f"(() => {{ const element = document.getElementById('path-{name}'); "
    f"element.value = '{value}'; "
    "for (const kind of ['input', 'change']) "
    "element.dispatchEvent(new Event(kind)); })()"
  )
  page.draw()


def _text(page, selector):
  return page.evaluate(f"document.querySelector('{selector}').textContent")


def _has_color(picture, place, color, reach=3):
  """Whether a colour is within some pixels of a place on the canvas."""
  x, y = np.rint(np.asarray(place) - 0.5).astype(int)
  near = picture[y - reach : y + reach + 1, x - reach : x + reach + 1]
  return bool((np.abs(near - np.array(color)).sum(-1) < 12).any())


def test_a_page_has_no_errors_and_nothing_to_scroll_sideways(page):
  page.evaluate("document.querySelectorAll('details').forEach("
                "(details) => { details.open = true; })")  # fmt: skip
  assert page.sideways == 0
  assert _text(page, "#path-caption").startswith("Scene 100: a red cube")


def test_wide_tables_scroll_in_a_box_of_their_own(workdir, chromium):
  path = workdir / "report" / "index.html"
  with chromium.open(path, 390) as page:
    wide = page.evaluate(
      "(() => { const box = document.querySelector('.upright').parentElement; "
      "return [box.scrollWidth, box.clientWidth]; })()"
    )
  assert wide[0] > wide[1] > 300


def test_paths_are_where_the_eye_sees_them(page):
  paths = make_paths()
  rig = paths["intrinsics"][0], paths["camera_from_world"][0]
  bounds = np.array([1.0, 1.0, 0.5])
  world = view3d.place_world(bounds, *rig, 32, path=np.zeros((0, 3)))
  picture = _picture(page)
  eye = view3d.make_eye(
    world.azimuth,
    world.elevation,
    world.distance / 1.3,  # As near as the report starts.
    world.target,
    len(picture),
  )
  given = int(paths["given_frames"])
  for frame in range(given, len(paths["truth"][0])):
    place = eye.project(paths["positions"][0, 0, frame]) + 0.5
    if paths["is_found"][0, 0, frame]:
      assert _has_color(picture, place, _PREDICTED), frame
  page.evaluate("document.querySelectorAll('.sources input')[1].click()")
  page.draw()
  picture = _picture(page)
  assert not (picture == np.array(_PREDICTED)).all(-1).any()
  for place in eye.project(paths["truth"][0]) + 0.5:
    assert _has_color(picture, place, _TRUE, reach=5)


def test_through_a_camera_paths_are_where_it_sees_them(screen):
  paths = make_paths()
  _choose(screen, "eye", 1)
  picture = _picture(screen)
  pixel = cameras.project(
    paths["positions"][0, 0, -1],
    paths["intrinsics"][0, 1],
    paths["camera_from_world"][0, 1],
  )
  place = (pixel + 0.5) * len(picture) / 32
  y, x = np.nonzero(np.abs(picture - np.array(_PREDICTED)).sum(-1) < 12)
  distances = np.hypot(x + 0.5 - place[0], y + 0.5 - place[1])
  assert (distances < 5).sum() > 40  # Its disc has a radius of 6.


def test_where_nothing_is_found_there_is_a_cross_and_no_line(screen):
  paths = make_paths()
  _choose(screen, "eye", 1)
  before = _picture(screen)
  frame = len(paths["truth"][0]) - 2
  # The position is unknown: the cross is at the true one.
  pixel = cameras.project(
    paths["truth"][0, frame],
    paths["intrinsics"][0, 1],
    paths["camera_from_world"][0, 1],
  )
  place = (pixel + 0.5) * len(before) / 32
  for right, down in ((-3, -3), (3, 3), (3, -3), (-3, 3)):
    assert _has_color(
      before, place + np.array([right, down]), _PREDICTED, reach=1
    )
  _choose(screen, "frame", frame)
  row = ".sources tbody tr:nth-child(2) td:last-child"
  assert _text(screen, row) == "not found"


def test_the_plot_turns_zooms_and_comes_back(screen):
  shown = [_picture(screen)]
  for use in (
    lambda: screen.drag("#path-space", 80, 0),
    lambda: screen.drag("#path-space", 0, 50),
    lambda: screen.wheel("#path-space", -200),
  ):
    use()
    shown.append(_picture(screen))
    assert (shown[-1] != shown[-2]).any()
  # Nearer: more pixels of the path.
  counts = [
    (np.abs(picture - np.array(_PREDICTED)).sum(-1) < 12).sum()
    for picture in shown[-2:]
  ]
  assert counts[1] > counts[0]
  screen.evaluate("document.getElementById('path-reset').click()")
  screen.draw()
  assert (_picture(screen) == shown[0]).all()


def test_fingers_turn_and_pinch(workdir, chromium):
  with chromium.open(workdir / "report" / "index.html", 390) as page:
    page.draw()
    first = _picture(page)
    page.touch("#path-space", [(0, 0)], [(60, 20)])
    turned = _picture(page)
    page.touch("#path-space", [(-20, 0), (20, 0)], [(-70, 0), (70, 0)])
    pinched = _picture(page)
    assert (turned != first).any() and (pinched != turned).any()
    assert not page.problems


def test_another_scene_and_another_path_change_the_picture(screen):
  first = _picture(screen)
  screen.evaluate("document.getElementById('path-after').click()")
  screen.draw()
  second = _picture(screen)
  assert (second != first).any()
  assert _text(screen, "#path-caption").startswith("Scene 101")
  purple = np.array([0x93, 0x33, 0xEA])
  assert not (second == purple).all(-1).any()
  screen.evaluate("document.querySelectorAll('.sources input')[4].click()")
  screen.draw()
  assert (_picture(screen) == purple).all(-1).sum() > 100


def test_scenes_are_put_in_order_of_their_error(screen):
  ade = make_paths()["ade"][0]
  for value, wanted in ((-1, ade.argmax()), (1, ade.argmin()), (0, 0)):
    _choose(screen, "order", value)
    assert _text(screen, "#path-caption").startswith(f"Scene {100 + wanted}:")


def test_a_gallery_shows_its_scene_in_the_plot(screen):
  screen.evaluate(
    "document.querySelectorAll('.gallery a[data-scene]')[2].click()"
  )
  screen.draw()
  assert _text(screen, "#path-caption").startswith("Scene 102:")
  assert screen.evaluate("location.hash") == "#paths"


def test_a_moving_pair_of_each_motion_is_seen_before_the_paths(page):
  facts = page.evaluate(
    "[...document.querySelectorAll('.motions img')].map((image) => "
    "[image.complete && image.naturalWidth > 0, "
    "image.getBoundingClientRect().bottom <= "
    "document.getElementById('path-space').getBoundingClientRect().top])"
  )
  assert facts == [[True, True]] * 4
  first = "document.querySelector('.motions img').getBoundingClientRect().top"
  assert page.evaluate(f"{first} < 600")


def test_the_plot_begins_with_the_first_motion(tmp_path, chromium):
  make_workdir(tmp_path, num_clips=1)
  path = tmp_path / "evaluation" / "clips.npz"
  clips = dict(np.load(path))
  clips["motions/scene_id"] = np.array([102, 100, 101, 103])
  np.savez(path, **clips)
  with chromium.open(run_report.write_report(tmp_path), 1400) as page:
    page.draw()
    assert _text(page, "#path-caption").startswith("Scene 102:")
    assert not page.problems


def test_time_plays_and_stops(screen):
  frame = "document.getElementById('path-frame').value"
  screen.evaluate("document.getElementById('path-play').click()")
  screen.wait_until(f"{frame} > 0 && {frame} < 7")
  screen.evaluate("document.getElementById('path-play').click()")
  screen.draw()
  assert _text(screen, "#path-play") == "Play"


def test_only_the_script_of_the_page_may_run(workdir, chromium):
  """A script that found its way in is refused; so is the network."""
  path = workdir / "report" / "index.html"
  bad = (
    "<script>window.isOwned = true</script>"
    "<img src=x onerror='window.isOwned = true'>"
    "<img src='http://127.0.0.1:9/x.png'></body>"
  )
  other = workdir / "report" / "other.html"
  other.write_text(path.read_text().replace("</body>", bad))
  with chromium.open(other, 1400) as page:
    assert page.problems
    assert not page.evaluate("window.isOwned")
    refused = [problem for problem in page.problems if "violates" in problem]
    assert len(refused) >= 3


@pytest.mark.parametrize("num_scenes", [0, 1])
def test_few_scenes(num_scenes, tmp_path, chromium):
  make_workdir(tmp_path, num_clips=1)
  paths = make_paths(num_scenes=num_scenes)
  np.savez(tmp_path / "evaluation" / "paths.npz", **paths)
  path = run_report.write_report(tmp_path)
  has_missing = "paths.npz holds no scenes" in path.read_text()
  assert has_missing == (num_scenes == 0)
  with chromium.open(path, 390) as page:
    assert not page.problems and page.sideways == 0
    links = page.evaluate(
      "document.querySelectorAll('.gallery a[data-scene]').length"
    )
    assert links == num_scenes


def test_names_are_text_and_unknown_numbers_are_told(tmp_path, chromium):
  make_workdir(tmp_path, num_clips=1)
  names = [f"</script><b>{i}</b>" for i in range(15)]
  paths = make_paths(num_scenes=2)
  for key in ("captions", "shape", "motion"):
    paths[key] = np.array(["</script><b>bold</b>"] * 2)
  paths["names"] = np.array([f"<b>{name}</b>" for name in paths["names"]])
  paths["ade"] = np.full((5, 2), np.nan)
  paths["positions"][0] = np.nan
  paths["truth"][1, 3] = np.nan
  paths["is_found"][0] = False
  evaluation = tmp_path / "evaluation"
  np.savez(evaluation / "paths.npz", **paths)
  rng = np.random.default_rng(0)
  clips = dict(np.load(evaluation / "clips.npz"))
  clips |= make_gallery(rng, 32, 8, names)
  np.savez(evaluation / "clips.npz", **clips)
  scores = json.loads((evaluation / "scores.json").read_text())
  scores["confusions"] = [make_confusion(names)]
  (evaluation / "scores.json").write_text(json.dumps(scores))
  path = run_report.write_report(tmp_path)
  assert not re.search(r"\bNaN\b", path.read_text().split('id="path-data">')[1])
  with chromium.open(path, 390) as page:
    page.draw()
    bold = "b b, summary b, .sources b, .confusion b, select b, .path-caption b"
    assert page.evaluate(f"document.querySelectorAll('{bold}').length") == 0
    assert _text(page, ".sources tbody tr:nth-child(2) th") == (
      "<b>predicted</b>"
    )
    assert page.evaluate("document.querySelectorAll('details').length") == 16
    assert _text(page, "#path-caption") == "Scene 100: </script><b>bold</b>"
    assert _text(page, ".sources tbody tr:nth-child(2) td") == "unknown"
    assert page.sideways == 0
    page.evaluate("document.getElementById('path-after').click()")
    assert not page.problems
