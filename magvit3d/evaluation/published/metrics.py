"""Scores of generated clips by networks that others trained on real videos.

  fvd_i3d_k400: Frechet distance of I3D's logits (Kinetics-400).
  inception_score_c3d_ucf101: inception score of C3D's logits (UCF-101).
  lpips_vgg16, lpips_alexnet: LPIPS of paired clips, mean over frames.

Their weights come from a user's files; a metric without weights is not
computed. There is no random network in their place: its distances would mean
nothing.

Beside each score stand what it is for real clips (floor) and for real clips
that are frozen at their first frame (baseline).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import UInt8

from magvit3d.errors import UserError
from magvit3d.evaluation.published.frechet_distance import frechet_distance
from magvit3d.evaluation.published.inception_score import inception_score
from magvit3d.evaluation.published.networks import (
  Clips,
  MetricNetworks,
  WeightPaths,
)
from magvit3d.evaluation.tables import Direction
from magvit3d.models.published import c3d
from magvit3d.parallel.number_types import in_own_types

FVD = "fvd_i3d_k400"
INCEPTION_SCORE = "inception_score_c3d_ucf101"


@dataclasses.dataclass(frozen=True)
class Entry:
  """A score of generated clips, and the same of clips that no network made.

  Attributes:
    metric: Its name.
    value: Of the generated clips.
    real: Of real clips: what a perfect network could reach.
    copy_first: Of real clips, frozen at their first frame.
    std: Of `value`, over parts of the clips; None where there are no parts.
    num_real: Clips.
    num_generated: Clips.
    weights: SHA-256 of the files of weights, by their paths.
    note: How to read the values.
  """

  metric: str
  value: float
  real: float
  copy_first: float
  num_real: int
  num_generated: int
  weights: Mapping[str, str]
  note: str
  std: float | None = None

  @property
  def direction(self) -> Direction:
    """What is better: other scores are distances."""
    return "higher" if self.metric == INCEPTION_SCORE else "lower"


@in_own_types
def score(
  networks: MetricNetworks,
  real: Clips,
  generated: Clips,
  *,
  real_of: Sequence[int] | None = None,
  num_parts: int = 1,
  log: Callable[[str], None] = lambda line: None,
) -> list[Entry]:
  """Returns a score for each network.

  Args:
    networks: Those to score with.
    real: Clips.
    generated: Clips of the same shape.
    real_of: For LPIPS: the number of the real clip of each generated one.
    num_parts: Of the generated clips, for the inception score.
    log: Is told which network is at work.

  Raises:
    UserError: There are too few clips, or the networks do not read them; or
      there is LPIPS and no `real_of`.
  """
  if not len(real) or not len(generated):
    raise UserError(
      f"There are {len(real)} real and {len(generated)} generated clips; "
      "scores need some of both."
    )
  shape, other = real[:1].shape[1:], generated[:1].shape[1:]
  if shape != other:
    raise UserError(
      f"The real clips have the shape {shape} and the generated ones "
      f"{other}; scores need the same for both."
    )
  networks.check_clips(len(real), len(generated), shape)
  if networks.c3d and not 1 <= num_parts <= len(generated):
    raise UserError(
      f"{len(generated)} generated clips cannot be divided into {num_parts} "
      "parts for the inception score."
    )
  if networks.lpips and real_of is None:
    raise UserError(
      f"LPIPS ({networks.paths.prefix}lpips_weights) compares each generated "
      "clip with its real one, and it is not known which that is."
    )
  entries = []
  if networks.i3d:
    log(f"I3D reads {2 * len(real) + len(generated)} clips.")
    entries.append(_score_fvd(networks, real, generated))
  if networks.c3d:
    log(f"C3D reads {2 * len(real) + len(generated)} clips.")
    entries.append(_score_inception(networks, real, generated, num_parts))
  if networks.lpips:
    log(f"LPIPS reads {2 * len(generated)} pairs of clips.")
    entries.append(_score_lpips(networks, _Chosen(real, real_of), generated))
  return entries


@in_own_types
def score_clips(
  paths: WeightPaths,
  real: UInt8[np.ndarray, "n t h w 3"],
  generated: UInt8[np.ndarray, "m t h w 3"],
  *,
  is_paired: bool,
  batch_size: int,
  mesh: Mesh,
) -> list[Entry]:
  """Returns the scores whose weights there are; none without weights.

  Args:
    paths: Weights.
    real: Clips.
    generated: Clips.
    is_paired: Whether generated clip i shows what real clip i does; LPIPS is
      left out where it does not.
    batch_size: Clips at a time, over all devices of `mesh`.
    mesh: Devices.

  Raises:
    UserError: A file of weights is not usable, or the clips do not fit.
    ValueError: They are said to be paired, and there are more of one kind.
  """
  if not is_paired:
    paths = dataclasses.replace(paths, lpips=None)
  elif len(real) != len(generated):
    raise ValueError(
      f"{len(real)} real and {len(generated)} generated clips are no pairs."
    )
  networks = MetricNetworks(paths, batch_size, mesh)
  real_of = range(len(generated)) if is_paired else None
  return score(networks, real, generated, real_of=real_of)


COLUMNS = ("metric", "generated", "real clips", "first frame repeated")


def table_rows(entries: Sequence[Entry]) -> list[list[Any]]:
  """Returns a row for each score, with `COLUMNS`."""
  return [[e.metric, e.value, e.real, e.copy_first] for e in entries]


def _score_fvd(
  networks: MetricNetworks, real: Clips, generated: Clips
) -> Entry:
  features = networks.i3d(clips=real)
  found, floor, copy_first = (
    frechet_distance(*sets)
    for sets in (
      (features, networks.i3d(clips=generated)),
      (features[::2], features[1::2]),
      (features, networks.i3d(clips=_Frozen(real))),
    )
  )
  return Entry(
    FVD,
    found.value,
    floor.value,
    copy_first.value,
    len(real),
    len(generated),
    networks.i3d.checksums,
    f"Lower is better. real: between its halves of {len(features[::2])} and "
    f"{len(features[1::2])} clips; fewer clips make it larger. "
    f"{found.note}".strip(),
  )


def _score_inception(
  networks: MetricNetworks, real: Clips, generated: Clips, num_parts: int
) -> Entry:
  found = inception_score(networks.c3d(clips=generated), num_parts)
  return Entry(
    INCEPTION_SCORE,
    found.mean,
    inception_score(networks.c3d(clips=real)).mean,
    inception_score(networks.c3d(clips=_Frozen(real))).mean,
    len(real),
    len(generated),
    networks.c3d.checksums,
    f"Higher is better, from 1 to {c3d.NUM_CLASSES}. Mean over {num_parts} "
    "part(s) of the generated clips; the real ones are one part. It is "
    "published for parts of 10,000; fewer clips make it smaller.",
    found.std,
  )


def _score_lpips(
  networks: MetricNetworks, real: Clips, generated: Clips
) -> Entry:
  values, copy_first = (
    networks.lpips(real=real, clips=clips)
    for clips in (generated, _Frozen(real))
  )
  return Entry(
    f"lpips_{networks.backbone}",
    float(np.mean(values, dtype=np.float64)),
    0.0,
    float(np.mean(copy_first, dtype=np.float64)),
    len(generated),
    len(generated),
    networks.lpips.checksums,
    "Lower is better; mean over frames and pairs of clips. real: of equal "
    "clips, 0 by definition.",
  )


@dataclasses.dataclass(frozen=True)
class _Frozen:
  """Clips whose first frame stands still."""

  clips: Clips

  def __len__(self) -> int:
    return len(self.clips)

  def __getitem__(self, rows: slice) -> np.ndarray:
    clips = self.clips[rows]
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)


@dataclasses.dataclass(frozen=True)
class _Chosen:
  """Clips by their numbers."""

  clips: Clips
  numbers: Sequence[int]

  def __len__(self) -> int:
    return len(self.numbers)

  def __getitem__(self, rows: slice) -> np.ndarray:
    return np.concatenate([self.clips[i : i + 1] for i in self.numbers[rows]])
