"""Scores a folder of generated videos against a folder of real ones.

  python -m magvit3d.video_metrics --real=videos/test --generated=samples \
    --i3d_weights=i3d.npz --output=video_metrics.json

Frechet video distance, inception score and LPIPS, each with the weights of a
published network that you bring: docs/video_metrics.md.
"""

import argparse
import functools
import sys
from collections.abc import Sequence

from data_gen.files import user_paths
from magvit3d.cli import host_memory, program


def main(argv: Sequence[str] | None = None) -> int:
  """Scores the clips; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return program.run(
    lambda: _score(flags), "Nothing was written.", [flags.output]
  )


def _make_parser() -> argparse.ArgumentParser:
  parser = program.Parser(__doc__)
  for name, help_text in (
    ("--real", "real videos: video files, GIF, WebP or folders of frames"),
    ("--generated", "generated ones"),
  ):
    parser.add_path(name, "DIR", help_text)
  for name, number, help_text in (
    ("--i3d_weights", None, "I3D (Kinetics-400): Frechet video distance"),
    ("--c3d_weights", None, "C3D (UCF-101): inception score of --generated"),
    (
      "--lpips_weights",
      "+",
      "LPIPS (VGG-16 or AlexNet) of clips of the same name: one file, or the "
      "backbone's and that of the linear layers",
    ),
  ):
    parser.add_argument(
      name, nargs=number, type=_home, metavar="FILE", help=help_text
    )
  for name, default, help_text in (
    ("--num_frames", 16, "frames of a clip, from a video's middle"),
    ("--frame_stride", 1, "2 takes every second frame"),
    (
      "--image_size",
      None,
      "pixels to which the largest square of each frame is scaled; without it "
      "the frames' shorter side, which must be the same in all",
    ),
    ("--batch_size", 8, "clips at a time"),
    ("--inception_parts", 1, "parts of --generated for the inception score"),
  ):
    default_text = "" if default is None else " (%(default)s)"
    parser.add_argument(
      name, type=int, default=default, help=help_text + default_text
    )
  parser.add_path("--output", "FILE.json", "file to write")
  return parser


def _home(text: str) -> str:
  return str(user_paths.argument(text))


def _score(flags: argparse.Namespace) -> None:
  from magvit3d.checkpoints.code_version import code_version
  from magvit3d.evaluation.published import folders

  entries = folders.score(
    folders.Request(**vars(flags)),
    code_version(),
    log=functools.partial(print, file=sys.stderr, flush=True),
  )
  print(folders.to_text(entries))
  print(f"\nWritten: {flags.output}")


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
