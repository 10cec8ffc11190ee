"""What a data set holds: a scene of each class, lengths of paths, visibility.

The numbers are those of the scenes that were read, evenly spaced over the
split; the counts of the classes are those of all.
"""

import dataclasses

import numpy as np

from data_gen import schema
from data_gen.previews.data_set import UNKNOWN, DataSet, path_length_m
from data_gen.rendering.visibility import MIN_PIXELS

NUM_TILE_FRAMES = 4
_NUM_BINS = 30
_FRAME_TO_GAP = 64  # Widths.
_GAP_LEVEL = 128
_KEYS = (
  schema.CLASS,
  schema.MOTION,
  schema.MASKS,
  schema.TRAJECTORY_CLEAN,
)
_TILE_KEYS = (schema.FRAMES, schema.CAPTION)


@dataclasses.dataclass(frozen=True)
class Tile:
  """One scene of a class.

  Attributes:
    class_name: Its class.
    count: Scenes of the class in the split.
    index: Number of the scene shown; None if there is none.
    caption: Of that scene.
    frames: Some of what its first camera saw, uint8 (n, H, W, 3); or None.
  """

  class_name: str
  count: int
  index: int | None
  caption: str
  frames: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Visibility:
  """How many pixels of the main object the cameras see.

  Attributes:
    counts: (n, V, T), n the scenes that have masks.
    scenes: Their numbers, (n,).
  """

  counts: np.ndarray
  scenes: np.ndarray

  @property
  def smallest(self) -> tuple[int, int, int, int]:
    """The least pixels, and scene, camera and frame where that is."""
    place = np.unravel_index(self.counts.argmin(), self.counts.shape)
    scene, view, frame = map(int, place)
    return int(self.counts[place]), int(self.scenes[scene]), view, frame

  @property
  def num_too_small(self) -> int:
    """Frames of a camera with less than MIN_PIXELS."""
    return int((self.counts < MIN_PIXELS).sum())

  def histogram(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns counts (n,) and edges (n + 1,), from 0 pixels to the most."""
    most = int(self.counts.max()) + 1
    return np.histogram(self.counts, _NUM_BINS, range=(0, most))


@dataclasses.dataclass(frozen=True)
class Overview:
  """What was found.

  Attributes:
    tiles: One for each class.
    lengths_m: Path lengths without noise by motion name, (n,) each; motions
      without any are left out.
    num_unknown_lengths: Scenes read without a path.
    visibility: None if no scene has masks.
    num_read: Scenes read.
    unit: Of the lengths.
  """

  tiles: list[Tile]
  lengths_m: dict[str, np.ndarray]
  num_unknown_lengths: int
  visibility: Visibility | None
  num_read: int
  unit: str

  def length_histograms(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns counts (n,) by motion, and the edges (n + 1,) of them all."""
    most = max(lengths.max() for lengths in self.lengths_m.values())
    # A little more, so that the longest is not in a bin of its own.
    edges = np.linspace(0, 1.02 * max(most, 1e-3), _NUM_BINS + 1)
    return {
      name: np.histogram(lengths, edges)[0]
      for name, lengths in self.lengths_m.items()
    }, edges


def make_overview(data: DataSet, max_scenes: int) -> Overview:
  """Reads up to `max_scenes` scenes, and some more for classes not met.

  Raises:
    DataError: A scene is damaged.
  """
  num_scenes = len(data.source)
  chosen = np.linspace(0, num_scenes - 1, min(max_scenes, num_scenes))
  chosen = np.rint(chosen).astype(int).tolist()
  first: dict[str, int] = {}
  lengths: dict[str, list[float]] = {}
  counts, with_masks, num_unknown = [], [], 0
  for index in chosen:
    scene = data.source.scene(index, _KEYS)
    first.setdefault(data.class_name(scene[schema.CLASS]), index)
    length = path_length_m(scene[schema.TRAJECTORY_CLEAN])
    if np.isfinite(length):
      motion = data.motion_name(scene[schema.MOTION])
      lengths.setdefault(motion, []).append(length)
    else:
      num_unknown += 1
    masks = scene[schema.MASKS]
    if masks.any():
      counts.append((masks == 1).sum((2, 3), dtype=int))
      with_masks.append(index)
  _find_rest(data, first)
  order = (*data.source.motion_names, UNKNOWN)
  return Overview(
    unit=data.unit,
    tiles=_make_tiles(data, first),
    lengths_m={
      name: np.array(lengths[name]) for name in order if name in lengths
    },
    num_unknown_lengths=num_unknown,
    visibility=Visibility(np.array(counts), np.array(with_masks))
    if counts
    else None,
    num_read=len(chosen),
  )


def _find_rest(data: DataSet, first: dict[str, int]) -> None:
  """Adds scenes of classes that were not among those read."""
  wanted = {name for name, count in data.class_counts.items() if count}
  for index in range(len(data.source)):
    if wanted <= first.keys():
      return
    label = data.source.scene(index, (schema.CLASS,))[schema.CLASS]
    first.setdefault(data.class_name(label), index)


def _make_tiles(data: DataSet, first: dict[str, int]) -> list[Tile]:
  tiles, names = [], list(data.source.class_names)
  if UNKNOWN in first and UNKNOWN not in names:
    names.append(UNKNOWN)
  for name in names:
    index, caption, frames = first.get(name), "", None
    if index is not None:
      scene = data.source.scene(index, _TILE_KEYS)
      caption, frames = scene[schema.CAPTION], scene[schema.FRAMES][0]
      shown = np.linspace(0, len(frames) - 1, NUM_TILE_FRAMES)
      frames = frames[np.rint(shown).astype(int)]
    count = data.class_counts.get(name, 0)
    tiles.append(Tile(name, count, index, caption, frames))
  return tiles


def make_strip(frames: np.ndarray) -> np.ndarray:
  """Lays out frames (n, H, W, 3) as one image, side by side with gaps."""
  gap_px = -(-frames.shape[2] // _FRAME_TO_GAP)
  padded = np.pad(
    frames, ((0, 0), (0, 0), (0, gap_px), (0, 0)), constant_values=_GAP_LEVEL
  )
  return np.concatenate(padded, axis=1)[:, :-gap_px]


def describe_visibility(found: Visibility) -> list[tuple[str, str]]:
  """Returns facts on the visible pixels: name and value."""
  smallest, scene, view, frame = found.smallest
  total, small = found.counts.size, found.num_too_small
  return [
    ("scenes with masks", str(len(found.scenes))),
    ("frames of a camera", f"{total:,}"),
    ("median", f"{np.median(found.counts):.0f} px"),
    (
      "smallest",
      f"{smallest} px: scene {scene}, camera {view}, frame {frame}",
    ),
    (
      f"frames below {MIN_PIXELS} px",
      f"{small} of {total:,} ({small / total:.2%})",
    ),
  ]
