"""Tests of looking at data sets: pages, figures, animations, overviews."""

import base64
import html
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from data_gen import cameras, generate, preview, records, schema, shards
from data_gen.options import DatasetOptions
from data_gen.previews import data_set, facts, overview, pictures, view3d
from data_gen.previews.data_set import DataSet
from data_gen.scene_source import SceneSource, read_manifest
from data_gen.scenes import make_scene

_ROOT = pathlib.Path(__file__).parents[1]
_SIZE, _FRAMES = 32, 6


def _make_options(folder, **changes):
  values = {
    "num_train": 13,
    "num_validation": 0,
    "num_test": 0,
    "image_size": _SIZE,
    "num_frames": _FRAMES,
    "size_min": 2.5,
    "scenes_per_shard": 20,
    "num_workers": 1,
    "preview": 0,
  }
  return DatasetOptions(output_dir=str(folder), **(values | changes))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  """Options of a data set with all classes, and one that no scene has."""
  options = _make_options(
    tmp_path_factory.mktemp("plain"),
    num_train=13,
    ood_pair="cone_helical",
    num_ood_pair=2,
  )
  generate.generate(options, log=lambda line: None)
  return options


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
  """Options of a data set with all that is optional."""
  options = _make_options(
    tmp_path_factory.mktemp("rich"),
    num_train=1,
    num_objects=2,
    num_clutter=1,
    num_transients=1,
    ground_plane=True,
    depths=True,
    flows=True,
    size_min=2.0,
    size_max=2.5,
  )
  generate.generate(options, log=lambda line: None)
  return options


@pytest.fixture(scope="module")
def footage(plain, tmp_path_factory):
  """A folder of scenes that are as those of imported videos."""
  folder = tmp_path_factory.mktemp("footage")
  source = SceneSource(plain.output_dir, "train")
  manifest = read_manifest(pathlib.Path(plain.output_dir))
  scenes = []
  for index in range(2):
    scene = source.scene(index)
    for key in (schema.TRAJECTORY, schema.TRAJECTORY_CLEAN):
      scene[key] = np.full_like(scene[key], np.nan)
    scene[schema.MASKS] = np.zeros_like(scene[schema.MASKS])
    scene[schema.ORIENTATION] *= np.nan
    scene[schema.COLOR] *= np.nan
    scene[schema.SIZE] = float("nan")
    scene[schema.SHAPE] = scene[schema.MOTION] = -1
    scene[schema.CLASS] = index
    scene[schema.CAPTION] = "<b>throw</b>"
    scenes.append(records.encode_scene(scene, source.features))
  path = folder / "footage-train.tfrecord-00000-of-00001"
  shards.write_shard(path, scenes)
  described = {
    "name": path.name,
    "num_scenes": 2,
    "bytes": path.stat().st_size,
    "sha256": shards.sha256(path),
  }
  manifest |= {
    "dataset": "footage",
    "arguments": {},
    "shape_names": [],
    "motion_names": [],
    "class_names": ["throw", "roll", "fall"],
    "splits": {
      "train": {
        "num_scenes": 2,
        "class_counts": {"throw": 1, "roll": 1, "fall": 0},
        "shards": [described],
      }
    },
  }
  (folder / schema.MANIFEST_NAME).write_text(json.dumps(manifest))
  return folder


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
    assert f"<td>{counts.min()} to {counts.max()}</td>" in row
    thing = content["objects"][number]
    assert (thing["first"], thing["last"]) == (first, last)
    path = scene[schema.OBJECTS_TRAJECTORY][number]
    np.testing.assert_allclose(thing["path"], path, atol=1e-6)
  kinds = [re.search("main|moving|still<|transient", row)[0] for row in rows]
  assert kinds == ["main", "moving", "still<", "transient"]


def test_corners_of_a_frustum_are_those_of_the_image():
  rig = cameras.make_rig(
    np.array([[2.0, 0.3, 1.0]]), np.array([[0.1, 0, 0]]), np.array([0.7]), 48
  )
  matrix = rig.camera_from_world[0]
  found = view3d.frustum(rig.intrinsics[0], matrix, 48, 0.4)
  np.testing.assert_allclose(found[0], rig.positions[0], atol=1e-6)
  corners = cameras.project(found[1:], rig.intrinsics[0], matrix)
  wanted = [[-0.5, -0.5], [47.5, -0.5], [47.5, 47.5], [-0.5, 47.5]]
  np.testing.assert_allclose(corners, wanted, atol=1e-4)
  np.testing.assert_allclose(found[1:] @ matrix[2, :3] + matrix[2, 3], 0.4)


