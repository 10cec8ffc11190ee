"""Objects as a camera sees them, frame by frame, in the tokens of each frame.

MAGVIT's tokenizer mixes frames, later ones too. So each frame is tokenized
alone, as a clip that stands still for one latent frame: what is later cannot
change it. Which pixels are whose object's, and which object is the same in
another frame, is told by the renderer's masks.
"""

import dataclasses
from collections.abc import Callable
from typing import SupportsIndex

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from magvit3d.monitoring import stage_progress

# Frames (n, t, h, w, 3), uint8, to tokens (n, t', y, x).
Encode = Callable[[np.ndarray], np.ndarray]
_SCENES_AT_A_TIME = 8


@dataclasses.dataclass(frozen=True)
class SeenObjects:
  """The objects of clips, n clips of o objects and t frames.

  Attributes:
    codes: See `PersistenceNetwork`.
    places: The same.
    stays: Whether an object is there in all frames.
  """

  codes: Float[np.ndarray, "n o t d"]
  places: Float[np.ndarray, "n o t 4"]
  stays: Bool[np.ndarray, "n o"]

  @property
  def is_seen(self) -> Bool[np.ndarray, "n o t"]:
    """Whether pixels of an object are in sight."""
    return self.places[..., 0] > 0

  def __len__(self) -> int:
    return len(self.stays)

  def __repr__(self) -> str:
    # Grain compares it when it restores an iterator.
    return f"SeenObjects({self.codes.shape}, {int(self.stays.sum())} stay)"

  def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
    """Returns a clip: `codes`, `places`, and `stays`, float32."""
    number = int(index)
    return {
      "codes": self.codes[number],
      "places": self.places[number],
      "stays": self.stays[number].astype(np.float32),
    }

  def chosen(self, numbers: Int[np.ndarray, " m"]) -> "SeenObjects":
    """Returns some of the clips."""
    return SeenObjects(
      self.codes[numbers], self.places[numbers], self.stays[numbers]
    )

  def shuffled(self, seed: int) -> "SeenObjects":
    """Returns them with the labels of each other's, a control."""
    labels = np.random.default_rng(seed).permutation(self.stays.reshape(-1))
    return dataclasses.replace(self, stays=labels.reshape(self.stays.shape))


def tokens_of_frames(
  frames: UInt8[np.ndarray, "n t h w 3"], encode: Encode, stride: int
) -> Int[np.ndarray, "n t y x"]:
  """Returns the tokens of each frame alone.

  Args:
    frames: Of clips.
    encode: The frozen tokenizer's.
    stride: Frames of one latent frame.
  """
  count, num_frames = frames.shape[:2]
  still = frames.reshape(count * num_frames, 1, *frames.shape[2:])
  tokens = encode(np.repeat(still, stride, axis=1))
  return tokens.reshape(count, num_frames, *tokens.shape[2:])


def pooled(
  tokens: Int[np.ndarray, "n t y x"],
  masks: UInt8[np.ndarray, "n t h w"],
  codebook: Float[np.ndarray, "k d"],
  num_objects: int,
) -> tuple[Float[np.ndarray, "n o t d"], Float[np.ndarray, "n o t 4"]]:
  """Returns mean codes under each object's mask, and the masks' places.

  A cell counts by the share of it that the object covers. Each frame gives its
  own entries alone.

  Args:
    tokens: Of each frame.
    masks: Object i has the number i + 1.
    codebook: Rows by token.
    num_objects: Of a scene.
  """
  count, num_frames, height, width = masks.shape
  rows, columns = tokens.shape[2:]
  is_own = (
    masks[:, None]
    == np.arange(1, num_objects + 1, dtype=np.uint8)[:, None, None, None]
  )
  area = is_own.sum((3, 4), dtype=np.float32)
  cells = is_own.reshape(
    count, num_objects, num_frames, rows, height // rows, columns, -1
  ).sum((4, 6), dtype=np.float32)
  total = np.maximum(area, 1)[..., None]
  shares = cells.reshape(*area.shape, -1) / total
  looked_up = codebook[tokens].reshape(count, num_frames, -1, codebook.shape[1])
  # A product for each frame: no other one is in it.
  codes = np.matmul(shares.transpose(0, 2, 1, 3), looked_up)
  middles = [
    (is_own.sum(other, dtype=np.float32) @ np.linspace(-1, 1, size))
    / total[..., 0]
    for other, size in ((4, height), (3, width))
  ]
  share = area / np.float32(height * width)
  places = np.stack([area > 0, share, *middles], axis=-1)
  return (
    codes.transpose(0, 2, 1, 3).astype(np.float32),
    places.astype(np.float32),
  )


def read(
  scenes: SceneSource,
  encode: Encode,
  stride: int,
  codebook: Float[np.ndarray, "k d"],
) -> SeenObjects:
  """Returns the objects of all clips of a split, view after view of a scene.

  Args:
    scenes: With several objects.
    encode: See `tokens_of_frames`.
    stride: The same.
    codebook: Of the tokenizer.
  """
  parts, stays = [], []
  keys = (schema.FRAMES, schema.MASKS, schema.OBJECTS_IS_TRANSIENT)
  for first in range(0, len(scenes), _SCENES_AT_A_TIME):
    stage_progress.note(first, len(scenes))
    last = min(first + _SCENES_AT_A_TIME, len(scenes))
    found = [scenes.scene(index, keys) for index in range(first, last)]
    frames, masks = (
      np.concatenate([scene[key] for scene in found]) for key in keys[:2]
    )
    tokens = tokens_of_frames(frames, encode, stride)
    labels = np.stack([scene[keys[2]] for scene in found]) == 0
    parts.append(pooled(tokens, masks, codebook, labels.shape[1]))
    stays.append(np.repeat(labels, scenes.num_views, axis=0))
  codes, places = (
    np.concatenate(arrays) for arrays in zip(*parts, strict=True)
  )
  return SeenObjects(codes, places, np.concatenate(stays))
