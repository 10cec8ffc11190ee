"""A picture of any kind becomes the RGB that it shows."""

import numpy as np
import pytest
from PIL import Image

from data_gen.errors import DataError
from data_gen.files.rgb_images import GROUND, alpha, to_rgb
from magvit3d.data.videos.clip_folder import ClipFolder
from magvit3d.data.videos.image_folder import ImageFile
from magvit3d.data.videos.tfds_videos import EncodedVideo

_RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (8, 1))
_GREY = np.stack([_RAMP] * 3, axis=-1)
_IS_SHOWN = np.arange(_RAMP.shape[1]) >= 32


def _with_alpha(mode):
  """The ramp; its left half is there too, but transparent."""
  opaque = np.broadcast_to(_IS_SHOWN * np.uint8(255), _RAMP.shape)
  bands = [_RAMP] * (1 if mode == "LA" else 3)
  return Image.fromarray(np.stack([*bands, opaque], axis=-1), mode)


def _palette(transparency=None):
  """The ramp by palette entries in the opposite order."""
  image = Image.fromarray(255 - _RAMP, "P")
  image.putpalette(np.repeat(np.arange(255, -1, -1), 3).tolist())
  if transparency is not None:
    image.info["transparency"] = transparency
  return image


def _sixteen_bits():
  return Image.fromarray(_RAMP.astype(np.uint16) * 257)


def _big_endian():
  data = (_RAMP.astype(">u2") * 257).astype(">u2").tobytes()
  return Image.frombytes("I;16B", _RAMP.shape[::-1], data)


OPAQUE = {
  "grey": lambda: Image.fromarray(_RAMP),
  "grey of 16 bits": _sixteen_bits,
  "grey of 16 bits, big-endian": _big_endian,
  "grey of 16 bits in 32": lambda: Image.fromarray(
    _RAMP.astype(np.int32) * 257
  ),
  "palette": _palette,
  "RGB": lambda: Image.fromarray(_GREY),
  "CMYK": lambda: Image.fromarray(_GREY).convert("CMYK"),
  "YCbCr": lambda: Image.fromarray(_GREY).convert("YCbCr"),
}
CUT_OUT = {
  "grey and alpha": lambda: _with_alpha("LA"),
  "RGBA": lambda: _with_alpha("RGBA"),
  "premultiplied": lambda: _with_alpha("RGBA").convert("RGBa"),
  "palette and alpha": lambda: _palette(
    bytes(255 * (i < 128) for i in range(256))
  ),
}


@pytest.mark.parametrize("kind", OPAQUE)
def test_opaque_pictures_are_alike(kind):
  found = to_rgb(OPAQUE[kind]())
  assert found.mode == "RGB"
  # YCbCr is rounded twice.
  assert np.abs(np.asarray(found).astype(int) - _GREY).max() <= 2
  if kind != "YCbCr":
    np.testing.assert_array_equal(found, _GREY)
  assert alpha(OPAQUE[kind]()) is None


@pytest.mark.parametrize("kind", CUT_OUT)
def test_what_is_transparent_shows_the_ground(kind):
  found = to_rgb(CUT_OUT[kind]())
  wanted = np.where(_IS_SHOWN[None, :, None], _GREY, np.uint8(GROUND))
  np.testing.assert_array_equal(found, wanted)
  np.testing.assert_array_equal(alpha(CUT_OUT[kind]())[0] > 0, _IS_SHOWN)


def test_half_transparent_is_half_the_ground():
  image = Image.new("RGBA", (1, 1), (200, 100, 0, 128))
  np.testing.assert_allclose(
    np.asarray(to_rgb(image))[0, 0], (100, 50, 0), atol=1
  )


def test_one_level_of_a_file_may_be_transparent(tmp_path):
  for name, image, level in (
    ("8", Image.fromarray(_RAMP), 252),
    ("16", _sixteen_bits(), 252 * 257),
  ):
    path = tmp_path / f"{name}.png"
    image.save(path, transparency=level)
    with Image.open(path) as stored:
      found = np.asarray(to_rgb(stored))
    wanted = np.where(_GREY == 252, np.uint8(GROUND), _GREY)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
  ("values", "message"),
  [
    (np.full((2, 2), 1 << 20, np.int32), "are no 16 bits"),
    (np.full((2, 2), -1, np.int32), "are no 16 bits"),
    (np.full((2, 2), 0.5, np.float32), "are floats"),
  ],
)
def test_unknown_ranges_are_errors(values, message):
  with pytest.raises(ValueError, match=message):
    to_rgb(Image.fromarray(values))


@pytest.mark.parametrize("kind", ["RGBA", "grey of 16 bits", "palette"])
def test_every_reader_takes_it(tmp_path, kind):
  image = (OPAQUE | CUT_OUT)[kind]()
  wanted = np.asarray(to_rgb(image))
  path = tmp_path / "clips" / "a" / "0.png"
  path.parent.mkdir(parents=True)
  image.save(path)
  (found,) = ImageFile(path, 0).frames(np.array([0]))
  np.testing.assert_array_equal(found, wanted)
  video = EncodedVideo("a", 0, [path.read_bytes()])
  (found,) = video.frames(np.array([0]))
  np.testing.assert_array_equal(found, wanted)
  clips = ClipFolder(tmp_path / "clips", "--real", num_frames=1)
  middle = wanted[:, 28:36]
  np.testing.assert_array_equal(clips[:][0, 0], middle)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_moving_cut_outs_show_the_ground(tmp_path, suffix):
  folder = tmp_path / "clips"
  folder.mkdir()
  first = Image.new("RGBA", (16, 16), (250, 250, 250, 0))
  first.paste((250, 0, 0, 255), (4, 4, 12, 12))
  second = first.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  second.putpixel((5, 5), (0, 250, 0, 255))
  first.save(
    folder / f"a.{suffix}",
    save_all=True,
    append_images=[second],
    duration=100,
    disposal=2,
    lossless=True,
  )
  clips = ClipFolder(folder, "--real", num_frames=2)
  corners = clips[:][0][:, [0, 0, -1, -1], [0, -1, 0, -1]]
  np.testing.assert_array_equal(corners, np.zeros_like(corners))
  assert (clips[:][0][:, 8, 8] == (250, 0, 0)).all()


def test_a_picture_without_a_range_is_named(tmp_path):
  path = tmp_path / "a.png"
  Image.fromarray(np.ones((2, 2), np.float32)).save(path, "TIFF")
  with pytest.raises(DataError, match=r"a\.png cannot .*floats"):
    list(ImageFile(path, 0).frames(np.array([0])))
