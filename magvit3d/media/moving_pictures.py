"""Frames as a GIF or an MP4 file."""

import importlib.util
import io
import pathlib
import shutil

import numpy as np
from jaxtyping import UInt8
from PIL import Image

FRAMES_PER_SECOND = 8
_LAST_FRAME_MS = 750  # The end stays a moment before it starts again.


def enlarged(
  frames: UInt8[np.ndarray, "t h w 3"], least_px: int
) -> UInt8[np.ndarray, "t height width 3"]:
  """Repeats pixels so that frames are at least so wide, and even in size."""
  factor = max(1, -(-least_px // frames.shape[2]))
  larger = frames.repeat(factor, axis=1).repeat(factor, axis=2)
  odd = [(0, size % 2) for size in larger.shape[1:3]]
  return np.pad(larger, ((0, 0), *odd, (0, 0)), mode="edge")


def write_gif(
  file: pathlib.Path | io.BytesIO, frames: UInt8[np.ndarray, "t h w 3"]
) -> None:
  """Writes an endless GIF; all frames share one palette of 256 colours."""
  tall = Image.fromarray(frames.reshape(-1, *frames.shape[2:]))
  palette = tall.quantize(256, method=Image.Quantize.MEDIANCUT)
  images = [
    Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    for frame in frames
  ]
  duration = 1000 // FRAMES_PER_SECOND
  images[0].save(
    file,
    format="GIF",
    save_all=True,
    append_images=images[1:],
    duration=[duration] * (len(images) - 1) + [_LAST_FRAME_MS],
    loop=0,
  )


def write_mp4(
  path: pathlib.Path, frames: UInt8[np.ndarray, "t h w 3"]
) -> str | None:
  """Writes an MP4 file with what there is: mediapy and ffmpeg, or PyAV.

  Args:
    path: File.
    frames: Of even height and width.

  Returns:
    None, or why there is no file.
  """
  if importlib.util.find_spec("mediapy") and shutil.which("ffmpeg"):
    import mediapy  # pyright: ignore[reportMissingImports]

    mediapy.write_video(path, frames, fps=FRAMES_PER_SECOND, qp=20)
    return None
  if importlib.util.find_spec("av"):
    _write_with_av(path, frames)
    return None
  return (
    "no MP4 file was written: that takes ffmpeg with mediapy, or PyAV "
    "(pip install 'magvit3d[video]')."
  )


def _write_with_av(path: pathlib.Path, frames: np.ndarray) -> None:
  import av

  with av.open(str(path), "w") as file:
    stream = file.add_stream("libx264", rate=FRAMES_PER_SECOND)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.options = {"qp": "20"}
    for frame in frames:
      picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
      file.mux(stream.encode(picture))
    file.mux(stream.encode())
