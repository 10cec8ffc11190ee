"""A small network that looks at all cells of a scene: the attention probe.

In each frame of each view, learned queries attend to the cells once; what they
gather, and where they look, goes through two hidden layers. The weights of a
query are the same in all frames and views. A linear map of what they gather is
added to the answer: places are nearly linear in it. Before that, cells look at
their neighbours: shapes and places are seen in several tokens together.
"""

import dataclasses
import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from magvit3d.config.training import OptimizerConfig
from magvit3d.training.optimizers import make_optimizer

WIDTH, NUM_QUERIES, NUM_GATHERED, HIDDEN = 64, 8, 16, 128
_LEARNING_RATE, _WARMUP_STEPS = 4e-3, 20
_OPTIMIZER = OptimizerConfig(
  name="muon", muon_rate=7.5, beta1=0.9, beta2=0.999, weight_decay=0.3
)
_BATCH_SIZE = 16  # On CPUs a step of 32 takes four times as long.
_NUM_VALIDATIONS = 10
_MIXING_WIDTH = 32
_SMALL = 1e-6
# Places in [-1, 1] vary less than what is gathered.
_PLACE_SCALE = 10.0
_STRAIGHT_SCALE = 0.1  # Places are large, and the first answers are not.


class AttentionProbe(nn.Module):
  """See the module's docstring.

  Attributes:
    grid: (v, t, h, w) of the cells.
    num_outputs: Width of the answer, k.
    num_convolutions: Residual ones of 3 x 3 cells, before the queries look.
  """

  grid: tuple[int, int, int, int]
  num_outputs: int
  num_convolutions: int

  @nn.compact
  def __call__(
    self, cells: Float[Array, "b m d"]
  ) -> tuple[Float[Array, "b k"], Float[Array, "b f"]]:
    """Returns answers, and the last hidden layer's features."""
    b = cells.shape[0]
    _, _, h, w = self.grid
    cells = self._mixed(cells.reshape(-1, h, w, cells.shape[-1]))
    x = nn.gelu(nn.Dense(WIDTH, name="cells")(cells))
    x = x.reshape(-1, h * w, WIDTH)  # Frames of all views.
    scores = nn.Dense(NUM_QUERIES, name="queries")(x)
    weights = nn.softmax(scores, axis=1)
    gathered = nn.Dense(NUM_GATHERED, name="values")(x)
    seen = jnp.einsum("nmq,nmd->nqd", weights, gathered)
    looked_at = jnp.einsum("nmq,mp->nqp", weights, _places(h, w))
    x = jnp.concatenate(
      [seen.reshape(b, -1), _PLACE_SCALE * looked_at.reshape(b, -1)], axis=-1
    )
    straight = nn.Dense(self.num_outputs, use_bias=False, name="straight")(x)
    for name in ("hidden", "features"):
      x = nn.LayerNorm(name=f"{name}_norm")(x)
      x = nn.gelu(nn.Dense(HIDDEN, name=name)(x))
    answer = nn.Dense(self.num_outputs, name="answer")(x)
    return answer + _STRAIGHT_SCALE * straight, x

  def _mixed(self, x: Float[Array, "n h w d"]) -> Float[Array, "n h w e"]:
    """Cells that know their neighbours."""
    x = nn.Dense(_MIXING_WIDTH, name="mixed")(x)
    for i in range(self.num_convolutions):
      seen = nn.LayerNorm(name=f"convolution_norm_{i}")(x)
      seen = nn.Conv(_MIXING_WIDTH, (3, 3), name=f"convolution_{i}")(seen)
      x = x + nn.gelu(seen)
    return x


def _places(h: int, w: int) -> Float[np.ndarray, "m 2"]:
  """Row and column of a frame's cells, in [-1, 1]."""
  axes = [(2 * np.arange(size) + 1) / size - 1 for size in (h, w)]
  places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
  return places.reshape(-1, 2).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Targets:
  """What a probe is asked of n scenes.

  Attributes:
    classes: By name, int (n,).
    values: By name, float (n, k).
  """

  classes: Mapping[str, Int[np.ndarray, " n"]]
  values: Mapping[str, Float[np.ndarray, "n _"]]


