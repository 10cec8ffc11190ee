"""A model's surprise at the pairs of a data set, as scores and a page."""

import html
import json
import pathlib

import numpy as np

from data_gen import schema
from data_gen.scene_source import SceneSource
from data_gen.violations import ALL_VIEWS, KINDS
from magvit3d.api import Magvit
from magvit3d.checkpoints.code_version import code_version
from magvit3d.data.scene_clips import spread_views
from magvit3d.errors import UserError
from magvit3d.evaluation import results, surprise
from magvit3d.evaluation.surprise import PairScores
from magvit3d.evaluation.tables import Table
from magvit3d.media import animations
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.report import pages, score_tables

SPLITS = ("validation", "test")
_PAIRS_AT_A_TIME = 8
_SHOWN_PX = 128


def open_pairs(data: pathlib.Path, magvit: Magvit) -> dict[str, SceneSource]:
  """Opens a data set of pairs that fit a model; returns its splits.

  Raises:
    UserError: They are no pairs, or do not fit.
    DataError: The data set is damaged.
  """
  sources = {split: SceneSource(data, split) for split in SPLITS}
  wanted = magvit.clip_shape[:2]
  for split, source in sources.items():
    if schema.VIOLATION_KIND not in source.features:
      raise UserError(
        f"--data={data} holds no pairs: make some with python -m data_gen "
        "--violations."
      )
    if (source.num_frames, source.image_size) != wanted:
      raise UserError(
        f"--data={data} has clips of {source.num_frames} frames and "
        f"{source.image_size} pixels, and the model reads {wanted[0]} frames "
        f"of {wanted[1]}: make others with --num_frames and --image_size."
      )
    if len(source) < len(KINDS):
      raise UserError(
        f"Split {split!r} of --data={data} has {len(source)} pairs, too few "
        f"for the {len(KINDS)} kinds: make more with --num_{split}."
      )
  return sources


def measure(
  magvit: Magvit, source: SceneSource, count: int, **options
) -> PairScores:
  """Returns the model's surprise at the first `count` pairs, in bits.

  Args:
    magvit: Networks.
    source: Of the pairs.
    count: Pairs; all kinds come in turn.
    options: Of `Magvit.surprise`.
  """
  count = min(count, len(source))
  views = list(range(source.num_views))
  if magvit.trained.sees_views:
    views = spread_views(magvit.trained.model.num_views, len(views)).tolist()
  kinds, frames, bits, baselines = [], [], [], []
  for start in range(0, count, _PAIRS_AT_A_TIME):
    stage_progress.note(start, count)
    pairs = [
      source.views(index, views, _KEYS)
      for index in range(start, min(start + _PAIRS_AT_A_TIME, count))
    ]
    clips = np.stack(
      [[pair[schema.FRAMES] for pair in pairs],
       [pair[schema.IMPOSSIBLE_FRAMES] for pair in pairs]]
    )  # fmt: skip
    kinds += [int(pair[schema.VIOLATION_KIND]) for pair in pairs]
    frames += [int(pair[schema.VIOLATION_FRAME]) for pair in pairs]
    bits.append([_bits(magvit, half, pairs, options) for half in clips])
    baselines.append(
      [[surprise.baseline_scores(scene) for scene in half] for half in clips]
    )
  return PairScores(
    np.array(kinds),
    np.array(frames),
    np.concatenate(bits, axis=1),
    {
      name: np.array(
        [
          [scores[name] for part in baselines for scores in part[half]]
          for half in (0, 1)
        ]
      )
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


def _bits(magvit, scenes, pairs, options) -> np.ndarray:
  """Bits of each latent frame, (n, t'), over all views."""
  if magvit.trained.sees_views:
    cameras = _cameras(pairs)
    return magvit.surprise(scenes, cameras, **options)
  n, v = scenes.shape[:2]
  bits = magvit.surprise(scenes.reshape(n * v, *scenes.shape[2:]), **options)
  return bits.reshape(n, v, -1).sum(1)


def _cameras(pairs) -> Cameras:
  intrinsics = np.stack([pair[schema.INTRINSICS] for pair in pairs])
  return Cameras(
    views=np.tile(np.arange(intrinsics.shape[1]), (len(pairs), 1)),
    intrinsics=intrinsics,
    camera_from_world=np.stack(
      [pair[schema.CAMERA_FROM_WORLD] for pair in pairs]
    ),
  )


def write(
  folder: pathlib.Path,
  tables: list[Table],
  source: SceneSource,
  facts: dict[str, object],
) -> None:
  """Writes scores.json and index.html, which shows a pair of each kind.

  Args:
    folder: It is there.
    tables: Of `surprise.tables`.
    source: Of the pairs.
    facts: Said on the page, by name.
  """
  facts = {**facts, "code": code_version()}
  results.write_scores(folder, {"run": facts}, tables)
  settings = html.escape(json.dumps(facts, indent=2))
  page = pages.make_page(
    "magvit3d: surprise at the impossible",
    "Of two clips, which are the same until a frame, one goes on and in the "
    "other the impossible happens. A model that knows how things move finds "
    "the second more surprising.",
    {
      "Scores": score_tables.section(tables),
      "Pairs": _shown_pairs(source),
      "Settings": f"<pre>{settings}</pre>",
    },
  )
  (folder / "index.html").write_text(page, encoding="utf-8")


def _shown_pairs(source: SceneSource) -> str:
  figures = []
  for index, kind in enumerate(KINDS):
    pair = source.scene(index)
    view = int(pair[schema.VIOLATION_VIEW])
    view = 0 if view == ALL_VIEWS else view
    clips = [
      pair[key][view] for key in (schema.FRAMES, schema.IMPOSSIBLE_FRAMES)
    ]
    frames = animations.strip_frames(
      clips,
      given_frames=int(pair[schema.VIOLATION_FRAME]),
      predicted_columns=(1,),
    )
    width = 2 * max(_SHOWN_PX, clips[0].shape[2])
    figures.append(
      f'<figure class="strip" style="width:{width}px"><figcaption>{kind}'
      '</figcaption><div class="heads"><span>possible</span>'
      "<span>impossible</span></div>"
      f'<img src="{animations.animation_uri(frames)}" alt="{kind}: a possible '
      'and an impossible clip"></figure>'
    )
  return f'<div class="clips">{"".join(figures)}</div>'
