"""Moving digits as the data of a run: made when they are read, no files."""

import hashlib
import json
import pathlib
from typing import Any

import numpy as np
from jaxtyping import UInt8

from data_gen.digits.digit_images import SPLITS
from data_gen.digits.moving_digits import MovingDigits
from data_gen.files import array_files, json_files, png
from magvit3d.config.run import RunConfig
from magvit3d.config.world_model import DigitsConfig
from magvit3d.errors import UserError
from magvit3d.files import atomic_file

_FACTS_NAME, _PREVIEW_NAME = "digits.json", "preview.png"
_PREVIEW_CLIPS, _PREVIEW_SCALE = 8, 2


class DigitData:
  """Clips of moving digits; it has what `RunData` has, but for scenes.

  Attributes:
    clip_shape: (t, h, w).
    axes: Where the numbers of an action point, in words.
    unit: Theirs.
    action_scale: The largest of them, which is 1 to the networks.
    folder: With a picture of some clips, and what they were made with.

  Args:
    config: Of a run with `config.digits`.
    workdir: Folder of the run.
  """

  axes = ("right", "down")
  unit = "px"

  def __init__(self, config: RunConfig, workdir: pathlib.Path):
    assert config.digits is not None
    self._config: DigitsConfig = config.digits
    self.action_scale = float(self._config.max_speed)
    size = self._config.image_size
    self.clip_shape = (self._config.num_frames, size, size)
    self.folder = workdir / "data"
    self._sources: dict[str, MovingDigits] = {}

  @property
  def max_action(self) -> float:
    """The largest number of an action."""
    return self.action_scale

  def num_train(self) -> int:
    """Returns the clips to train on."""
    return self._config.num_train

  def clips(self, split: str) -> MovingDigits:
    """Returns the clips of a split, as they are made."""
    if split not in self._sources:
      config = self._config
      self._sources[split] = MovingDigits(
        split=split,
        num_clips=getattr(config, f"num_{split}"),
        num_frames=config.num_frames,
        image_size=config.image_size,
        num_digits=config.num_digits,
        max_speed=config.max_speed,
        turn_rate=config.turn_rate,
        seed=config.seed,
        folder=None if config.mnist_dir is None else str(config.mnist_dir),
      )
    return self._sources[split]

  def given_clips(self) -> UInt8[np.ndarray, "n t h w"] | None:
    """Returns the clips of `config.digits.test_file`; None: there are none.

    Raises:
      UserError: They cannot be read, or are of another size.
    """
    if self._config.test_file is None:
      return None
    path = pathlib.Path(self._config.test_file)
    try:
      clips = array_files.read_npy(path)
    except (OSError, ValueError) as error:
      raise UserError(
        f"config.digits.test_file={path} cannot be read as an array of NumPy "
        f"({error})."
      ) from error
    t, h, w = self.clip_shape
    if clips.ndim != 4 or clips.dtype != np.uint8:
      raise UserError(
        f"config.digits.test_file={path} has {clips.dtype} {clips.shape}, but "
        "mnist_test_seq.npy has uint8 (frames, clips, height, width)."
      )
    clips = np.moveaxis(clips, 0, 1)[: self._config.num_test]
    if clips.shape[1:] != (t, h, w):
      raise UserError(
        f"config.digits.test_file={path} has clips of {clips.shape[1]} frames "
        f"of {clips.shape[2]} x {clips.shape[3]} px; set config.digits."
        f"num_frames={clips.shape[1]} and image_size={clips.shape[2]}, and "
        "train on such clips."
      )
    return clips

  def check_fits(self) -> None:
    """Reads the images of all splits.

    Raises:
      DataError: A file is missing or damaged.
      UserError: `test_file` are.
    """
    for split in SPLITS:
      self.clips(split)
    self.given_clips()

  def generate(self) -> None:
    """Writes a picture of some clips, and what they were made with."""
    clips = [self.clips("train")[i]["frames"] for i in range(self._num_shown)]
    rows = np.concatenate([np.concatenate(list(c), axis=1) for c in clips])
    large = rows.repeat(_PREVIEW_SCALE, 0).repeat(_PREVIEW_SCALE, 1)
    atomic_file.write_bytes(
      self.folder / _PREVIEW_NAME, png.encode_pngs(large[None])[0]
    )
    text = json.dumps(self.splits(), indent=2) + "\n"
    atomic_file.write_text(self.folder / _FACTS_NAME, text)

  @property
  def _num_shown(self) -> int:
    return min(_PREVIEW_CLIPS, self._config.num_train)

  def is_complete(self) -> bool:
    """Whether these are the clips that `generate` wrote of."""
    try:
      found = json_files.read(self.folder / _FACTS_NAME)
    except (OSError, ValueError):
      return False
    return found == self.splits()

  def outputs(self) -> list[pathlib.Path]:
    """Returns what `generate` wrote."""
    return [self.folder / _FACTS_NAME, self.folder / _PREVIEW_NAME]

  def identity(self) -> dict[str, Any]:
    """Returns what a network's checkpoint must agree with."""
    names = ("num_train", "num_frames", "image_size", "num_digits", "max_speed")
    fields = {name: getattr(self._config, name) for name in names}
    return fields | {
      "turn_rate": self._config.turn_rate,
      "seed": self._config.seed,
      "digits": self._digest("train"),
    }

  def splits(self) -> dict[str, Any]:
    """Returns what tells the data from others."""
    counts = {f"num_{s}": getattr(self._config, f"num_{s}") for s in SPLITS}
    given = self.given_clips()
    return (
      self.identity()
      | counts
      | {
        "test_digits": self._digest("test"),
        "test_file": None if given is None else _sha256(given),
      }
    )

  def cut(self) -> dict[str, int]:
    """Returns nothing: `identity` has the frames."""
    return {}

  def manifest_sha256(self) -> None:
    """Returns None: there is no manifest."""

  def _digest(self, split: str) -> str:
    return _sha256(self.clips(split).images)


def _sha256(array: np.ndarray) -> str:
  return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