class TrainedProbe:
  """An attention probe that is trained on some scenes.

  The parameters that did best on validation scenes are kept.

  Args:
    cells: Of the training scenes, any float type.
    grid: (v, t, h, w) of the cells.
    targets: Of the training scenes.
    num_classes: Of each of `targets.classes`.
    validation: Cells and targets of other scenes.
    num_steps: Of training.
    seed: Of weights and batches.
    num_convolutions: See `AttentionProbe`.
  """

  def __init__(
    self,
    cells: Float[np.ndarray, "n m d"],
    grid: tuple[int, int, int, int],
    targets: Targets,
    num_classes: Mapping[str, int],
    *,
    validation: tuple[Float[np.ndarray, "k m d"], Targets],
    num_steps: int,
    seed: int,
    num_convolutions: int = 1,
  ):
    self._mean, self._deviation = _moments(cells)
    self._scales = {
      name: (values.mean(0), np.maximum(values.std(0), _SMALL))
      for name, values in targets.values.items()
    }
    sizes = dict(num_classes)
    sizes |= {name: values.shape[1] for name, values in targets.values.items()}
    ends = np.cumsum([0, *sizes.values()])
    self._slices = {
      name: slice(int(start), int(end))
      for name, start, end in zip(sizes, ends, ends[1:], strict=False)
    }
    self._num_classes = num_classes
    self._network = AttentionProbe(tuple(grid), int(ends[-1]), num_convolutions)
    self._params = self._train(cells, targets, validation, num_steps, seed)

  def __call__(
    self, cells: Float[np.ndarray, "n m d"]
  ) -> dict[str, np.ndarray]:
    """Returns answers by name: logits (n, c) of classes, values (n, k)."""
    raw, _ = self._apply(cells)
    answers = {name: raw[:, part] for name, part in self._slices.items()}
    for name, (mean, deviation) in self._scales.items():
      answers[name] = answers[name] * deviation + mean
    return answers

  def features(
    self, cells: Float[np.ndarray, "n m d"]
  ) -> Float[np.ndarray, "n f"]:
    """Returns the hidden layer's features."""
    return self._apply(cells)[1]

  def _apply(self, cells, params=None) -> tuple[np.ndarray, np.ndarray]:
    params = self._params if params is None else params
    parts = []
    for start in range(0, len(cells), _BATCH_SIZE):
      batch = cells[start : start + _BATCH_SIZE]
      fill = np.zeros((_BATCH_SIZE - len(batch), *batch.shape[1:]), batch.dtype)
      full = np.concatenate([batch, fill])
      parts.append(
        [np.asarray(x)[: len(batch)] for x in self._forward(params, full)]
      )
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

  @functools.cached_property
  def _forward(self):
    @jax.jit
    def forward(params, cells):
      return self._network.apply({"params": params}, self._standardised(cells))

    return forward

  def _standardised(self, cells) -> Array:
    mean, deviation = self._mean[None, None], self._deviation[None, None]
    return (cells.astype(jnp.float32) - mean) / deviation

  def _loss(self, raw: Array, asked: PyTree) -> Array:
    """Cross-entropies, and squared errors in standard deviations, summed."""
    losses = []
    for name, part in self._slices.items():
      if name in self._num_classes:
        losses.append(
          optax.softmax_cross_entropy_with_integer_labels(
            raw[:, part], asked[name]
          ).mean()
        )
      else:
        losses.append(jnp.mean((raw[:, part] - asked[name]) ** 2))
    return sum(losses)

  def _asked(self, targets: Targets) -> dict[str, np.ndarray]:
    values = {
      name: ((values - self._scales[name][0]) / self._scales[name][1]).astype(
        np.float32
      )
      for name, values in targets.values.items()
    }
    return {
      name: labels.astype(np.int32) for name, labels in targets.classes.items()
    } | values

  def _train(self, cells, targets, validation, num_steps, seed) -> PyTree:
    rng = np.random.default_rng(seed)
    params = _initial(self._network, cells[:1], rng)
    schedule = optax.warmup_cosine_decay_schedule(
      0.0, _LEARNING_RATE, min(_WARMUP_STEPS, num_steps // 2), num_steps
    )
    optimizer = make_optimizer(schedule, _OPTIMIZER)

    @jax.jit
    def step(params, state, cells, asked):
      def loss_fn(params):
        raw, _ = self._network.apply(
          {"params": params}, self._standardised(cells)
        )
        return self._loss(raw, asked)

      gradients = jax.grad(loss_fn)(params)
      updates, state = optimizer.update(gradients, state, params)
      return optax.apply_updates(params, updates), state

    # All of it is zeros. Made here, since every JAX operation is compiled.
    state = jax.tree.map(
      lambda leaf: np.zeros(leaf.shape, leaf.dtype),
      jax.eval_shape(optimizer.init, params),
    )
    asked = self._asked(targets)
    validation_asked = self._asked(validation[1])
    best, best_loss = params, np.inf
    every = max(num_steps // _NUM_VALIDATIONS, 1)
    for number in range(num_steps):
      rows = rng.integers(len(cells), size=min(_BATCH_SIZE, len(cells)))
      batch = {name: values[rows] for name, values in asked.items()}
      params, state = step(params, state, cells[rows], batch)
      if (number + 1) % every == 0 or number + 1 == num_steps:
        raw, _ = self._apply(validation[0], params)
        loss = float(self._loss(jnp.asarray(raw), validation_asked))
        if loss < best_loss:
          best, best_loss = params, loss
    return best


def _initial(network: AttentionProbe, cells, rng) -> PyTree:
  """Kernels of unit gain, scales of one, biases of zero."""
  shapes = jax.eval_shape(network.init, jax.random.key(0), cells)["params"]

  def fill(path, leaf):
    name = path[-1].key
    if name == "kernel":
      inputs = np.prod(leaf.shape[:-1])
      return rng.normal(0, inputs**-0.5, leaf.shape).astype(leaf.dtype)
    return np.full(leaf.shape, name == "scale", leaf.dtype)

  return jax.tree_util.tree_map_with_path(fill, shapes)


def _moments(cells) -> tuple[np.ndarray, np.ndarray]:
  """Mean and deviation of each channel over all cells of all scenes."""
  count = cells.shape[0] * cells.shape[1]
  total = np.zeros(cells.shape[2])
  squares = np.zeros(cells.shape[2])
  for scene in cells:
    scene = scene.astype(np.float32)
    total += scene.sum(0)
    squares += (scene**2).sum(0)
  mean = total / count
  deviation = np.sqrt(np.maximum(squares / count - mean**2, _SMALL))
  return mean.astype(np.float32), deviation.astype(np.float32)
