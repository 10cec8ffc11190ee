"""Your own video as tokens, and back.

  python examples/tokenize_video.py VIDEO.mp4 --output=tokens

Cuts the middle square of each frame, makes clips as long as the model's, and
writes tokens.npz and compared.mp4: left the video, right what its tokens tell
of it. Takes the extra `video`: pip install -e '.[video]'.
"""

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image, ImageOps

from data_gen.files.video_files import VideoFile
from magvit3d.api import Magvit
from magvit3d.cli import program
from magvit3d.errors import UserError
from magvit3d.media import moving_pictures


def read_clips(path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
  """Returns a video as clips, uint8 (n, t, h, w, 3); says what is left over."""
  video = VideoFile(path, label=0)
  t, h, w, _ = shape
  count = video.num_frames // t
  if not count:
    raise UserError(f"{path} has {video.num_frames} frames; a clip takes {t}.")
  if rest := video.num_frames % t:
    print(f"The last {rest} of {video.num_frames} frames are left over.")
  frames = [
    np.asarray(ImageOps.fit(frame, (w, h), Image.Resampling.BILINEAR))
    for frame in video.frames(np.arange(count * t))
  ]
  return np.stack(frames).reshape(count, *shape)


def tokenize(video: pathlib.Path, model: str, output: pathlib.Path) -> None:
  """Writes the tokens of a video, and what is left of it."""
  magvit = Magvit.from_pretrained(model)
  clips = read_clips(video, magvit.clip_shape)
  tokens = magvit.tokenize(clips)
  again = magvit.detokenize(tokens)
  output.mkdir(parents=True, exist_ok=True)
  np.savez(output / "tokens.npz", tokens=tokens)
  both = np.concatenate([clips, again], axis=3)  # Side by side.
  both = both.reshape(-1, *both.shape[2:])
  moving_pictures.write_mp4(
    output / "compared.mp4", moving_pictures.enlarged(both, 512)
  )
  error = np.mean((clips / 255.0 - again / 255.0) ** 2)
  print(f"{clips.shape[0]} clips of {clips.shape[1]} frames: tokens", end=" ")
  print(f"{tokens.shape}, PSNR {-10 * np.log10(error):.1f} dB")
  print(f"Written: {output / 'tokens.npz'} and {output / 'compared.mp4'}")


def main() -> int:
  """Reads the flags; returns the exit status."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("video", type=pathlib.Path)
  parser.add_argument("--model", default="traj3d-small", help="(%(default)s)")
  parser.add_argument("--output", type=pathlib.Path, default="tokens")
  flags = parser.parse_args()
  return program.run(lambda: tokenize(flags.video, flags.model, flags.output))


if __name__ == "__main__":
  sys.exit(main())
