"""Checkpoints in google-research/magvit's format: read, inflated, converted.

`python -m magvit3d.upstream --help` converts one; docs/upstream_checkpoints.md
says how.
"""

from magvit3d.upstream.checkpoint import UpstreamCheckpoint, load
from magvit3d.upstream.inflation import MODES
from magvit3d.upstream.initial import initial_params, initial_trees
from magvit3d.upstream.matching import (
  MatchReport,
  MismatchError,
  compare,
  match,
  match_trees,
)

__all__ = [
  "MODES",
  "MatchReport",
  "MismatchError",
  "UpstreamCheckpoint",
  "compare",
  "initial_params",
  "initial_trees",
  "load",
  "match",
  "match_trees",
]
