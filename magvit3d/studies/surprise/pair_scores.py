"""A model's surprise at the pairs of a data set."""

import numpy as np

from data_gen import schema
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.violations import ALL_VIEWS, KINDS
from magvit3d.api import Magvit
from magvit3d.data.scene_clips import spread_views
from magvit3d.errors import UserError
from magvit3d.evaluation import surprise
from magvit3d.evaluation.surprise import PairScores
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.run.data import RunData
from magvit3d.studies.surprise.asked_pairs import AskedPairs

_PAIRS_AT_A_TIME = 8


def open_pairs(data: RunData, split: str) -> SceneSource:
  """Opens a split of pairs.

  Raises:
    UserError: They are no pairs, or too few.
    DataError: The data set is damaged.
  """
  source = data.clips(split).scenes
  if schema.VIOLATION_KIND not in source.features:
    raise UserError(
      f"config.data.data_dir={data.folder} holds no pairs: make some with "
      "python -m data_gen --violations."
    )
  if len(source) < len(KINDS):
    raise UserError(
      f"Split {split!r} of {data.folder} has {len(source)} pairs, too few for "
      f"the {len(KINDS)} kinds: make more with config.data.num_{split}."
    )
  return source


def measure(
  magvit: Magvit, source: SceneSource, asked: AskedPairs, **options
) -> PairScores:
  """Returns the model's surprise at all pairs, in bits.

  Args:
    magvit: Networks.
    source: Of the pairs.
    asked: Those that are known already; gets the others.
    options: Of `Magvit.surprise`.
  """
  count = len(source)
  num_views = source.num_views
  if magvit.trained.sees_views:
    num_views = magvit.trained.model.num_views
  while (start := len(asked)) < count:
    stage_progress.note(start, count)
    end = min(start + _PAIRS_AT_A_TIME, count)
    views = [_views(source, index, num_views) for index in range(start, end)]
    pairs = [
      source.views(index, seen, _KEYS)
      for index, seen in zip(range(start, end), views, strict=True)
    ]
    asked.add(_ask(magvit, pairs, views, options), is_last=end == count)
  assert asked.scores is not None  # `open_pairs` wants some.
  return asked.scores


def _views(source: SceneSource, index: int, count: int) -> list[int]:
  """Returns the cameras that are read of a pair.

  Where one of them alone saw the impossible, it is among them: in the clips of
  the others there is nothing to notice.
  """
  views = spread_views(count, source.num_views)
  odd = int(
    source.scene(index, (schema.VIOLATION_VIEW,))[schema.VIOLATION_VIEW]
  )
  if odd != ALL_VIEWS and odd not in views:
    views[np.abs(views - odd).argmin()] = odd
  return views.tolist()


def _ask(magvit, pairs, views, options) -> PairScores:
  clips = np.stack(
    [[pair[schema.FRAMES] for pair in pairs],
     [pair[schema.IMPOSSIBLE_FRAMES] for pair in pairs]]
  )  # fmt: skip
  cameras = _cameras(pairs, views) if magvit.trained.sees_views else None
  scores = [
    [surprise.baseline_scores(scene) for scene in half] for half in clips
  ]
  return PairScores(
    np.array([pair[schema.VIOLATION_KIND] for pair in pairs], np.int64),
    np.array([pair[schema.VIOLATION_FRAME] for pair in pairs], np.int64),
    np.stack([_bits(magvit, half, cameras, options) for half in clips]),
    {
      name: np.array([[found[name] for found in half] for half in scores])
      for name in (surprise.FRAME_DIFFERENCE, surprise.CONSTANT_VELOCITY)
    },
  )


_KEYS = (
  schema.FRAMES,
  schema.IMPOSSIBLE_FRAMES,
  schema.VIOLATION_KIND,
  schema.VIOLATION_FRAME,
  schema.VIOLATION_VIEW,
  schema.INTRINSICS,
  schema.CAMERA_FROM_WORLD,
)


def _bits(magvit, scenes, cameras, options) -> np.ndarray:
  """Bits of each latent frame, (n, t'), over all views."""
  if cameras is not None:
    return magvit.surprise(scenes, cameras, **options)
  n, v = scenes.shape[:2]
  bits = magvit.surprise(scenes.reshape(n * v, *scenes.shape[2:]), **options)
  return bits.reshape(n, v, -1).sum(1)


def _cameras(pairs, views) -> Cameras:
  return Cameras(
    views=np.array(views),
    intrinsics=np.stack([pair[schema.INTRINSICS] for pair in pairs]),
    camera_from_world=np.stack(
      [pair[schema.CAMERA_FROM_WORLD] for pair in pairs]
    ),
  )


def shown(source: SceneSource) -> dict[str, np.ndarray]:
  """Returns a pair of each kind, one camera's clips, for the report."""
  columns: dict[str, list[np.ndarray]] = {"possible": [], "impossible": []}
  for index in range(len(KINDS)):
    pair = source.scene(index)
    view = int(pair[schema.VIOLATION_VIEW])
    view = 0 if view == ALL_VIEWS else view
    for name, key in zip(
      columns, (schema.FRAMES, schema.IMPOSSIBLE_FRAMES), strict=True
    ):
      columns[name].append(pair[key][view])
  arrays = {f"pairs/{name}": np.stack(v) for name, v in columns.items()}
  return arrays | {"pairs/captions": np.array(KINDS)}