def test_the_eye_turns_about_its_target_and_sees_all(plain):
  data = DataSet(pathlib.Path(plain.output_dir), "train")
  world = view3d.make_world(data, data.scene(1))
  eye = view3d.make_eye(
    world.azimuth, world.elevation, world.distance, world.target, 100
  )
  np.testing.assert_allclose(eye.project(world.target), [49.5, 49.5])
  points = np.concatenate([world.frusta.reshape(-1, 3), world.bounds[:, 0]])
  seen = eye.project(points)
  assert seen.min() > 0 and seen.max() < 99
  # No nearer than needed: something comes close to the margin.
  assert np.abs(seen - 49.5).max() > 40


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


def test_paths_with_gaps_have_the_length_of_their_known_steps():
  path = np.zeros((6, 3))
  path[:, 0] = [0, 1, np.nan, 5, 7, 7]
  assert data_set.path_length_m(path) == 3.0
  assert np.isnan(data_set.path_length_m(path[1:4]))


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_shows_the_cameras_in_step(suffix, rich, tmp_path):
  path = tmp_path / f"scene{suffix}"
  preview.preview_scene(rich.output_dir, "train", 0, str(path), fps=10)
  frames = make_scene(rich, "train", 0)[schema.FRAMES]
  with Image.open(path) as animation:
    assert animation.n_frames == _FRAMES
    for number in range(_FRAMES):
      animation.seek(number)
      picture = np.asarray(animation.convert("RGB")).astype(int)
      assert animation.info["duration"] == 100
      for view in range(3):  # Three clips and the 3D view, in one row.
        x, y = 8 + view * (256 + 8), 8 + 22
        tile = picture[y : y + 256, x : x + 256]
        wanted = frames[view, number].repeat(8, axis=0).repeat(8, axis=1)
        # A GIF has 256 colours.
        limit = 0 if suffix == ".webp" else 8
        assert np.abs(tile - wanted).mean() <= limit


def test_a_figure_shows_frames_of_all_cameras(rich, tmp_path):
  path = tmp_path / "scene.png"
  preview.preview_scene(rich.output_dir, "train", 0, str(path))
  frames = make_scene(rich, "train", 0)[schema.FRAMES]
  with Image.open(path) as image:
    picture = np.asarray(image.convert("RGB"))
  found = {tuple(color) for color in picture.reshape(-1, 3)}
  # All colours of pixels: enlarging adds none and takes none away.
  wanted = {tuple(color) for color in frames.reshape(-1, 3)}
  assert wanted <= found


def test_an_overview_counts_what_was_rendered(plain):
  data = DataSet(pathlib.Path(plain.output_dir), "train")
  found = overview.make_overview(data, max_scenes=100)
  scenes = [make_scene(plain, "train", i) for i in range(13)]
  lengths = {}
  for scene in scenes:
    path = scene[schema.TRAJECTORY_CLEAN].astype(float)
    length = sum(np.linalg.norm(b - a) for a, b in pairwise(path))
    motion = plain.motions[scene[schema.MOTION]]
    lengths.setdefault(motion, []).append(length)
  assert found.lengths_m.keys() == lengths.keys()
  for name, values in lengths.items():
    np.testing.assert_allclose(found.lengths_m[name], values, rtol=1e-5)
  counts, edges = found.length_histograms()
  assert sum(c.sum() for c in counts.values()) == 13 == found.num_read
  assert edges[0] == 0 and edges[-1] > max(map(max, lengths.values()))
  visible = np.array([(s[schema.MASKS] == 1).sum((2, 3)) for s in scenes])
  np.testing.assert_array_equal(found.visibility.counts, visible)
  smallest, *place = found.visibility.smallest
  assert visible[tuple(place)] == smallest == visible.min()
  assert found.visibility.histogram()[0].sum() == visible.size


def test_frames_that_are_too_small_are_counted():
  counts = np.array([[[8, 9, 30]], [[0, 12, 8]]])
  found = overview.Visibility(counts, np.array([4, 7]))
  assert found.num_too_small == 3
  assert found.smallest == (0, 7, 0, 0)


