"""Tests of the galleries of each class in the report."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from report_inputs import make_gallery

from magvit3d.media import animations
from magvit3d.report import gallery_section


@pytest.fixture(scope="module")
def clips():
  rng = np.random.default_rng(0)
  return make_gallery(rng, 16, 4, ("cube", "<b>cone</b>"))


def _frames(page):
  for data in re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", page):
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.seek(0)
    yield np.asarray(image.convert("RGB"))


def test_best_comes_first_in_each_class_whatever_the_order(clips):
  order = [2, 5, 0, 1, 4, 3]
  mixed = {
    key: value[order] if value.ndim else value for key, value in clips.items()
  }
  page = gallery_section.section(mixed, ())
  ranks = re.findall("<span>(best|median|worst):", page)
  assert ranks == ["best", "median", "worst"] * 2
  scenes = [int(n) for n in re.findall(r"scene (\d+)", page)]
  assert scenes == [100, 101, 102, 103, 104, 105]
  assert "&lt;b&gt;cone" in page and "<b>" not in page
  assert page.count("<details open>") == 1 and page.count("<details") == 2


def test_the_true_clip_is_above_the_predicted_one(clips):
  frame = next(_frames(gallery_section.section(clips, ())))
  # A border of 1 px, and a gap of 2 px between the clips.
  np.testing.assert_array_equal(frame[1:17, 1:49], clips["gallery/real"][0, 0])
  np.testing.assert_array_equal(
    frame[21:37, 1:49], clips["gallery/predicted"][0, 0]
  )


def test_scenes_that_the_plot_has_are_linked(clips):
  page = gallery_section.section(clips, {101, 104, 7})
  assert re.findall(r'data-scene="(\d+)"', page) == ["101", "104"]


def test_errors_are_told_and_unknown_ones_too(clips):
  page = gallery_section.section(clips, ())
  assert f"best: {clips['gallery/ade'][0]:.3f} m" in page
  assert "worst: unknown" in page and "nan" not in page


def test_what_is_missing_is_named(clips):
  without = {k: v for k, v in clips.items() if k != "gallery/rank"}
  assert "has no gallery/rank." in gallery_section.section(without, ())
  none = {k: v[:0] if v.ndim else v for k, v in clips.items()}
  assert "have no clips" in gallery_section.section(none, ())
  assert gallery_section.scene_ids({}) == []


@pytest.mark.parametrize("key", ["predicted", "ade", "class_names"])
def test_an_array_of_another_length_is_named(key, clips):
  name = f"gallery/{key}"
  page = gallery_section.section(clips | {name: clips[name][:-1]}, ())
  assert f"is broken: {name} does not fit" in page


@pytest.mark.slow
def test_large_galleries_are_stored_with_loss_and_stay_small():
  rng = np.random.default_rng(0)
  clips = make_gallery(rng, 64, 8, [f"class {i}" for i in range(15)])
  page = gallery_section.section(clips, ())
  first = animations.strip_frames(
    [clips["gallery/real"][0], clips["gallery/predicted"][0]], is_stacked=True
  )
  lossless = animations.encode_webp(first, lossless=True)
  limit = animations.MAX_SECTION_BYTES
  assert len(lossless) * 45 * 4 / 3 > limit  # Else this tests nothing.
  assert len(page) < 1.1 * limit
