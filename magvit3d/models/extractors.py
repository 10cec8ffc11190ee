"""Networks that tell an object's motion and path from what cameras saw.

Four extractors make features of a camera's clip; one head reads them. Features
keep where things are: maps are flattened, or learned queries say where they
look, because a place in metres hangs on it. Norms are over a clip, so that its
answer does not depend on the others of its batch; black is 0, so that they
leave it so.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from magvit3d.config.studies import ExtractorsConfig
from magvit3d.models.bert_layers import BertLayer
from magvit3d.models.clip_units import ClipConv, TrainedUnit
from magvit3d.models.published import i3d
from magvit3d.models.resampling import max_pool

_POSITION_STDDEV = 0.02
_NUM_QUERIES, _NUM_GATHERED = 8, 16
_PLACE_SCALE = 5.0  # Places vary less than features.
_KERNEL_INIT = nn.initializers.xavier_uniform()
# Of SlowFast, arXiv:1812.03982, in the authors' letters: frames of the fast
# pathway for one of the slow one (alpha), its share of channels (beta).
_ALPHA, _BETA = 4, 1 / 8
# Channels of the four stages' bottlenecks, and how much wider they end.
_WIDTHS, _EXPANSION = (64, 128, 256, 512), 4


class TimeTransformer(nn.Module):
  """Looks over all steps of time."""

  num_layers: int
  num_heads: int

  @nn.compact
  def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
    x = x + _positions(self, "time", x.shape[1:])
    mlp_dim = 4 * x.shape[-1]
    for _ in range(self.num_layers):
      layer = BertLayer(
        self.num_heads, mlp_dim, 0.0, 0.0, x.dtype, _KERNEL_INIT
      )
      x = layer(x)
    return x


def _positions(module: nn.Module, name: str, shape: Sequence[int]) -> Array:
  init = nn.initializers.normal(_POSITION_STDDEV)
  return module.param(f"{name}_positions", init, tuple(shape))[None]


class Gathered(nn.Module):
  """Learned queries attend to the cells of each frame: what, and where.

  Where is the mean place by a query's weights: the spatial softmax of Levine
  et al., arXiv:1504.00702, which is finer than a cell.

  Attributes:
    num_queries: For every frame the same, q.
    num_gathered: Channels that each gathers, d.
    scale: Of places; at 1 they are in [-1, 1].
  """

  num_queries: int = _NUM_QUERIES
  num_gathered: int = _NUM_GATHERED
  scale: float = _PLACE_SCALE

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t f"]:
    """Returns rows (q), columns (q) and what is gathered (q d), in a row."""
    scores = nn.Dense(self.num_queries, name="queries")(x)
    weights = nn.softmax(scores, axis=(2, 3))
    rows, columns = (
      jnp.linspace(-1, 1, size, dtype=x.dtype) for size in x.shape[2:4]
    )
    values = nn.Dense(self.num_gathered, name="values")(x)
    seen = jnp.einsum("bthwq,bthwd->btqd", weights, values)
    found = [
      self.scale * jnp.einsum("bthwq,h->btq", weights, rows),
      self.scale * jnp.einsum("bthwq,w->btq", weights, columns),
      seen.reshape(*seen.shape[:2], -1),
    ]
    return jnp.concatenate(found, axis=-1)


class Frames(nn.Module):
  """Convolutions of each frame alone, then a transformer over time."""

  features: int
  width: int
  num_layers: int
  num_heads: int

  @nn.compact
  def __call__(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b t f"]:
    """Returns features of clips with values in [0, 1]."""
    x = clips
    init = nn.initializers.lecun_normal()
    for level in range(3):
      x = ClipConv(
        self.width * 2**level, (1, 3, 3), (1, 2, 2), True, init,
        name=f"Conv_{level}",
      )(x)  # fmt: skip
      frames = x.reshape(-1, *x.shape[2:])
      x = nn.gelu(nn.GroupNorm(num_groups=1)(frames)).reshape(x.shape)
    x = nn.Dense(self.features, name="features")(Gathered()(x))
    return TimeTransformer(self.num_layers, self.num_heads)(x)


class I3D(nn.Module):
  """Inception-v1 in 3D, arXiv:1705.07750, trained from scratch.

  Attributes:
    features: Of a step of time.
    channel_share: Of the published channels.
    early: A layer whose maps queries read beside the last ones: of 32 pixels
      these keep one cell. The steps of time are this layer's. None: no layer.
  """

  features: int
  channel_share: float
  early: str | None = None

  @nn.compact
  def __call__(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b s f"]:
    """Returns features of clips with values in [0, 1]."""
    maps = i3d.trunk(clips, TrainedUnit, self.channel_share)
    x = maps[i3d.LAST]
    x = x.reshape(*x.shape[:2], -1)
    if self.early is not None:
      found = Gathered()(maps[self.early])
      # The last maps have fewer steps; ceil, as their number is rounded up.
      repeats = -(-found.shape[1] // x.shape[1])
      x = jnp.repeat(x, repeats, axis=1)[:, : found.shape[1]]
      x = jnp.concatenate([found, x], axis=-1)
    return nn.Dense(self.features, name="features")(x)


class Bottleneck(nn.Module):
  """ResNet's: narrow, look, widen, and add."""

  width: int
  time_kernel: int
  stride: int

  @nn.compact
  def __call__(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t y x d"]:
    strides = (1, self.stride, self.stride)
    y = TrainedUnit(self.width, (self.time_kernel, 1, 1))(x)
    y = TrainedUnit(self.width, (1, 3, 3), strides)(y)
    wide = self.width * _EXPANSION
    y = TrainedUnit(wide, is_linear=True)(y)
    if x.shape != y.shape:
      x = TrainedUnit(wide, 1, strides, is_linear=True, name="shortcut")(x)
    return nn.relu(x + y)


class SlowFast(nn.Module):
  """Two pathways, arXiv:1812.03982: few frames with many channels, and all.

  Attributes:
    features: Of a slow frame.
    channel_share: Of the published channels.
    num_blocks: Of each of the four stages; published (3, 4, 6, 3).
  """

  features: int
  channel_share: float
  num_blocks: Sequence[int]

  @nn.compact
  def __call__(self, clips: Float[Array, "b t h w 3"]) -> Float[Array, "b s f"]:
    """Returns features of clips with values in [0, 1]."""
    slow = self._stem(clips[:, ::_ALPHA], 1, self._width(64))
    fast = self._stem(clips, 5, self._width(64 * _BETA))
    for stage, (width, blocks) in enumerate(
      zip(_WIDTHS, self.num_blocks, strict=True)
    ):
      slow = self._with_fast(slow, fast)
      # Published: the slow pathway looks over time in its last stages only.
      slow = self._stage(slow, width, blocks, 3 if stage > 1 else 1, stage > 0)
      fast = self._stage(fast, width * _BETA, blocks, 3, stage > 0)
    b, t, *_ = fast.shape
    fast = fast.reshape(b, slow.shape[1], t // slow.shape[1], -1).mean(2)
    both = [slow.reshape(b, slow.shape[1], -1), fast]
    return nn.Dense(self.features, name="features")(jnp.concatenate(both, -1))

  def _width(self, channels: int | float) -> int:
    return max(round(channels * self.channel_share), 2)

  def _stem(self, x, time_kernel, width):
    x = TrainedUnit(width, (time_kernel, 7, 7), (1, 2, 2))(x)
    return max_pool(x, (1, 3, 3), (1, 2, 2))

  def _with_fast(self, slow, fast):
    """The lateral connection: frames of the fast pathway, side by side."""
    width = 2 * fast.shape[-1]
    fast = TrainedUnit(width, (5, 1, 1), (_ALPHA, 1, 1))(fast)
    return jnp.concatenate([slow, fast], axis=-1)

  def _stage(self, x, width, blocks, time_kernel, halves):
    for block in range(blocks):
      stride = 2 if halves and block == 0 else 1
      x = Bottleneck(self._width(width), time_kernel, stride)(x)
    return x


class Tokens(nn.Module):
  """Codes of a frozen tokenizer, with attention over space, then over time.

  First a convolution: an object and its place are seen in several codes
  together. Attention over space is that of `Gathered`'s queries.
  """

  features: int
  width: int
  num_layers: int
  num_heads: int

  @nn.compact
  def __call__(self, codes: Float[Array, "b s y x d"]) -> Float[Array, "b s f"]:
    """Returns features of the codes' entries in the codebook."""
    x = nn.Dense(self.width, name="codes")(codes)
    cells = nn.LayerNorm()(x).reshape(-1, *x.shape[2:])
    cells = nn.Conv(self.width, (3, 3), name="neighbours")(cells)
    x = x + nn.gelu(cells).reshape(x.shape)
    x = nn.gelu(nn.Dense(2 * self.width, name="cells")(x))
    x = nn.Dense(self.features, name="features")(Gathered()(x))
    return TimeTransformer(self.num_layers, self.num_heads)(x)


class MotionReader(nn.Module):
  """An extractor, and the head that all of them have.

  Attributes:
    extractor: Makes features of a camera's clip.
    num_classes: Motions.
    num_positions: Frames whose positions are told.
    pooling: 'attention' or 'mean', over time and cameras.
    hidden_size: Of the MLPs.
    dropout_rate: Of what they read.
  """

  extractor: nn.Module
  num_classes: int
  num_positions: int
  pooling: str
  hidden_size: int
  dropout_rate: float

  @nn.compact
  def __call__(
    self,
    seen: Float[Array, "b v t h w c"],
    alone: Int[Array, " n"] | None = None,
    *,
    train: bool = False,
  ) -> tuple[Float[Array, "b k"], Float[Array, "b m 3"]]:
    """Returns logits of the motions, and positions in units of their spread.

    Args:
      seen: What every camera of the rig saw: frames in [0, 1], or codes.
      alone: The only camera that counts of the last of every b / n samples;
        nothing is computed of the others. None: all count, of all.
      train: Whether there is dropout.
    """
    b, v = seen.shape[:2]
    if alone is None:
      x = self.extractor(seen.reshape(b * v, *seen.shape[2:]))
      x, is_seen = x.reshape(b, v, *x.shape[1:]), jnp.full((b, v), True)
    else:
      x = self.extractor(_that_count(seen, alone))
      x, is_seen = _of_cameras(x, alone, b, v)
    # What a place in a picture says of one in space hangs on the camera, and of
    # a path on the time.
    shape = (*x.shape[1:], self.hidden_size)
    init = nn.initializers.lecun_normal(2, 3, batch_axis=(0, 1))
    x = jnp.einsum("bvtf,vtfg->bvtg", x, self.param("cameras", init, shape))
    x = nn.gelu(x + _positions(self, "camera", (v, *x.shape[2:])))
    x = x.reshape(b, -1, self.hidden_size)
    is_seen = jnp.repeat(is_seen, x.shape[1] // v, axis=1)
    scores = jnp.zeros(x.shape[:2])
    if self.pooling == "attention":
      scores = nn.Dense(1, name="attention")(x)[..., 0]
    weights = nn.softmax(jnp.where(is_seen, scores, -jnp.inf))
    x = jnp.einsum("bn,bng->bg", weights, x)
    x = nn.Dropout(self.dropout_rate)(x, deterministic=not train)
    normed = nn.LayerNorm()(x)

    def answer(size, name):
      hidden = nn.Dense(self.hidden_size, name=f"{name}_hidden")(normed)
      answers = nn.Dense(size, name=name)(nn.gelu(hidden))
      # Places are nearly linear in what was gathered.
      straight = nn.Dense(size, use_bias=False, name=f"{name}_straight")
      return answers + straight(x)

    positions = answer(self.num_positions * 3, "position")
    return answer(self.num_classes, "motion"), positions.reshape(b, -1, 3)


def _that_count(
  seen: Float[Array, "b v t h w c"], alone: Int[Array, " n"]
) -> Float[Array, "m t h w c"]:
  """Returns the clips that count, see `MotionReader`.

  Samples stay in groups of neighbours, on the device where they are.
  """
  b, v, *clip = seen.shape
  groups = seen.reshape(len(alone), b // len(alone), v, *clip)
  chosen = alone.reshape(-1, *[1] * (seen.ndim - 1))
  single = jnp.take_along_axis(groups[:, -1], chosen, axis=1)
  whole = groups[:, :-1].reshape(len(alone), b // len(alone) * v - v, *clip)
  return jnp.concatenate([whole, single], axis=1).reshape(-1, *clip)


def _of_cameras(
  features: Float[Array, "m s f"], alone: Int[Array, " n"], b: int, v: int
) -> tuple[Float[Array, "b v s f"], Bool[Array, "b v"]]:
  """Returns features of `_that_count`'s clips, others 0, and which count."""
  n, per_group, step = len(alone), b // len(alone), features.shape[1:]
  x = features.reshape(n, -1, *step)
  is_single = (alone[:, None] == jnp.arange(v)[None])[:, None]
  single = jnp.where(is_single[..., None, None], x[:, -1:, None], 0)
  whole = x[:, :-1].reshape(n, per_group - 1, v, *step)
  counts = jnp.full((n, per_group, v), True).at[:, -1:].set(is_single)
  x = jnp.concatenate([whole, single], axis=1)
  return x.reshape(b, v, *step), counts.reshape(b, v)


def make(
  name: str, config: ExtractorsConfig, num_classes: int, num_positions: int
) -> MotionReader:
  """Returns a network of `config.studies.EXTRACTORS`.

  Args:
    name: Of it.
    config: `config.extractors`.
    num_classes: See `MotionReader`.
    num_positions: Likewise.
  """
  features = config.features[name]
  sizes = (config.width, config.num_layers, config.num_heads)
  makers: dict[str, Callable[[], nn.Module]] = {
    "frames": functools.partial(Frames, features, *sizes),
    "i3d": functools.partial(I3D, features, config.channel_share, "Mixed_3c"),
    "slowfast": functools.partial(
      SlowFast, features, config.channel_share, config.slowfast_blocks
    ),
    "magvit": functools.partial(Tokens, features, *sizes),
  }
  return MotionReader(
    makers[name](),
    num_classes,
    num_positions,
    config.pooling,
    config.hidden_size,
    config.dropout_rate,
  )


def as_seen(
  array: Int[Array, "b v *cells"] | UInt8[Array, "b v t h w 3"],
  codebook: Float[Array, "k d"] | None,
) -> Float[Array, "b v t h w c"]:
  """Returns what networks see: of frames uint8, or of tokens.

  Args:
    array: Frames (b, v, t, h, w, 3), or tokens (b, v, s, y, x).
    codebook: Of the tokens; None: they are frames.
  """
  if codebook is None:
    return array.astype(jnp.float32) / 255
  return codebook[array]


def draw_cameras(rng: Array, count: int, num_cameras: int) -> Int[Array, " n"]:
  """Returns the only cameras of every second of `count` samples."""
  return jax.random.randint(rng, (count // 2,), 0, num_cameras)
