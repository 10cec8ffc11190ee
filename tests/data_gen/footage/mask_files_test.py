"""Masks from folders of PNG files of all kinds, and from videos."""

import numpy as np
import pytest
import small_footage
from PIL import Image

from data_gen.errors import DataError
from data_gen.footage import mask_files
from data_gen.footage.mask_files import open_masks

MASK = np.zeros((6, 8), bool)
MASK[2:4, 3:7] = True


def _modes():
  one = MASK.astype(np.uint8)
  palette = Image.fromarray(one).convert("P")
  palette.putpalette([0, 0, 0, 128, 0, 0])
  rgb = np.stack([one * 0, one * 3, one * 0], axis=-1)
  alpha = np.full((*MASK.shape, 1), 255, np.uint8)
  return {
    "binary": Image.fromarray(MASK),
    "grey of 1": Image.fromarray(one),
    "16 bits": Image.fromarray(one.astype(np.uint16) * 256),
    "colour": Image.fromarray(rgb),
    "colour with alpha": Image.fromarray(np.concatenate([rgb, alpha], -1)),
    "palette": palette,
  }


@pytest.mark.parametrize("mode", _modes())
def test_what_is_not_black_is_the_object(mode, tmp_path):
  _modes()[mode].save(tmp_path / "0.png")
  masks = open_masks(tmp_path)
  assert masks.num_frames == 1
  (found,) = masks.frames(np.array([0]))
  np.testing.assert_array_equal(found, MASK)


def test_files_are_ordered_by_their_numbers(tmp_path):
  for number in range(12):
    image = np.zeros((2, 12), np.uint8)
    image[0, number] = 255
    Image.fromarray(image).save(tmp_path / f"mask_{number}.png")
  found = open_masks(tmp_path).frames(np.array([2, 5, 10, 11]))
  assert [int(np.argmax(mask[0])) for mask in found] == [2, 5, 10, 11]


def test_videos_are_split_at_half(tmp_path):
  levels = np.array([0, 127, 128, 255], np.uint8)
  frames = np.broadcast_to(levels[:, None, None, None], (4, 16, 16, 3)).copy()
  small_footage.write_video(tmp_path / "masks.mkv", frames)
  masks = open_masks(tmp_path / "masks.mkv")
  assert masks.num_frames == 4
  found = [mask.mean() for mask in masks.frames(np.arange(4))]
  assert found == [0, 0, 1, 1]


def test_bad_files_are_named(tmp_path):
  with pytest.raises(DataError, match="no PNG files"):
    open_masks(tmp_path)
  (tmp_path / "0.png").write_bytes(b"no image")
  with pytest.raises(DataError, match=r"0\.png cannot be decoded"):
    list(open_masks(tmp_path).frames(np.array([0])))


def _cut_outs():
  """Pictures that are opaque where the mask is; colours are hidden under it."""
  rng = np.random.default_rng(0)
  colours = rng.integers(0, 256, (*MASK.shape, 3), np.uint8)
  colours[2, 3] = 0  # The object has a black spot.
  alpha = np.where(MASK, 255, 0).astype(np.uint8)[..., None]
  palette = Image.fromarray(np.where(MASK, 1, 7).astype(np.uint8), "P")
  palette.putpalette([90] * 24)
  palette.info["transparency"] = 7
  return {
    "RGBA": Image.fromarray(np.concatenate([colours, alpha], -1)),
    "grey": Image.fromarray(
      np.concatenate([colours[..., :1], alpha], -1), "LA"
    ),
    "palette": palette,
  }


@pytest.mark.parametrize("mode", _cut_outs())
def test_what_is_opaque_is_the_object_of_a_cut_out(mode, tmp_path):
  _cut_outs()[mode].save(tmp_path / "0.png")
  (found,) = open_masks(tmp_path).frames(np.array([0]))
  np.testing.assert_array_equal(found, MASK)


def test_an_empty_cut_out_has_no_object(tmp_path):
  Image.new("RGBA", (4, 4), (200, 200, 200, 0)).save(tmp_path / "0.png")
  (found,) = open_masks(tmp_path).frames(np.array([0]))
  assert not found.any()


@pytest.mark.parametrize("background", [0, 1])
def test_a_palette_without_black_marks_the_background_by_0(
  background, tmp_path
):
  """With black it is black, whichever entry it has."""
  colours = [[68, 1, 84], [253, 231, 37]]
  if background == 1:
    colours[1] = [0, 0, 0]
  numbers = np.where(MASK, 1 - background, background).astype(np.uint8)
  image = Image.fromarray(numbers, "P")
  image.putpalette(np.ravel(colours).tolist())
  image.save(tmp_path / "0.png")
  (found,) = open_masks(tmp_path).frames(np.array([0]))
  np.testing.assert_array_equal(found, MASK)


def _label_frames(count, level):
  frames = np.zeros((count, 16, 16, 3), np.uint8)
  frames[-1, 4:8, 4:8] = level
  return frames


def test_labels_of_a_lossless_video_are_the_object(tmp_path):
  """Also where the only frame that has the object is the last of many."""
  small_footage.write_video(tmp_path / "a.mkv", _label_frames(70, 1))
  masks = open_masks(tmp_path / "a.mkv")
  found = [mask.sum() for mask in masks.frames(np.array([0, 69]))]
  assert found == [0, 16]


def test_a_video_that_is_once_bright_is_split_at_half(tmp_path):
  frames = _label_frames(70, 200)
  frames[0] = 5
  small_footage.write_video(tmp_path / "a.mkv", frames)
  masks = open_masks(tmp_path / "a.mkv")
  found = [mask.sum() for mask in masks.frames(np.array([0, 69]))]
  assert found == [0, 16]


def test_cut_outs_of_a_video_are_the_object(tmp_path):
  av = pytest.importorskip("av")
  frame = np.full((16, 16, 4), 30, np.uint8)
  frame[..., 3] = 0
  frame[4:8, 4:8, 3] = 255
  with av.open(str(tmp_path / "a.mov"), "w") as container:
    stream = container.add_stream("qtrle", rate=25)
    stream.height = stream.width = 16
    stream.pix_fmt = "argb"
    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgba")))
    container.mux(stream.encode())
  (found,) = open_masks(tmp_path / "a.mov").frames(np.array([0]))
  np.testing.assert_array_equal(found, frame[..., 3] > 0)


def test_hidden_files_are_no_masks(tmp_path):
  Image.fromarray(MASK).save(tmp_path / "0.png")
  (tmp_path / "._0.png").write_bytes(b"Mac OS X")
  (tmp_path / ".DS_Store").write_bytes(b"Bud1")
  (tmp_path / "Thumbs.db").write_bytes(b"thumbs")
  (tmp_path / "__MACOSX").mkdir()
  assert [p.name for p in mask_files.mask_paths(tmp_path)] == ["0.png"]
  assert open_masks(tmp_path).num_frames == 1


@pytest.mark.parametrize(
  ("levels", "wanted"),
  [
    ([0] * 40, 0.0),
    ([255] * 40, 1.0),
    ([0] * 39 + [255], None),
    ([0] * 30 + [9] + [0] * 9, None),
  ],
)
def test_masks_that_are_all_alike_are_told(tmp_path, levels, wanted):
  """Also from those that differ in one frame, or in a part of one."""
  for number, level in enumerate(levels):
    mask = np.full((4, 4), level, np.uint8)
    if level == 9:
      mask[1:] = 0
    Image.fromarray(mask).save(tmp_path / f"{number}.png")
  assert mask_files.all_alike(open_masks(tmp_path)) == wanted
