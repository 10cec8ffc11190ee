"""What a task shows of a clip, in pixels and on the latent grid.

MAGVIT (https://arxiv.org/abs/2212.05199, section 3.2): the condition is padded
to a whole clip, so that the tokenizer can read it; the latent mask says which
of its tokens carry real content. Frames are counted in pixels and in latents
separately, and so are regions.
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

KINDS = (
  "frame_prediction",
  "latent_frame_prediction",
  "frame_interpolation",
  "outpainting",
  "inpainting",
)
_REGIONS = {
  "outpainting": (
    "quarter_topleft",
    "rectangle_horizontal",
    "rectangle_vertical",
    "rectangle_central",
    "dynamic_vertical",
  ),
  "inpainting": ("quarter_topleft", "rectangle_central", "dynamic_central"),
}
_FRAME_KINDS = KINDS[:3]
# Modes of `numpy.pad` that JAX knows, besides 'empty', which is anything.
_PADDINGS = (
  "constant",
  "edge",
  "linear_ramp",
  "maximum",
  "mean",
  "median",
  "minimum",
  "reflect",
  "symmetric",
  "wrap",
)


@dataclasses.dataclass(frozen=True)
class Condition:
  """The given part of a clip.

  Attributes:
    kind: One of `KINDS`. 'frame_prediction' gives the first frames;
      'latent_frame_prediction' the first latent frames of the whole clip's
      tokens; 'frame_interpolation' both ends; 'outpainting' a region;
      'inpainting' all but a region.
    cond_frames: Given frames, at each end for interpolation.
    cond_latent_frames: Latent frames that count as given, likewise.
    cond_region: Of 'outpainting' and 'inpainting'. Rectangles span 1/4 to
      3/4 of an axis; 'dynamic' ones are half as wide as the clip and slide
      from its left to its right.
    cond_padding: Mode of `numpy.pad` that fills the rest; None for the
      kind's own. Interpolation knows only 'interpolate', holes and sliding
      windows only 'constant', which is 0.
    prefix_condition: The condition stands before the latents in the sequence
      and not among them, so both masks are empty.
  """

  kind: str
  cond_frames: int = 1
  cond_latent_frames: int = 1
  cond_region: str | None = None
  cond_padding: str | None = None
  prefix_condition: bool = False

  def __post_init__(self):
    _check_choice("The condition", self.kind, KINDS)
    regions = _REGIONS.get(self.kind, (None,))
    _check_choice(f"cond_region of {self.kind}", self.cond_region, regions)
    own = self._own_padding
    what = f"cond_padding of {self.kind} {self.cond_region or ''}".rstrip()
    known = _PADDINGS if own == "edge" else (own,)
    _check_choice(what, self.cond_padding, (None, *known))
    if self.cond_latent_frames < 0:
      raise ValueError(
        f"cond_latent_frames={self.cond_latent_frames} of {self.kind} must be "
        "0 or more."
      )
    if self.prefix_condition and self.kind != "frame_prediction":
      raise ValueError(
        f"prefix_condition is for frame_prediction, not {self.kind}."
      )

  def video(self, clips: Float[Array, "b t h w c"]) -> Array:
    """Returns the clips as the task shows them, (b, t, h, w, c)."""
    if self.kind == "latent_frame_prediction":
      return clips
    if self.kind in _FRAME_KINDS:
      return self._fill_frames(clips)
    mask = self._region_mask(clips.shape[1:4])
    mode = self.cond_padding or self._own_padding
    if mode == "constant":
      return jnp.where(mask[None, ..., None], clips, 0)
    h, w = clips.shape[2:4]
    rows = np.flatnonzero(mask[0].any(axis=1))
    columns = np.flatnonzero(mask[0].any(axis=0))
    (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
    given = clips[:, :, top : bottom + 1, left : right + 1]
    outside = ((top, h - 1 - bottom), (left, w - 1 - right))
    return jnp.pad(given, ((0, 0), (0, 0), *outside, (0, 0)), mode=mode)

  def video_mask(
    self, clip_shape: Sequence[int]
  ) -> Bool[np.ndarray, "1 t h w 1"]:
    """Returns where pixels of clips (t, h, w) are given; t, h, w may be 1."""
    if self.kind in _FRAME_KINDS:
      count = 0 if self.kind == "latent_frame_prediction" else self.cond_frames
      mask = self._frame_mask(clip_shape[0], count)
    else:
      mask = self._region_mask(clip_shape)
    return mask[None, ..., None]

  def latent_mask(
    self, latent_shape: Sequence[int]
  ) -> Bool[np.ndarray, "1 t h w"]:
    """Returns where tokens (t', h', w') are given; axes of one value are 1."""
    if self.kind in _FRAME_KINDS:
      mask = self._frame_mask(latent_shape[0], self.cond_latent_frames)
    else:
      mask = self._region_mask(latent_shape)
    return mask[None]

  @property
  def _own_padding(self) -> str:
    if self.kind == "frame_interpolation":
      return "interpolate"
    is_sliding = (self.cond_region or "").startswith("dynamic")
    return "constant" if self.kind == "inpainting" or is_sliding else "edge"

  def check_frames(self, num_frames: int) -> None:
    """Raises ValueError if `cond_frames` leave nothing to predict."""
    if self.kind not in ("frame_prediction", "frame_interpolation"):
      return
    ends = 2 if self.kind == "frame_interpolation" else 1
    if not 0 < ends * self.cond_frames < num_frames:
      raise ValueError(
        f"cond_frames={self.cond_frames} of {self.kind} must be between 1 and "
        f"{(num_frames - 1) // ends}, as clips have {num_frames} frames."
      )

  def _fill_frames(self, clips):
    t, count = clips.shape[1], self.cond_frames
    if self.kind == "frame_prediction":
      padding = [(0, 0), (0, t - count), (0, 0), (0, 0), (0, 0)]
      mode = self.cond_padding or "edge"
      return jnp.pad(clips[:, :count], padding, mode=mode)
    first, last = clips[:, count - 1], clips[:, t - count]
    gap = t - 2 * count
    share = jnp.arange(1, gap + 1, dtype=clips.dtype) / (gap + 1)
    share = share.reshape(1, gap, 1, 1, 1)
    middle = first[:, None] * (1 - share) + last[:, None] * share
    return jnp.concatenate(
      [clips[:, :count], middle, clips[:, t - count :]], axis=1
    )

  def _frame_mask(self, length: int, count: int) -> np.ndarray:
    index = np.arange(length)
    mask = index < count
    if self.kind == "frame_interpolation":
      mask |= index >= length - count
    if self.prefix_condition:
      mask = np.zeros_like(mask)
    return mask[:, None, None]

  def _region_mask(self, grid: Sequence[int]) -> np.ndarray:
    """(1 or t, h, w), for pixels or latents."""
    t, h, w = grid
    row, column = np.arange(h)[None, :, None], np.arange(w)[None, None, :]
    is_middle_row = (row >= h // 4) & (row < 3 * h // 4)
    is_middle_column = (column >= w // 4) & (column < 3 * w // 4)
    width = w // 2
    # np.round rounds half to even.
    start = np.round(np.arange(t) * (w - width) / max(t - 1, 1))
    start = start[:, None, None]
    is_in_window = (column >= start) & (column < start + width)
    every = np.ones((1, h, w), bool)
    region = {
      "quarter_topleft": (row < h // 2) & (column < width),
      "rectangle_horizontal": is_middle_row & every,
      "rectangle_vertical": is_middle_column & every,
      "rectangle_central": is_middle_row & is_middle_column,
      "dynamic_vertical": is_in_window & every,
      "dynamic_central": is_in_window & is_middle_row,
    }[self.cond_region]
    return ~region if self.kind == "inpainting" else region


def _check_choice(what: str, value: str | None, known: Sequence) -> None:
  if value not in known:
    raise ValueError(
      f"{what} is {value!r}; use one of {', '.join(map(repr, known))}."
    )
