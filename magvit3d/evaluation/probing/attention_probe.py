"""A small network that looks at all cells of a scene: the attention probe.

Learned queries attend to the cells once, each with several heads, and what
they gather goes through one hidden layer. Where a cell is, in which view and at
what time, is told by coordinates beside its vector.
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

WIDTH, NUM_QUERIES, HIDDEN = 64, 16, 128
_LEARNING_RATE, _WEIGHT_DECAY, _WARMUP_STEPS = 2e-3, 0.05, 20
_DROPPED_CELLS = 0.3  # Share that a query does not see, in training.
_BATCH_SIZE = 32
_NUM_VALIDATIONS = 10
_SMALL = 1e-6


class AttentionProbe(nn.Module):
  """See the module's docstring.

  Attributes:
    num_outputs: Width of the answer, k.
  """

  num_outputs: int

  @nn.compact
  def __call__(
    self,
    cells: Float[Array, "b m d"],
    places: Float[Array, "m p"],
    *,
    train: bool = False,
  ) -> tuple[Float[Array, "b k"], Float[Array, "b f"]]:
    """Returns answers, and the hidden layer's features.

    Args:
      cells: Of scenes.
      places: Coordinates of the cells.
      train: Whether queries overlook some cells (rng "dropout").
    """
    b, m, _ = cells.shape
    shape = (b, m, places.shape[1])
    x = jnp.concatenate([cells, jnp.broadcast_to(places, shape)], axis=-1)
    keys = nn.Dense(WIDTH, name="keys")(x)
    values = nn.Dense(WIDTH, name="values")(x)
    init = nn.initializers.normal(1.0)
    queries = self.param("queries", init, (NUM_QUERIES, WIDTH))
    scores = jnp.einsum("bmd,qd->bqm", keys, queries) / np.sqrt(WIDTH)
    if train:
      is_dropped = jax.random.bernoulli(
        self.make_rng("dropout"), _DROPPED_CELLS, scores.shape
      )
      scores = jnp.where(is_dropped, -jnp.inf, scores)
    seen = jnp.einsum("bqm,bmd->bqd", nn.softmax(scores), values)
    x = nn.LayerNorm(name="norm")(seen.reshape(b, -1))
    features = nn.gelu(nn.Dense(HIDDEN, name="hidden")(x))
    return nn.Dense(self.num_outputs, name="answer")(features), features


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
  ):
    self._places = coordinates(grid)
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
    self._network = AttentionProbe(int(ends[-1]))
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
      return self._network.apply(
        {"params": params}, self._standardised(cells), self._places
      )

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
    params = self._network.init(
      jax.random.key(seed), jnp.zeros((1, *cells.shape[1:])), self._places
    )["params"]
    schedule = optax.warmup_cosine_decay_schedule(
      0.0, _LEARNING_RATE, min(_WARMUP_STEPS, num_steps), max(num_steps, 1)
    )
    optimizer = optax.adamw(schedule, weight_decay=_WEIGHT_DECAY)

    @jax.jit
    def step(params, state, key, cells, asked):
      def loss_fn(params):
        raw, _ = self._network.apply(
          {"params": params},
          self._standardised(cells),
          self._places,
          train=True,
          rngs={"dropout": key},
        )
        return self._loss(raw, asked)

      gradients = jax.grad(loss_fn)(params)
      updates, state = optimizer.update(gradients, state, params)
      return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    asked = self._asked(targets)
    validation_asked = self._asked(validation[1])
    best, best_loss = params, np.inf
    every = max(num_steps // _NUM_VALIDATIONS, 1)
    for number in range(num_steps):
      rows = rng.integers(len(cells), size=min(_BATCH_SIZE, len(cells)))
      key = jax.random.fold_in(jax.random.key(seed), number)
      batch = {name: values[rows] for name, values in asked.items()}
      params, state = step(params, state, key, cells[rows], batch)
      if (number + 1) % every == 0 or number + 1 == num_steps:
        raw, _ = self._apply(validation[0], params)
        loss = float(self._loss(jnp.asarray(raw), validation_asked))
        if loss < best_loss:
          best, best_loss = params, loss
    return best


def coordinates(grid: tuple[int, int, int, int]) -> Float[np.ndarray, "m p"]:
  """Returns where cells are: time, row and column in [-1, 1], and the view.

  Also each time and each view as a vector of zeros and a one.
  """
  axes = [np.arange(size) for size in grid]
  places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 4)
  sizes = np.array(grid[1:])
  spread = (2 * places[:, 1:] + 1) / sizes - 1
  one_hot = [np.eye(grid[axis])[places[:, axis]] for axis in (0, 1)]
  return np.concatenate([spread, *one_hot], axis=1).astype(np.float32)


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