def test_an_overview_has_a_tile_of_each_class(plain):
  """Of classes beyond the scenes that are read, too."""
  data = DataSet(pathlib.Path(plain.output_dir), "train")
  tiles = overview.make_overview(data, max_scenes=1).tiles
  assert [tile.class_name for tile in tiles] == list(plain.class_names)
  for label, tile in enumerate(tiles):
    if tile.class_name == "cone_helical":
      assert tile.index is None and tile.frames is None and tile.count == 0
      continue
    scene = make_scene(plain, "train", tile.index)
    assert scene[schema.CLASS] == label
    shown = scene[schema.FRAMES][0, [0, 2, 3, 5]]
    np.testing.assert_array_equal(tile.frames, shown)


def test_the_page_of_an_overview_says_so(plain, tmp_path):
  path = tmp_path / "overview.html"
  preview.preview_data(plain.output_dir, "ood_pair", str(path))
  page = path.read_text()
  assert page.count("This split has no scene of this class") == 11
  assert page.count("data:image/png;base64") == 1
  assert re.search(r"cone_helical</td><td>2</td><td>100.00%", page)
  visible = np.array(
    [
      (make_scene(plain, "ood_pair", i)[schema.MASKS] == 1).sum((2, 3))
      for i in range(2)
    ]
  )
  assert f"<dd>{visible.min()} px: scene " in page
  bars = re.search("frames of a camera by visible.*", page, re.DOTALL)[0]
  counts = re.findall(r"px: (\d+)</title>", bars)
  assert sum(map(int, counts)) == visible.size


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
  found = overview.make_overview(data, 10)
  assert found.visibility is None and not found.lengths_m
  assert [tile.index for tile in found.tiles] == [0, 1, None]
  for suffix in (".html", ".png"):
    path = tmp_path / f"overview{suffix}"
    preview.preview_data(str(footage), "train", str(path))
  assert "Unknown" in (tmp_path / "overview.html").read_text()


def test_cameras_without_bounds_face_what_they_see(footage):
  """Where neither a path nor bounds are known."""
  data = DataSet(footage, "train")
  world = view3d.make_world(data, data.scene(0))
  assert not len(world.bounds)
  centres = world.frusta[:, 0]
  # The default cameras all look at the origin.
  np.testing.assert_allclose(
    view3d._seen_point(
      data.scene(0)[schema.CAMERA_FROM_WORLD].astype(float), centres
    ),
    [[0, 0, 0]],
    atol=2e-3,
  )


def test_flat_figures_have_previews(tmp_path):
  options = _make_options(
    tmp_path / "flat", preset="traj2d", num_train=2, size_min=0
  )
  generate.generate(options, log=lambda line: None)
  for name in ("scene.html", "scene.png", "scene.gif"):
    preview.preview_scene(options.output_dir, "train", 0, str(tmp_path / name))
    assert (tmp_path / name).stat().st_size > 1000
  assert preview.preview_data(options.output_dir, "train").exists()


def test_the_default_output_lies_in_the_folder_of_the_data(plain):
  found = preview.preview_scene(plain.output_dir, "ood_pair", 1)
  assert found == pathlib.Path(plain.output_dir, "scene_ood_pair_00001.html")
  found = preview.preview_data(plain.output_dir, "train")
  assert found == pathlib.Path(plain.output_dir, "overview.png")
  with Image.open(found) as image:
    image.verify()


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"data_dir": ""}, "--data is missing"),
    ({"data_dir": "nowhere"}, "--data=nowhere is no folder"),
    ({"split": "test"}, r"--split=test: .* has train \(13\), ood_pair \(2\)"),
    ({"split": "moon"}, "--split=moon"),
    ({"index": 13}, "--scene=13 .* has 13 scenes, numbers 0 to 12"),
    ({"index": -1}, "--scene=-1 does not exist"),
    ({"output": "a.mp4"}, "--output=a.mp4 ends in none of .html, .png, .gif"),
    ({"fps": 0.0}, "--fps=0.0 is out of range"),
  ],
)
def test_wrong_values_of_a_scene_are_named(changes, message, plain, tmp_path):
  values = {
    "data_dir": plain.output_dir,
    "split": "train",
    "index": 0,
    "output": str(tmp_path / "a.html"),
  } | changes
  with pytest.raises(ValueError, match=message):
    preview.preview_scene(**values)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"data_dir": ""}, "--data is missing"),
    ({"output": "a.gif"}, "--output=a.gif ends in none of .png, .html"),
    ({"max_scenes": 0}, "--max_scenes=0"),
  ],
)
def test_wrong_values_of_an_overview_are_named(changes, message, plain):
  values = {"data_dir": plain.output_dir, "split": "train"} | changes
  with pytest.raises(ValueError, match=message):
    preview.preview_data(**values)


