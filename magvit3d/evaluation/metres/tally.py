"""Scores and paths of clips of many scenes, collected scene by scene."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from magvit3d.evaluation.metres import baselines as scene_baselines
from magvit3d.evaluation.metres import scene_scores, summary
from magvit3d.evaluation.metres.scene_scores import ScoredPath
from magvit3d.evaluation.metres.scenes import ScoredScene
from magvit3d.evaluation.metres.summary import VIDEOS, Line

RECONSTRUCTIONS = "reconstructions"
Clips = UInt8[np.ndarray, "v t h w 3"]


class SceneTally:
  """Clips of scenes beside baselines and floors.

  Attributes:
    given_frames: First frames of the clips that the model was given.

  Args:
    given_frames: These.
    shape_names: Of the data set, in the order of the tables.
    motion_names: Likewise.
    knows_first_frame: Whether a copy of the first frame is a baseline where no
      frame is given; it is perfect in that frame.
  """

  def __init__(
    self,
    given_frames: int,
    shape_names: Sequence[str],
    motion_names: Sequence[str],
    *,
    knows_first_frame: bool = True,
  ):
    self._knows_first_frame = knows_first_frame
    self.given_frames = given_frames
    self._names = {"shape": shape_names, "motion": motion_names}
    self._labels: dict[str, list[str]] = {"shape": [], "motion": []}
    self._truth: list[np.ndarray] = []
    self._found: dict[tuple[str, str], list[ScoredPath]] = {}

  def __len__(self) -> int:
    """Returns the number of scenes."""
    return len(self._truth)

  def add(
    self,
    scene: ScoredScene,
    videos: Mapping[str, Clips],
    floors: Mapping[str, Clips] | None = None,
    baselines: Mapping[str, Clips] | None = None,
  ) -> None:
    """Scores the clips of a scene.

    Args:
      scene: The truth.
      videos: Clips of models by name, the same names in all scenes.
      floors: Further clips beside the true frames.
      baselines: Further ones beside those of `scene_scores.score_baselines`.
    """
    given = self.given_frames

    def scored(clips):
      return {
        name: scene_scores.score_clips(made, scene, given)
        for name, made in (clips or {}).items()
      }

    known, bounds = scene_scores.score_baselines(scene, given)
    if not self._knows_first_frame:
      known.pop(scene_baselines.COPY_FIRST, None)
    for role, found in (
      (VIDEOS, scored(videos)),
      ("baseline", scored(baselines) | known),
      ("floor", bounds | scored(floors)),
    ):
      for name, path in found.items():
        self._found.setdefault((role, name), []).append(path)
    self._labels["shape"].append(scene.solid.shape)
    self._labels["motion"].append(scene.motion)
    self._truth.append(scene.trajectory)

  @property
  def names(self) -> tuple[str, ...]:
    """Of the clips and paths that were scored."""
    return tuple(name for _, name in self._found)

  def values(self, clips: str, metric: str) -> Float[np.ndarray, " n"]:
    """Returns a score of each scene, one of METRICS, of the clips of a name."""
    (paths,) = (
      found for (_, name), found in self._found.items() if name == clips
    )
    return np.array([path.scores[metric] for path in paths])

  def lines(self, seed: int) -> list[Line]:
    """Returns means with intervals; see `summary.summarise`."""
    scores = {
      key: [path.scores for path in paths] for key, paths in self._found.items()
    }
    return summary.summarise(scores, self._labels, self._names, seed)

  def paths(self) -> dict[str, np.ndarray]:
    """Returns the paths of n scenes and k kinds of clips.

    Returns:
      names: str (k,), the model's first. positions: float32 (k, n, t, 3),
      metres. is_found: bool (k, n, t). ade: float32 (k, n), metres, over the
      frames that were not given. truth: float32 (n, t, 3). shape, motion: str
      (n,). given_frames: int.
    """
    rows = self._found.values()
    return {
      "names": np.array([name for _, name in self._found]),
      "positions": np.array(
        [[path.positions for path in paths] for paths in rows], np.float32
      ),
      "is_found": np.array(
        [[path.is_found for path in paths] for paths in rows]
      ),
      "ade": np.array(
        [[path.scores["ade"] for path in paths] for paths in rows], np.float32
      ),
      "truth": np.array(self._truth, np.float32),
      "given_frames": np.array(self.given_frames),
      **{label: np.array(names) for label, names in self._labels.items()},
    }
