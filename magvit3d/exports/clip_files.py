"""Clips that were generated, as files: arrays, pictures and a page.

clips.npz    what `Generated` holds, and the names of the classes
clips.gif    all clips, a row each with a condition, otherwise as a grid
clips.mp4    the same, where something can write it
index.html   the same with names, in one file that needs no network
"""

import dataclasses
import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from magvit3d.exports.real_clips import ClipCameras
from magvit3d.media import animations, moving_pictures
from magvit3d.report import pages

_COLUMNS = 4  # Of the grid, and of the page's rows.
_LEAST_CLIP_PX = 128  # On the page and in the pictures.
_MAX_ROWS = 32  # On the page, which stays below 10 MB.
_HEADS = ("real", "condition", "generated")


@dataclasses.dataclass(frozen=True)
class Generated:
  """What a task made.

  Attributes:
    task: Its name.
    clips: What the tokens stand for, whole: given pixels too.
    tokens: Of the clips.
    labels: Classes; the number of classes stands for none.
    captions: One a clip.
    num_views: Clips of a scene, which stand in a row; 1 for single clips.
    cameras: Of the clips; None where nobody knows.
    real: Clips that the condition is a part of; None without condition.
    condition: Clips as the task was shown them; None without condition.
    given_frames: Frames of each clip that were given, from the first on; None
      where the condition is another.
  """

  task: str
  clips: UInt8[np.ndarray, "b t h w 3"]
  tokens: Int[np.ndarray, "b s y x"]
  labels: Int[np.ndarray, " b"]
  captions: tuple[str, ...]
  num_views: int = 1
  cameras: ClipCameras | None = None
  real: UInt8[np.ndarray, "b t h w 3"] | None = None
  condition: UInt8[np.ndarray, "b t h w 3"] | None = None
  given_frames: Int[np.ndarray, " b"] | None = None


def write(
  made: Generated,
  class_names: Sequence[str],
  facts: Mapping[str, Any],
  folder: pathlib.Path,
) -> list[str]:
  """Writes all files; returns what could not be written, a sentence each.

  Args:
    made: Clips.
    class_names: By label.
    facts: Said on the page, by name.
    folder: Exists.
  """
  np.savez_compressed(folder / "clips.npz", **_arrays(made, class_names))
  frames = _picture(made)
  moving_pictures.write_gif(folder / "clips.gif", frames)
  problem = moving_pictures.write_mp4(folder / "clips.mp4", frames)
  page = _page(made, facts)
  (folder / "index.html").write_text(page, encoding="utf-8")
  return [problem] if problem else []


def _arrays(
  made: Generated, class_names: Sequence[str]
) -> dict[str, np.ndarray]:
  arrays = {
    "clips": made.clips,
    "tokens": made.tokens,
    "labels": made.labels,
    "captions": np.array(made.captions),
    "class_names": np.array(class_names),
  }
  if made.condition is not None:
    arrays |= {"condition": made.condition, "real": made.real}
  if made.cameras is not None:
    arrays |= dataclasses.asdict(made.cameras)
  return arrays


def _picture(made: Generated) -> UInt8[np.ndarray, "t height width 3"]:
  """All clips as one, large enough to look at."""
  strips = _strips(made)
  width = max(strip.shape[2] for strip in strips)
  gap = strips[0].shape[1] // 16
  rows = [
    np.pad(
      strip,
      ((0, 0), (0, gap), (0, width - strip.shape[2]), (0, 0)),
      constant_values=255,
    )
    for strip in strips
  ]
  columns = len(_HEADS) if made.condition is not None else _num_columns(made)
  return moving_pictures.enlarged(
    np.concatenate(rows, axis=1), columns * _LEAST_CLIP_PX
  )


def _strips(made: Generated) -> list[np.ndarray]:
  """Frames of rows of clips: real, shown, made; or some that were made."""
  if made.condition is not None:
    given = made.given_frames
    if given is None:
      given = np.zeros(len(made.clips), int)
    return [
      animations.strip_frames(
        list(clips), given_frames=int(count), predicted_columns=(2,)
      )
      for *clips, count in zip(
        made.real, made.condition, made.clips, given, strict=True
      )
    ]
  return [
    animations.strip_frames(
      list(clips), given_frames=0, predicted_columns=tuple(range(len(clips)))
    )
    for clips in _rows(made, made.clips)
  ]


def _num_columns(made: Generated) -> int:
  """Clips of a row, of those made from nothing: all views of a scene."""
  return made.num_views if made.num_views > 1 else _COLUMNS


def _rows(
  made: Generated, items: Sequence | np.ndarray
) -> list[Sequence | np.ndarray]:
  columns = _num_columns(made)
  starts = range(0, len(items), columns)
  return [items[start : start + columns] for start in starts]


def _page(made: Generated, facts: Mapping[str, Any]) -> str:
  strips = _strips(made)
  if made.condition is None:
    heads = _rows(made, made.captions)
    titles = [""] * len(strips)
  else:
    heads = [_HEADS] * len(strips)
    titles = list(made.captions)
  figures = [
    _figure(*parts) for parts in zip(titles, heads, strips, strict=True)
  ][:_MAX_ROWS]
  left_out = len(strips) - len(figures)
  content = f'<p class="note">{_note(made)}</p>'
  content += f'<div class="clips">{"".join(figures)}</div>'
  if left_out:
    content += f'<p class="note">{left_out} more rows are in clips.npz.</p>'
  settings = html.escape(json.dumps(dict(facts), indent=2))
  sections = {"Clips": content, "Settings": f"<pre>{settings}</pre>"}
  count = len(made.clips)
  return pages.make_page(
    f"magvit3d: {made.task}",
    f"{count} clip{'s' if count > 1 else ''}, also in clips.npz.",
    sections,
  )


def _note(made: Generated) -> str:
  if made.condition is None:
    return "Clips made from nothing but what stands over them."
  note = (
    "A real clip, what the network is shown of it, and the clip that it makes "
    "of that"
  )
  if made.given_frames is None:
    return f"{note}."
  total = made.clips.shape[1]
  counts = sorted({int(count) for count in made.given_frames} - {total})
  given = (
    f"the first {counts[0]} of {total} frames" if counts[0] else "no frame"
  )
  if total in made.given_frames:
    given = f"of some views all frames and of the others {given}"
  return (
    f'{note}. Given (<span class="key given"></span>grey): {given}. Predicted '
    '(<span class="key predicted"></span>orange): the others.'
  )


def _figure(title: str, heads: Sequence[str], frames: np.ndarray) -> str:
  clip_px = frames.shape[2] // len(heads)
  scale = max(1, -(-_LEAST_CLIP_PX // clip_px))
  labels = "".join(f"<span>{html.escape(head)}</span>" for head in heads)
  caption = f"<figcaption>{html.escape(title)}</figcaption>" if title else ""
  alt = html.escape(f"{title}: {', '.join(heads)}".strip(": "), quote=True)
  return (
    f'<figure class="strip" style="width:{frames.shape[2] * scale}px">'
    f'{caption}<div class="heads">{labels}</div>'
    f'<img src="{animations.animation_uri(frames)}" alt="{alt}"></figure>'
  )