def test_what_cannot_be_written_is_named(plain, tmp_path):
  (tmp_path / "file").touch()
  (tmp_path / "folder.html").mkdir()
  values = (plain.output_dir, "train", 0)
  with pytest.raises(OSError, match=r"--output=.*a.html cannot be written"):
    preview.preview_scene(*values, str(tmp_path / "file" / "a.html"))
  with pytest.raises(ValueError, match=r"folder.html is a folder"):
    preview.preview_scene(*values, str(tmp_path / "folder.html"))


def test_a_failed_write_leaves_the_old_file(plain, tmp_path, monkeypatch):
  path = tmp_path / "scene.html"
  path.write_text("old")

  def fail(*args):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(shards.os, "fsync", fail)
  with pytest.raises(OSError, match="No space left"):
    preview.preview_scene(plain.output_dir, "train", 0, str(path))
  assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_the_command_prints_errors_without_traceback(plain):
  def run(*arguments):
    return subprocess.run(
      [sys.executable, "-m", "data_gen.preview", *arguments],
      cwd=_ROOT,
      capture_output=True,
      text=True,
    )

  failed = run(f"--data={plain.output_dir}", "--scene=99")
  assert failed.returncode == 1
  assert failed.stderr.startswith("preview: --scene=99 does not exist")
  assert len(failed.stderr.splitlines()) == 1
  made = run(f"--data={plain.output_dir}", "--scene=0")
  assert made.returncode == 0 and not made.stderr
  assert "scene_train_00000.html" in made.stdout


