"""Readers of pictures and videos."""

import io
import pathlib

import numpy as np
from PIL import Image


def make_picture(size=(9, 7), mode="RGB", **options):
  rng = np.random.default_rng(0)
  depth = len(Image.new(mode, (1, 1)).getbands())
  pixels = rng.integers(0, 256, (size[1], size[0], depth), np.uint8).squeeze()
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(file, **options)
  return file.getvalue()


def prepare_pictures(folder):
  return [
    make_picture(format="PNG"),
    make_picture(mode="RGBA", format="PNG"),
    make_picture(mode="P", format="PNG"),
    make_picture(format="JPEG"),
    make_picture(size=(33, 40), format="JPEG", progressive=True),
    make_picture(format="BMP"),
    make_picture(format="TIFF"),
    make_picture(format="TIFF", compression="tiff_lzw"),
    make_picture(format="GIF"),
    make_picture(format="WEBP"),
  ]


def read_picture(folder, data):
  from data_gen.footage import mask_files
  from magvit3d.data.videos.image_folder import ImageFile

  (folder / "a.png").write_bytes(data)
  for image in ImageFile(folder / "a.png", 0).frames(np.zeros(1, int)):
    assert np.asarray(image).ndim == 3
  for mask in mask_files.MaskFolder(folder).frames(np.zeros(1, int)):
    assert mask.ndim == 2


def prepare_animation(suffix, count=5, **options):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
  images = [Image.fromarray(frame) for frame in frames]
  file = io.BytesIO()
  images[0].save(
    file,
    format=suffix,
    save_all=True,
    append_images=images[1:],
    duration=[40, 40, 80, 40, 100][:count],
    **options,
  )
  return file.getvalue()


def read_animation(suffix):
  def read(folder, data):
    from magvit3d.media.animated_picture import AnimatedPicture

    path = folder / f"a{suffix}"
    path.write_bytes(data)
    video = AnimatedPicture(path)
    for image in video.frames(np.arange(min(video.num_frames, 50))):
      assert image.mode == "RGB"

  return read


def read_png(folder, data):
  from data_gen.files import png

  png.decode_png(memoryview(data), np.zeros((7, 9, 3), np.uint8))


def prepare_png(folder):
  from data_gen.files import png

  rng = np.random.default_rng(0)
  return [
    *png.encode_pngs(rng.integers(0, 256, (1, 7, 9, 3), np.uint8)),
    make_picture(format="PNG"),
  ]


def prepare_video(name):
  def prepare(folder):
    import coded_videos

    coded_videos.write_video(folder / name, 8)
    return [(folder / name).read_bytes()]

  return prepare


def read_video(name):
  def read(folder, data):
    from data_gen.files import video_files

    path = folder / f"fuzzed{pathlib.Path(name).suffix}"
    path.write_bytes(data)
    video_files.count_frames(path)
    video = video_files.VideoFile(path, 0)
    for image in video.frames(np.arange(min(video.num_frames, 12))):
      assert image.mode == "RGB"

  return read
