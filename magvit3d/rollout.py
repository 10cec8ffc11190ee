"""Goes on with a clip as your actions say, by a trained world model.

  python -m magvit3d.rollout --workdir=runs/world_model_tiny \
    --actions=right,right,up --output=rollout.gif
"""

import argparse
import io
import sys
from collections.abc import Sequence

from magvit3d.cli import host_memory, program

_KINDS = (".gif", ".png", ".npy")
_LEAST_PX = 128


def main(argv: Sequence[str] | None = None) -> int:
  """Makes the clip; returns the exit status."""
  flags = _make_parser().parse_args(argv)
  return program.run(lambda: _roll_out(flags), outputs=[flags.output])


def _make_parser() -> argparse.ArgumentParser:
  parser = program.Parser(__doc__)
  parser.add_path("--workdir", "DIR", "of a run of configs/world_model.py")
  parser.add_argument(
    "--actions",
    required=True,
    help="of the new frames: right, left, up, down and stay with commas, of "
    "scenes away and near too, each as far as digits go in a frame, an object "
    "0.1 m, a camera 0.06 m; or a .npy file, (n, 2), of pixels right and down, "
    "of scenes (n, 3), of metres right, down and away",
  )
  parser.add_path(
    "--output",
    "FILE",
    "file to write: .gif moves, .png has the frames side by side, .npy is an "
    "array (t, h, w)",
  )
  parser.add_argument(
    "--clip",
    type=int,
    default=0,
    help="number of the test clip to go on with (%(default)s)",
  )
  parser.add_argument(
    "--given_frames",
    type=int,
    help="of it, that the model sees, with their actions (half of them)",
  )
  parser.add_argument(
    "--seed",
    type=int,
    default=0,
    help="the same one makes the same frames (%(default)s)",
  )
  return parser


def _roll_out(flags: argparse.Namespace) -> None:
  from magvit3d.errors import UserError
  from magvit3d.files import output_file
  from magvit3d.studies.world_model import WorldModel
  from magvit3d.studies.world_model.trained_world_model import parse_actions

  if flags.output.suffix not in _KINDS:
    raise UserError(
      f"--output={flags.output} must end with {', '.join(_KINDS)}."
    )
  output_file.check(flags.output)
  model = WorldModel.from_run(flags.workdir, batch_size=1)
  clip, past = model.example(flags.clip)
  given = flags.given_frames
  if given is None:
    given = len(clip) // 2
  if not 1 <= given < len(clip):
    raise UserError(f"--given_frames={given} must be 1 to {len(clip) - 1}.")
  made = model.rollout(
    clip[:given],
    parse_actions(flags.actions, model.step, len(model.axes)),
    past_actions=past[:given],
    seed=flags.seed,
  )
  try:
    _write(flags.output, made)
  except OSError as error:
    raise output_file.not_writable(flags.output, error) from error
  print(f"{flags.output}: {given} given frames, {len(made) - given} new ones.")


def _write(path, frames) -> None:
  import numpy as np

  from data_gen.files import png
  from magvit3d.files import atomic_file
  from magvit3d.media import moving_pictures

  if path.suffix == ".npy":
    content = io.BytesIO()
    np.save(content, frames)
    atomic_file.write_bytes(path, content.getvalue())
    return
  colored = np.repeat(frames[..., None], 3, axis=-1)
  large = moving_pictures.enlarged(colored, _LEAST_PX)
  if path.suffix == ".gif":
    content = io.BytesIO()
    moving_pictures.write_gif(content, large)
    atomic_file.write_bytes(path, content.getvalue())
    return
  strip = np.concatenate(list(large), axis=1)
  atomic_file.write_bytes(path, png.encode_pngs(strip[None])[0])


if __name__ == "__main__":
  host_memory.prepare()
  sys.exit(main())
