"""Tests of the page of a scene, on its own and in a browser."""

import base64
import html
import io
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from preview_data import NUM_FRAMES, SIZE, make_footage, make_plain, make_rich

from data_gen import preview, schema
from data_gen.previews import charts, facts, pictures, scene_page
from data_gen.previews.data_set import DataSet
from data_gen.rendering import cameras
from data_gen.scenes.scenes import make_scene

pytestmark = pytest.mark.slow  # In Chromium: .ci/nightly.


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  return make_plain(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
  return make_rich(tmp_path_factory.mktemp("rich"))


@pytest.fixture(scope="module")
def footage(plain, tmp_path_factory):
  return make_footage(plain, tmp_path_factory.mktemp("footage"))


def _read_page(options, tmp_path, index=0):
  """The page of a scene, what its script gets, and the scene."""
  path = tmp_path / "scene.html"
  preview.preview_scene(options.output_dir, "train", index, str(path))
  page = path.read_text()
  content = re.search(r'id="scene">(.*?)</script>', page, re.DOTALL)[1]
  return page, json.loads(content), make_scene(options, "train", index)


def _decode(uri):
  head, encoded = uri.split(",")
  assert head == "data:image/png;base64"
  with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
    return np.asarray(image)


def _values(page, before):
  """The first values by frame behind some text of a page."""
  found = page[page.index(before) :]
  found = re.search(r"data-values=(['\"])(.*?)\1", found)[2]
  return [None if v is None else float(v) for v in json.loads(found)]


def test_a_page_holds_the_frames_and_masks_of_the_record(rich, tmp_path):
  _, content, scene = _read_page(rich, tmp_path)
  for key, clips in (
    (schema.FRAMES, content["pictures"]["colour"]),
    (schema.MASKS, content["masks"]),
  ):
    found = np.array([[_decode(uri) for uri in clip] for clip in clips])
    np.testing.assert_array_equal(found, scene[key])


def test_a_page_has_depth_and_flow_where_the_record_has(rich, plain, tmp_path):
  _, content, _ = _read_page(rich, tmp_path)
  shown = content["pictures"]
  assert [len(shown[kind][0]) for kind in ("depth", "flow")] == [6, 5]
  assert _read_page(plain, tmp_path)[1]["pictures"].keys() == {"colour"}


def test_numbers_of_a_page_are_those_of_the_scene(rich, tmp_path):
  page, content, scene = _read_page(rich, tmp_path)
  visible = (scene[schema.MASKS] == 1).sum((2, 3))
  for view in range(3):
    assert _values(page, f"<figcaption>camera {view}") == visible[view].tolist()
  for axis, name in enumerate("xyz"):
    chart = page[page.index(f"<b>{name} ") :]
    for key, label in (
      (schema.TRAJECTORY, "with noise"),
      (schema.TRAJECTORY_CLEAN, "without noise"),
    ):
      found = _values(chart, label)
      np.testing.assert_allclose(found, scene[key][:, axis], atol=5.1e-4)
  clean = scene[schema.TRAJECTORY_CLEAN]
  length = sum(np.sqrt(((b - a) ** 2).sum()) for a, b in pairwise(clean))
  assert f"<dd>{length:.3g} m</dd>" in page
  assert html.escape(scene[schema.CAPTION]) in page
  assert len(content["objects"]) == 4


def test_the_table_of_objects_tells_their_lifetimes(rich, tmp_path):
  page, content, scene = _read_page(rich, tmp_path)
  rows = re.findall(r"<tr><td.*?</tr>", page)
  assert len(rows) == 4
  for number, row in enumerate(rows):
    first = scene[schema.OBJECTS_FIRST_FRAME][number]
    last = scene[schema.OBJECTS_LAST_FRAME][number]
    masks = scene[schema.MASKS][:, first : last + 1] == number + 1
    counts = masks.sum((2, 3))
    assert f"<td>{first} to {last}</td>" in row
    start, end = re.search('--start: (.*?); --end: (.*?)"', row).groups()
    assert float(start) == pytest.approx(first / NUM_FRAMES, abs=1e-4)
    assert float(end) == pytest.approx((last + 1) / NUM_FRAMES, abs=1e-4)
    assert f"<td>{counts.min()} to {counts.max()}</td>" in row
    thing = content["objects"][number]
    assert (thing["first"], thing["last"]) == (first, last)
    path = scene[schema.OBJECTS_TRAJECTORY][number]
    np.testing.assert_allclose(thing["path"], path, atol=1e-6)
  kinds = [re.search("main|moving|still<|transient", row)[0] for row in rows]
  assert kinds == ["main", "moving", "still<", "transient"]


def test_no_text_of_the_data_ends_the_script():
  text = scene_page.as_script({"name": "</script><b>"})
  assert "<" not in text and json.loads(text) == {"name": "</script><b>"}


def test_a_line_breaks_where_values_are_unknown():
  values = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
  chart = charts.line_chart("x", "m", [charts.Series("a", values, "red")])
  line = re.search('class="series".*?d="(.*?)"', chart)[1]
  assert re.findall("[ML]", line) == ["M", "L", "M", "L"]
  assert "unknown" in charts.line_chart(
    "x", "m", [charts.Series("a", values * np.nan, "red")]
  )


def test_depth_is_brighter_the_nearer_and_grey_where_there_is_nothing():
  depths = np.array([[[0.0, 1.0, 2.0, 3.0]]], np.float32)
  found, near, far = pictures.color_depths(depths)
  assert (near, far) == (1.0, 3.0)
  brightness = found[0, 0].sum(-1, dtype=int)
  assert brightness[1] > brightness[2] > brightness[3]
  assert (found[0, 0, 0] == found[0, 0, 0, 0]).all()


def test_flow_to_the_right_is_red_and_rest_is_black():
  flows = np.array([[[[4.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]]], np.float32)
  found, fastest = pictures.color_flows(flows)
  assert fastest == 4.0
  np.testing.assert_array_equal(found[0, 0, 0], [255, 0, 0])
  np.testing.assert_array_equal(found[0, 0, 1], [0, 0, 0])
  # Cyan, and half as bright for a quarter of the speed.
  np.testing.assert_array_equal(found[0, 0, 2], [0, 128, 128])


def test_what_a_record_does_not_know_is_called_unknown(footage, tmp_path):
  data = DataSet(footage, "train")
  scene = data.scene(1)
  told = facts.describe_scene(data, scene, facts.describe_objects(data, scene))
  unknown = {name for name, text in told.items() if text == "unknown"}
  assert unknown == {
    "shape", "motion", "size", "colour",
    "path length", "position noise", "visible",
  }  # fmt: skip
  assert told["class"] == "roll"
  for suffix in (".html", ".png", ".gif"):
    path = tmp_path / f"scene{suffix}"
    preview.preview_scene(str(footage), "train", 1, str(path))
  page = (tmp_path / "scene.html").read_text()
  assert "NaN" not in page and "<b>throw</b>" not in page
  assert "The path is unknown" in page


def test_a_page_in_a_browser_plays_and_turns(rich, tmp_path, chromium):
  _read_page(rich, tmp_path)
  with chromium.open(tmp_path / "scene.html", 390) as page:
    picture = "document.getElementById('space').toDataURL()"

    def frame():
      return int(page.evaluate("document.getElementById('frame').value"))

    def press(key, selector="body"):
      page.evaluate(
        f"document.querySelector('{selector}').dispatchEvent("
        f"new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
      )
      page.draw()

    page.wait_until("document.getElementById('frame').value > 0")
    page.evaluate("document.getElementById('play').click()")
    page.draw()
    stopped = frame()
    press("ArrowRight")
    assert frame() == (stopped + 1) % NUM_FRAMES
    press("ArrowLeft")
    shown = [page.evaluate(picture)]
    for use in (
      lambda: page.drag("#space", 50, 0),
      lambda: page.touch("#space", [(0, 0)], [(30, 20)]),
      lambda: page.touch("#space", [(-20, 0), (20, 0)], [(-60, 0), (60, 0)]),
      lambda: page.wheel("#space", 200),
      lambda: press("ArrowUp", "#space"),
    ):
      use()
      shown.append(page.evaluate(picture))
    assert len(set(shown)) == 6
    page.evaluate("document.getElementById('reset').click()")
    page.draw()
    assert page.evaluate(picture) == shown[0]
    assert frame() == stopped
    press(" ")
    page.wait_until(f"document.getElementById('frame').value != {stopped}")
    assert not page.problems


@pytest.mark.parametrize("width", [1400, 390])
def test_a_page_in_a_browser_draws_what_the_cameras_see(
  width, rich, tmp_path, chromium
):
  _, content, scene = _read_page(rich, tmp_path)
  path = tmp_path / "scene.html"
  with chromium.open(path, width, "#frame=3") as page:
    assert page.sideways <= 0
    text = page.evaluate("document.getElementById('frame-text').textContent")
    clip = page.pixels(".clip canvas")
    page.evaluate(
      "document.getElementById('outlines').click();"
      "document.getElementById('eye').value = '1';"
      "document.getElementById('eye').dispatchEvent(new Event('change'))"
    )
    page.draw()
    space = page.pixels("#space")
    overlay = page.pixels(".clip canvas", 1)
    assert not page.problems
  assert text == "frame 3 of 5"
  np.testing.assert_array_equal(clip[..., :3], scene[schema.FRAMES][0, 3])
  # Outlines lie around the pixels at the edges of the masks.
  y, x = np.nonzero(overlay[..., 3])
  factor = len(overlay) / SIZE
  masks = np.pad(scene[schema.MASKS][0, 3].astype(int), 1)
  near = [
    masks[i : i + SIZE, j : j + SIZE] for i in (0, 1, 2) for j in range(3)
  ]
  is_edge = np.ptp(near, axis=0) > 0
  rows, columns = (y / factor).astype(int), (x / factor).astype(int)
  assert is_edge[rows, columns].all()
  missed = is_edge & (np.diff(masks, axis=1)[1:-1, 1:] != 0)
  missed[rows, columns] = False
  assert not missed.any()
  # Seen through camera 1, the dot is where that camera has the object.
  pixel = cameras.project(
    scene[schema.TRAJECTORY][3],
    scene[schema.INTRINSICS][1],
    scene[schema.CAMERA_FROM_WORLD][1],
  )
  place = (pixel + 0.5) * len(space) / SIZE - 0.5
  color = list(bytes.fromhex(content["objects"][0]["color"][1:]))
  y, x = np.nonzero((space[..., :3] == color).all(-1))
  distance = np.hypot(x - place[0], y - place[1])
  assert (distance < 5).sum() > 50  # Its disc, with a radius of 7.