def test_making_a_data_set_imports_no_matplotlib():
  program = "import sys, data_gen.generate; print('matplotlib' in sys.modules)"
  found = subprocess.run(
    [sys.executable, "-c", program],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert found.stdout.strip() == "False"


# Without a screen there may be no frames to ask for.
_STEADY_FRAMES = """<head><script>
requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 16);
</script>"""
_CHECK_PAGE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const select = document.getElementById("eye");
  const report = {wide: document.documentElement.scrollWidth - innerWidth};
  const clip = document.querySelector(".clip canvas");
  report.clip = [...clip.getContext("2d").getImageData(
    0, 0, scene.size, scene.size).data];
  document.getElementById("outlines").click();
  select.value = "1";
  select.dispatchEvent(new Event("change"));
  setTimeout(() => {
    const canvas = document.getElementById("space");
    report.size = canvas.width;
    const data = canvas.getContext("2d").getImageData(
      0, 0, canvas.width, canvas.width).data;
    // Where the colour of the main object is, and how often.
    const [r, g, b] = [1, 3, 5].map(
      (i) => parseInt(scene.objects[0].color.slice(i, i + 2), 16));
    report.dot = [];
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] === r && data[i + 1] === g && data[i + 2] === b) {
        report.dot.push(i / 4);
      }
    }
    const over = document.querySelectorAll(".clip canvas")[1];
    const drawn = over.getContext("2d").getImageData(
      0, 0, over.width, over.width).data;
    report.outlined = [];
    for (let i = 0; i < drawn.length; i += 4) {
      if (drawn[i + 3]) report.outlined.push(i / 4);
    }
    report.overlay = over.width;
    report.frame = document.getElementById("frame-text").textContent;
    const text = document.createElement("pre");
    text.id = "report";
    text.textContent = JSON.stringify(report);
    document.body.append(text);
  }, 300);
}, 300));
</script></body>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="Chromium is missing.")
@pytest.mark.parametrize("width", [1400, 390])
def test_a_page_in_a_browser_draws_what_the_cameras_see(width, rich, tmp_path):
  page, _, scene = _read_page(rich, tmp_path)
  path = tmp_path / "checked.html"
  page = page.replace("<head>", _STEADY_FRAMES)
  path.write_text(page.replace("</body>", _CHECK_PAGE))
  found = subprocess.run(
    [
      "chromium",
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      f"--user-data-dir={tmp_path / 'profile'}",
      "--enable-logging=stderr",
      "--virtual-time-budget=3000",
      f"--window-size={width},900",
      "--dump-dom",
      f"{path.as_uri()}#frame=3",
    ],
    capture_output=True,
    text=True,
    timeout=60,
    check=True,
  )
  assert "CONSOLE" not in found.stderr
  report = re.search(r'<pre id="report">(.*?)</pre>', found.stdout)[1]
  report = json.loads(html.unescape(report))
  assert report["wide"] <= 0  # Nothing to scroll sideways.
  assert report["frame"] == "frame 3 of 5"
  clip = np.array(report["clip"]).reshape(_SIZE, _SIZE, 4)[..., :3]
  np.testing.assert_array_equal(clip, scene[schema.FRAMES][0, 3])
  # Outlines lie around the pixels at the edges of the masks.
  y, x = np.divmod(np.array(report["outlined"]), report["overlay"])
  factor = report["overlay"] / _SIZE
  masks = np.pad(scene[schema.MASKS][0, 3].astype(int), 1)
  near = [
    masks[i : i + _SIZE, j : j + _SIZE] for i in (0, 1, 2) for j in range(3)
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
  place = (pixel + 0.5) * report["size"] / _SIZE - 0.5
  y, x = np.divmod(np.array(report["dot"]), report["size"])
  distance = np.hypot(x - place[0], y - place[1])
  assert (distance < 5).sum() > 50  # Its disc, with a radius of 7.


@pytest.mark.skipif(not shutil.which("node"), reason="Node is missing.")
def test_the_script_projects_as_python_does():
  rng = np.random.default_rng(0)
  points, target = rng.uniform(-1, 1, (20, 3)), rng.uniform(-0.2, 0.2, 3)
  eye = view3d.make_eye(0.7, -0.4, 5.0, target, 240)
  rig = cameras.make_default_rig(_SIZE)
  ids = np.zeros((8, 8), int)
  ids[2:5, 3:8] = 1
  ids[4:7, 1:4] = 2
  given = {
    "points": points.tolist(),
    "target": target.tolist(),
    "fieldOfView": float(view3d.FIELD_OF_VIEW),
    "matrix": rig.camera_from_world[0].tolist(),
    "intrinsics": rig.intrinsics[0].tolist(),
    "ids": ids.ravel().tolist(),
  }
  geometry = _ROOT / "data_gen" / "previews" / "geometry.js"
  program = f"""{geometry.read_text()}
  const given = {json.dumps(given)};
  const eye = makeEye(0.7, -0.4, 5, given.target, given.fieldOfView, 240);
  const large = enlarge(given, {_SIZE}, {3 * _SIZE});
  const see = (camera) => given.points.map(
    (point) => toPixel(camera, inCamera(camera, point)));
  const behind = [9, 0, 4];
  console.log(JSON.stringify({{
    eye: see(eye),
    large: see(large),
    lines: given.points.map((p) => projectLine(given, p, behind, 0.001)),
    turned: given.points.map((p) => projectLine(given, behind, p, 0.001)),
    hidden: projectLine(given, behind, behind, 0.001),
    edges: outlineEdges(given.ids, 8),
  }}));"""
  found = json.loads(
    subprocess.run(
      ["node", "-e", program], capture_output=True, text=True, check=True
    ).stdout
  )
  np.testing.assert_allclose(found["eye"], eye.project(points), atol=1e-9)
  pixels = cameras.project(points, rig.intrinsics[0], rig.camera_from_world[0])
  np.testing.assert_allclose(found["large"], 3 * pixels + 1, atol=1e-9)
  lines = np.array(found["lines"])
  np.testing.assert_allclose(lines[:, 0], pixels, atol=1e-9)
  assert np.isfinite(lines).all() and found["hidden"] is None
  np.testing.assert_allclose(np.array(found["turned"])[:, ::-1], lines)
  padded = np.pad(ids, 1)
  wanted = sum((np.diff(padded, axis=axis) != 0).sum() for axis in (0, 1))
  assert len(found["edges"]) == wanted
  assert all(edge[4] in (1, 2) for edge in found["edges"])
