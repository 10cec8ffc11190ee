"""What a task shows of a clip, in pixels and on the latent grid.

MAGVIT (https://arxiv.org/abs/2212.05199, section 3.2): the condition is padded
to a whole clip, so that the tokenizer can read it; the latent mask says which
of its tokens carry real content.
"""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@flax.struct.dataclass
class Condition:
  """A task's condition.

  Attributes:
    video: (b, t, h, w, 3) the clip as the task shows it, padded.
    video_mask: True where pixels are given; broadcasts to (b, t, h, w, 1).
    latent_mask: True where tokens of `video` carry given content; broadcasts
      to (b, t', h', w').
  """

  video: Float[Array, "b t h w 3"]
  video_mask: Bool[Array, "..."]
  latent_mask: Bool[Array, "..."]


def frame_prediction(
  video: Float[Array, "b t h w 3"],
  num_latent_frames: int,
  cond_frames: int,
  cond_latent_frames: int,
  cond_padding: str = "edge",
) -> Condition:
  """Gives the first frames.

  Args:
    video: Whole clips.
    num_latent_frames: t' of the token grid.
    cond_frames: Given frames, in [1, t).
    cond_latent_frames: Latent frames that count as given, in [1, t'].
    cond_padding: Mode of `numpy.pad` that continues the given frames.
  """
  b, t = video.shape[:2]
  if not 0 < cond_frames < t:
    raise ValueError(f"cond_frames={cond_frames} is not between 1 and {t - 1}.")
  padding = [(0, 0), (0, t - cond_frames), (0, 0), (0, 0), (0, 0)]
  padded = jnp.pad(video[:, :cond_frames], padding, mode=cond_padding)

  def first(count, length):
    mask = jnp.arange(length) < count
    return jnp.broadcast_to(mask, (b, length))[..., None, None]

  return Condition(
    video=padded,
    video_mask=first(cond_frames, t)[..., None],
    latent_mask=first(cond_latent_frames, num_latent_frames),
  )
