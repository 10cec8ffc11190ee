"""The report's moving parts: reconstructions, predictions and samples.

Each function takes the arrays of `evaluation/clips.npz` (clips are uint8) and
returns HTML; where its arrays are missing it says so in words.
"""

import html
from collections.abc import Mapping

import numpy as np

from magvit3d.media import animations

_MAX_CLIPS = 12
_MAX_SAMPLES = 6  # A class.
# Columns of a prediction that `configs/world_model.py` alone has.
_OF_WORLD_MODELS = ("other_actions", "convlstm")
_PREDICTED = ("predicted", "copy_last", *_OF_WORLD_MODELS)
_CLIP_CSS_PX = 128  # A clip's width on the page, at least.


def reconstruction(arrays: Mapping[str, np.ndarray]) -> str:
  """Returns real clips beside the tokenizer's reconstruction."""
  names = ("real", "reconstructed")
  missing = _missing(arrays, [f"reconstruction/{n}" for n in names])
  if missing:
    return missing
  columns = [arrays[f"reconstruction/{n}"] for n in names]
  captions = _captions(arrays, "reconstruction/captions", len(columns[0]))
  return _rows(captions, list(names), columns)


def prediction(arrays: Mapping[str, np.ndarray]) -> str:
  """Returns real, reconstructed, predicted and copied clips, task by task."""
  tasks = [
    key.removesuffix("/predicted")
    for key in arrays
    if key.endswith("/predicted")
    and key not in ("gallery/predicted", "motions/predicted")
  ]
  titled = len(tasks) > 1
  return "".join(
    (f"<h3>{html.escape(task)}</h3>" if titled else "")
    + _task_prediction(arrays, task, max(len(tasks), 1))
    for task in tasks or ["prediction"]
  )


def _task_prediction(
  arrays: Mapping[str, np.ndarray], task: str, num_tasks: int
) -> str:
  names = (
    "real",
    "reconstructed",
    "predicted",
    "copy_last",
    *_OF_WORLD_MODELS,
    "nearest_view",
  )
  missing = _missing(arrays, [f"{task}/{n}" for n in names[:3]])
  if missing:
    return missing
  names = [name for name in names if f"{task}/{name}" in arrays]
  columns = [arrays[f"{task}/{n}"] for n in names]
  captions = _captions(arrays, f"{task}/captions", len(columns[0]))
  given = arrays.get(f"{task}/given_frames")
  given = None if given is None else int(given)
  total = columns[0].shape[1]
  if given is None:
    note = "Which frames were given is not recorded."
  elif not given:
    note = (
      "The model sees other views of the scene, and predicts all frames of "
      'these (<span class="key predicted"></span>orange).'
    )
  else:
    note = (
      f"The model sees the first {given} of {total} frames "
      '(<span class="key given"></span>grey) and predicts the others '
      '(<span class="key predicted"></span>orange).'
    )
  heads = [name.replace("_", " ") for name in names]
  return f'<p class="note">{note}</p>' + _rows(
    captions,
    heads,
    columns,
    given,
    predicted_columns=tuple(
      column for column, name in enumerate(names) if name in _PREDICTED
    ),
    num_parts=num_tasks,
  )


def pairs(arrays: Mapping[str, np.ndarray]) -> str:
  """Returns possible clips beside impossible ones."""
  names = ["possible", "impossible"]
  missing = _missing(arrays, [f"pairs/{name}" for name in names])
  if missing:
    return missing
  columns = [arrays[f"pairs/{name}"] for name in names]
  captions = _captions(arrays, "pairs/captions", len(columns[0]))
  return _rows(captions, names, columns)


def samples(arrays: Mapping[str, np.ndarray]) -> str:
  """Returns a strip a class: a real clip, then generated ones.

  `samples/heads` says what made these, if not all are of one network.
  """
  missing = _missing(arrays, ["samples/frames"])
  if missing:
    return missing
  frames = arrays["samples/frames"][:, :_MAX_SAMPLES]
  captions = _captions(arrays, "samples/class_names", len(frames))
  heads = [f"sample {i + 1}" for i in range(frames.shape[1])]
  if "samples/heads" in arrays:
    heads = [str(head) for head in arrays["samples/heads"]][:_MAX_SAMPLES]
  columns = list(np.moveaxis(frames, 1, 0))
  if "samples/real" in arrays:
    heads.insert(0, "real")
    columns.insert(0, arrays["samples/real"])
  generated = tuple(i for i, head in enumerate(heads) if head != "real")
  note = (
    '<p class="note"><span class="key given"></span>A real clip of each class, '
    '<span class="key predicted"></span>and clips generated from the class '
    "alone.</p>"
  )
  return note + _rows(
    captions,
    heads,
    columns,
    given_frames=0,
    predicted_columns=generated,
    max_rows=len(frames),
  )


def _rows(
  captions: list[str],
  heads: list[str],
  columns: list[np.ndarray],
  given_frames: int | None = None,
  predicted_columns: tuple[int, ...] = (),
  max_rows: int = _MAX_CLIPS,
  num_parts: int = 1,
) -> str:
  shown = list(zip(captions, *columns, strict=True))[:max_rows]
  num_clips = len(shown) * num_parts
  rows = [
    _strip(
      caption, heads, list(clips), given_frames, predicted_columns, num_clips
    )
    for caption, *clips in shown
  ]
  left_out = len(captions) - len(rows)
  note = f'<p class="note">{left_out} more clips are in clips.npz.</p>'
  return f'<div class="clips">{"".join(rows)}</div>' + (
    note if left_out else ""
  )


def _strip(
  caption: str,
  heads: list[str],
  clips: list[np.ndarray],
  given_frames: int | None,
  predicted_columns: tuple[int, ...],
  num_clips: int,
) -> str:
  frames = animations.strip_frames(clips, given_frames, predicted_columns)
  uri = animations.animation_uri(frames, num_clips)
  scale = max(1, -(-_CLIP_CSS_PX // clips[0].shape[2]))
  labels = "".join(f"<span>{html.escape(head)}</span>" for head in heads)
  alt = html.escape(f"{caption}: {', '.join(heads)}", quote=True)
  return (
    f'<figure class="strip" style="width:{frames.shape[2] * scale}px">'
    f"<figcaption>{html.escape(caption)}</figcaption>"
    f'<div class="heads">{labels}</div>'
    f'<img src="{uri}" alt="{alt}"></figure>'
  )


def _captions(
  arrays: Mapping[str, np.ndarray], key: str, count: int
) -> list[str]:
  if key in arrays and len(arrays[key]) == count:
    return [str(caption) for caption in arrays[key]]
  return [f"clip {i}" for i in range(count)]


def _missing(arrays: Mapping[str, np.ndarray], keys: list[str]) -> str:
  absent = [key for key in keys if key not in arrays]
  if not absent:
    return ""
  return (
    '<p class="missing">Not there yet: evaluation/clips.npz has no '
    f"{html.escape(', '.join(absent))}. The evaluate stage writes it.</p>"
  )
