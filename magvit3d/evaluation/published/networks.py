"""Networks that others trained on real videos, as functions of many clips.

Their weights come from a user's files. Without weights there is no network: a
random one's distances would mean nothing.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree, UInt8

from magvit3d.data.pixels import to_unit_range
from magvit3d.errors import UserError
from magvit3d.inference.batched import map_batches
from magvit3d.models.published import c3d, i3d, lpips_weights, video_weights
from magvit3d.models.published.c3d import C3D
from magvit3d.models.published.i3d import I3D
from magvit3d.models.published.lpips import Lpips
from magvit3d.models.published.lpips_backbones import ARCHITECTURES
from magvit3d.models.published.weight_files import WeightFile
from magvit3d.parallel import sharding

MIN_REAL_CLIPS = 4  # The floor compares halves, a covariance needs two clips.
MIN_GENERATED_CLIPS = 2


@runtime_checkable
class Clips(Protocol):
  """Clips uint8 (n, t, h, w, 3): an array, or what reads them when asked."""

  def __len__(self) -> int: ...

  def __getitem__(self, rows: slice) -> UInt8[np.ndarray, "n t h w 3"]: ...


@dataclasses.dataclass(frozen=True)
class WeightPaths:
  """Files of weights; None: the metric is not computed.

  Attributes:
    i3d: For the Frechet video distance.
    c3d: For the inception score.
    lpips: For LPIPS: one file, or the backbone's and the linear layers'.
    prefix: What messages put before "i3d_weights" and so on.
    frames_field: What messages call the number of frames.
  """

  i3d: str | None = None
  c3d: str | None = None
  lpips: str | Sequence[str] | None = None
  prefix: str = "--"
  frames_field: str = "--num_frames"


@dataclasses.dataclass(frozen=True)
class ClipNetwork:
  """A network with its weights.

  Attributes:
    function: Of the parameters and a batch of uint8 clips; jitted.
    params: On all devices of `mesh`.
    files: Where they are from.
    batch_size: Clips at a time, over all devices of `mesh`.
    mesh: Devices.
  """

  function: Callable[[PyTree, dict[str, Any]], Array]
  params: PyTree
  files: tuple[WeightFile, ...]
  batch_size: int
  mesh: Mesh

  def __call__(self, **clips: Clips) -> Float[np.ndarray, " n *features"]:
    """Returns what the network says of clips; all of `clips` have the same n.

    They are read a batch at a time.
    """
    count, parts = len(next(iter(clips.values()))), []
    for start in range(0, count, self.batch_size):
      rows = slice(start, start + self.batch_size)
      parts.append(
        map_batches(
          lambda batch: self.function(self.params, batch),
          {name: source[rows] for name, source in clips.items()},
          self.batch_size,
          self.mesh,
        )
      )
    return np.concatenate(parts)

  @property
  def checksums(self) -> dict[str, str]:
    """SHA-256 of the files, in hexadecimal, by their paths."""
    return {file.path: file.sha256 for file in self.files}


class MetricNetworks:
  """The networks whose weights there are.

  Attributes:
    paths: Of the weights.
    i3d: Takes `clips` (n, t, h, w, 3); gives logits (n, 400). None without
      weights, as the others.
    c3d: The same, logits (n, 101).
    lpips: Takes `real` and `clips`; gives mean distances of frames (n,).
    backbone: Of LPIPS: "vgg16" or "alexnet".
  """

  def __init__(self, paths: WeightPaths, batch_size: int, mesh: Mesh):
    """Loads the weights.

    Args:
      paths: Of the weights.
      batch_size: Clips at a time, over all devices of `mesh`.
      mesh: Devices; all their processes do this, with the same clips.

    Raises:
      UserError: A file is not usable.
    """

    def make(function, params, *files):
      params = sharding.replicate(params, mesh)
      return ClipNetwork(jax.jit(function), params, files, batch_size, mesh)

    self.paths = paths
    self.i3d = self.c3d = self.lpips = self.backbone = None
    if paths.i3d is not None:
      self.i3d = make(_i3d_logits, *video_weights.load_i3d(paths.i3d))
    if paths.c3d is not None:
      self.c3d = make(_c3d_logits, *video_weights.load_c3d(paths.c3d))
    if paths.lpips:
      names = [paths.lpips] if isinstance(paths.lpips, str) else paths.lpips
      self.backbone, params, files = lpips_weights.load_lpips(names)
      self.lpips = make(_lpips_distances(self.backbone), params, *files)

  def without_lpips(self) -> "MetricNetworks":
    """Returns the networks that need no pairs of clips."""
    others = copy.copy(self)
    others.lpips = None
    return others

  def check_clips(
    self, num_real: int, num_generated: int, clip_shape: Sequence[int]
  ) -> None:
    """Raises UserError unless there are enough clips that the networks read.

    Args:
      num_real: Clips.
      num_generated: Clips.
      clip_shape: (t, h, w, 3).
    """
    num_frames, *size, _ = clip_shape
    field, prefix = self.paths.frames_field, self.paths.prefix
    if self.i3d and num_frames < i3d.MIN_FRAMES:
      raise UserError(
        f"{field}={num_frames}: I3D reads clips of {i3d.MIN_FRAMES} frames or "
        f"more. Score longer clips, or leave out {prefix}i3d_weights."
      )
    if self.c3d and num_frames != c3d.NUM_FRAMES:
      raise UserError(
        f"{field}={num_frames}: C3D only reads clips of {c3d.NUM_FRAMES} "
        f"frames. Score such clips, or leave out {prefix}c3d_weights."
      )
    if self.lpips:
      least = ARCHITECTURES[self.backbone].min_frame_size
      if min(size) < least:
        raise UserError(
          f"The clips have {size[0]} x {size[1]} pixels; LPIPS with "
          f"{self.backbone} needs {least} or more. Score larger clips, or "
          f"leave out {prefix}lpips_weights."
        )
    if self.i3d and num_real < MIN_REAL_CLIPS:
      raise UserError(
        f"There are {num_real} real clips; the Frechet distance "
        f"({prefix}i3d_weights) needs {MIN_REAL_CLIPS} or more, two for each "
        "half that the floor compares. Hundreds give a number to rely on."
      )
    if self.i3d and num_generated < MIN_GENERATED_CLIPS:
      raise UserError(
        f"There are {num_generated} generated clips; the Frechet distance "
        f"({prefix}i3d_weights) needs {MIN_GENERATED_CLIPS} or more. Hundreds "
        "give a number to rely on."
      )


def _i3d_logits(params: PyTree, batch: dict[str, Array]) -> Array:
  logits, _ = I3D().apply({"params": params}, to_unit_range(batch["clips"]))
  return logits


def _c3d_logits(params: PyTree, batch: dict[str, Array]) -> Array:
  return C3D().apply({"params": params}, to_unit_range(batch["clips"]))


def _lpips_distances(backbone: str) -> Callable[[PyTree, dict], Array]:
  def distances(params: PyTree, batch: dict[str, Array]) -> Float[Array, " b"]:
    pairs = jnp.stack([batch["real"], batch["clips"]], axis=2)
    b, t = pairs.shape[:2]
    frames = to_unit_range(pairs.reshape(b * t, *pairs.shape[2:]))
    found = Lpips(backbone).apply({"params": params}, frames)
    return jnp.mean(found.reshape(b, t), axis=1)

  return distances
