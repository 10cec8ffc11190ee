"""Crops of clips, to train a tokenizer on.

Most of a clip is background, and the tokenizer is convolutional: what it
learns on parts around the object serves whole clips, at a fraction of the
cost.
"""

import dataclasses
from typing import Any, SupportsIndex

import numpy as np

from magvit3d.config.networks import TokenizerConfig
from magvit3d.config.training import CropConfig
from magvit3d.data.clips import Sample
from magvit3d.errors import UserError
from magvit3d.models.tokenizer import strides


@dataclasses.dataclass(frozen=True)
class Crop:
  """What is cut out of each clip.

  Attributes:
    num_frames: Frames of a crop, t.
    size: Its height and width, pixels.
    object_share: Share of the crops that lie around a pixel of an object, off
      its centre by up to a quarter of the crop; others lie anywhere, as do
      those of clips whose masks are empty.
  """

  num_frames: int
  size: int
  object_share: float = 1.0

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """Of a crop: (t, h, w, 3)."""
    return self.num_frames, self.size, self.size, 3

  def draw(
    self, masks: np.ndarray, rng: np.random.Generator
  ) -> tuple[slice, slice, slice]:
    """Returns the frames, rows and columns of a crop of one clip.

    Args:
      masks: (t, h, w), not 0 on objects.
      rng: Draws it.
    """
    sizes = (self.num_frames, self.size, self.size)
    room = [
      length - size for length, size in zip(masks.shape, sizes, strict=True)
    ]
    first, top, left = (int(rng.integers(most + 1)) for most in room)
    frames = slice(first, first + self.num_frames)
    pixels = np.flatnonzero(masks[frames])
    if len(pixels) and rng.uniform() < self.object_share:
      pixel = pixels[rng.integers(len(pixels))]
      _, *place = np.unravel_index(pixel, (self.num_frames, *masks.shape[1:]))
      reach = self.size // 4
      shift = rng.integers(-reach, reach, size=2, endpoint=True)
      corner = np.asarray(place) - self.size // 2 + shift
      top, left = (int(edge) for edge in np.clip(corner, 0, room[1:]))
    return frames, slice(top, top + self.size), slice(left, left + self.size)


@dataclasses.dataclass(frozen=True)
class CroppedClips:
  """A source of clips, of which `make_batches` takes a random crop each.

  What is drawn depends on the seed and on the place in the stream alone.

  Attributes:
    source: Samples with `frames` (*v, t, h, w, 3) and `masks` (*v, t, h, w).
    crop: What is cut out; of several views, of each by itself.
  """

  source: Any
  crop: Crop

  def __len__(self) -> int:
    return len(self.source)

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names by label."""
    return self.source.class_names

  def random_clip(
    self, index: SupportsIndex, rng: np.random.Generator
  ) -> Sample:
    """Returns a crop of sample `index`: `frames`, `masks` and `labels`."""
    sample = (
      self.source.random_clip(index, rng)
      if hasattr(self.source, "random_clip")
      else self.source[index]
    )
    frames, masks = sample["frames"], sample["masks"]
    views = masks.shape[:-3]
    cropped = {"frames": [], "masks": []}
    for view in np.ndindex(views):
      place = self.crop.draw(masks[view], rng)
      cropped["frames"].append(frames[view][place])
      cropped["masks"].append(masks[view][place])
    return {
      key: np.stack(parts).reshape(*views, *parts[0].shape)
      for key, parts in cropped.items()
    } | {"labels": sample["labels"]}


def fit_crop(
  fields: CropConfig,
  clip_shape: tuple[int, int, int, int],
  vqvae: TokenizerConfig,
  section: str = "train_tokenizer.crop",
) -> Crop | None:
  """Returns the crop that a section of the config describes; None for none.

  Args:
    fields: `size` and `num_frames`, None for all of the clip; `object_share`.
    clip_shape: (t, h, w, 3).
    vqvae: `config.vqvae`.
    section: Name of the fields' section.

  Raises:
    UserError: A field does not fit the clips or the tokenizer's strides.
  """
  if fields.size is None and fields.num_frames is None:
    return None
  sizes = []
  for field, whole, stride in (
    ("num_frames", clip_shape[0], strides(vqvae)[0]),
    ("size", clip_shape[1], strides(vqvae)[1]),
  ):
    chosen = getattr(fields, field)
    size = whole if chosen is None else chosen
    if not stride <= size <= whole or size % stride:
      raise UserError(
        f"config.{section}.{field}={size} must be a multiple of {stride}, the "
        f"tokenizer's stride (config.vqvae), and at most {whole}, as the clips "
        "have; None takes all."
      )
    sizes.append(size)
  share = fields.object_share
  if not 0 <= share <= 1:
    raise UserError(
      f"config.{section}.object_share={share} is a share of the crops; use a "
      "number from 0 to 1."
    )
  return Crop(*sizes, share)
