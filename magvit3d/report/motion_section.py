"""The head of the report: a true and a predicted clip of each motion."""

import html
from collections.abc import Collection, Mapping

import numpy as np

from magvit3d.media import animations
from magvit3d.report import page_texts

_KEYS = (
  "real", "predicted", "names", "captions", "ade", "scene_id", "given_frames",
)  # fmt: skip
_CLIP_CSS_PX = 128  # A clip's width on the page, at least.


def scene_ids(clips: Mapping[str, np.ndarray]) -> list[int]:
  """Returns the scenes that this section shows."""
  return [int(scene) for scene in clips.get("motions/scene_id", ())]


def section(
  clips: Mapping[str, np.ndarray], linked_ids: Collection[int]
) -> str:
  """Returns a moving pair a motion: the true clip, and the predicted one.

  Args:
    clips: Arrays of `evaluation/clips.npz`.
    linked_ids: Scenes that the plot of paths can show.
  """
  absent = [key for key in _KEYS if f"motions/{key}" not in clips]
  if absent:
    names = ", ".join(f"motions/{key}" for key in absent)
    return page_texts.say_missing(
      f"evaluation/clips.npz has no {names}. The evaluate stage writes it for "
      "scenes whose motions have names, of a run that predicts frames."
    )
  arrays = {key: clips[f"motions/{key}"] for key in _KEYS}
  count, given = len(arrays["names"]), int(arrays["given_frames"])
  if any(len(arrays[key]) != count for key in _KEYS[:-1]):
    return page_texts.say_missing(
      "evaluation/clips.npz is broken: the arrays motions/ do not fit each "
      "other. Run the evaluate stage anew."
    )
  figures = [_figure(arrays, row, given, linked_ids) for row in range(count)]
  total = arrays["real"].shape[1]
  which = "The scene of median error of each motion"
  if not np.isfinite(arrays["ade"]).any():
    which = "A scene of each motion"
  return (
    f'<p class="note">{which}, through one camera: left the truth, right the '
    f"prediction. The model sees the first {given} of {total} frames "
    '(<span class="key given"></span>grey) and predicts the others '
    '(<span class="key predicted"></span>orange).</p>'
    f'<div class="motions">{"".join(figures)}</div>'
  )


def _figure(arrays, row, given, linked_ids) -> str:
  pair = [arrays["real"][row], arrays["predicted"][row]]
  frames = animations.strip_frames(pair, given, predicted_columns=(1,))
  uri = animations.animation_uri(frames, len(arrays["names"]))
  name = html.escape(str(arrays["names"][row]).replace("_", " "), quote=True)
  caption = html.escape(str(arrays["captions"][row]).replace("_", " "))
  scene = int(arrays["scene_id"][row])
  facts = [caption]
  if np.isfinite(arrays["ade"][row]):
    facts.append(f"ADE {page_texts.metres_text(float(arrays['ade'][row]))}")
  if scene in linked_ids:
    facts.append(f'<a href="#paths" data-scene="{scene}">path in 3D</a>')
  scale = max(1, -(-_CLIP_CSS_PX // pair[0].shape[2]))
  return (
    f'<figure class="strip" style="width:{frames.shape[2] * scale}px">'
    f"<figcaption>{name}</figcaption>"
    '<div class="heads"><span>true</span><span>predicted</span></div>'
    f'<img src="{uri}" alt="{name}: true, predicted">'
    f'<p class="note">{", ".join(facts)}</p></figure>'
  )
