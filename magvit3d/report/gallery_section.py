"""The report's galleries: best, median and worst prediction of each class."""

import html
from collections.abc import Collection, Mapping

import numpy as np

from magvit3d.media import animations
from magvit3d.report import page_texts

_RANKS = ("best", "median", "worst")
_KEYS = ("real", "predicted", "class_names", "rank", "ade", "scene_id")


def scene_ids(clips: Mapping[str, np.ndarray]) -> list[int]:
  """Returns the scenes that the galleries of `evaluation/clips.npz` show."""
  return [int(scene) for scene in clips.get("gallery/scene_id", ())]


def section(
  clips: Mapping[str, np.ndarray], linked_ids: Collection[int]
) -> str:
  """Returns a gallery a class, closed but for the first.

  Args:
    clips: Arrays of `evaluation/clips.npz`.
    linked_ids: Scenes that the plot of paths can show.
  """
  absent = [key for key in _KEYS if f"gallery/{key}" not in clips]
  if absent:
    names = ", ".join(f"gallery/{key}" for key in absent)
    return page_texts.say_missing(
      f"evaluation/clips.npz has no {names}. The evaluate stage writes it."
    )
  arrays = {key: clips[f"gallery/{key}"] for key in _KEYS}
  count = len(arrays["real"])
  short = [key for key in _KEYS if len(arrays[key]) != count]
  if short or arrays["predicted"].shape != arrays["real"].shape:
    key = (*short, "predicted")[0]
    return page_texts.say_missing(
      f"evaluation/clips.npz is broken: gallery/{key} does not fit "
      "gallery/real. Run the evaluate stage anew."
    )
  if not count:
    return page_texts.say_missing("The galleries have no clips.")
  given = clips.get("gallery/given_frames")
  given = None if given is None else int(given)
  groups: dict[str, list[int]] = {}
  for row, name in enumerate(arrays["class_names"]):
    groups.setdefault(str(name), []).append(row)
  parts = []
  for number, (name, rows) in enumerate(groups.items()):
    rows.sort(key=lambda row: _place_of(arrays["rank"][row]))
    figures = "".join(_figure(arrays, row, given, linked_ids) for row in rows)
    errors = " / ".join(_ade(arrays, row).removesuffix(" m") for row in rows)
    title = html.escape(name.replace("_", " "))
    parts.append(
      f"<details{'' if number else ' open'}><summary>{title} "
      f'<small>ADE {errors} m</small></summary><div class="gallery">{figures}'
      "</div></details>"
    )
  seen = (
    "Which frames were given is not recorded."
    if given is None
    else f"The first {given} frames are given "
    '(<span class="key given"></span>grey), the others predicted '
    '(<span class="key predicted"></span>orange).'
  )
  note = (
    "By ADE within the class: the best, the median and the worst scene. "
    f"Above what is true, below what was predicted, all cameras. {seen}"
  )
  return f'<p class="note">{note}</p>' + "".join(parts)


def _frames(arrays, row, given):
  return animations.strip_frames(
    [arrays["real"][row], arrays["predicted"][row]],
    given,
    predicted_columns=(1,),
    is_stacked=True,
  )


def _figure(arrays, row, given, linked_ids):
  frames = _frames(arrays, row, given)
  scene = int(arrays["scene_id"][row])
  uri = animations.animation_uri(frames, len(arrays["real"]))
  rank = html.escape(str(arrays["rank"][row]))
  name = html.escape(str(arrays["class_names"][row]))
  link = (
    f' <a href="#paths" data-scene="{scene}">Show in 3D</a>'
    if scene in linked_ids
    else ""
  )
  return (
    '<figure class="strip">'
    f"<figcaption><span>{rank}: {_ade(arrays, row)}</span>"
    f'<span class="note">scene {scene}{link}</span></figcaption>'
    f'<img width="{frames.shape[2]}" height="{frames.shape[1]}" '
    f'src="{uri}" '
    f'alt="{rank} prediction of {name}: true above, predicted below"></figure>'
  )


def _ade(arrays, row):
  return page_texts.metres_text(float(arrays["ade"][row]))


def _place_of(rank):
  return _RANKS.index(rank) if rank in _RANKS else len(_RANKS)
