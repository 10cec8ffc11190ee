"""Masks from folders of PNG files of all kinds, and from videos."""

import numpy as np
import pytest
import small_footage
from PIL import Image

from data_gen.errors import DataError
from data_gen.mask_files import open_masks

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
