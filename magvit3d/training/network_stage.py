"""The training stage of a network that is asked and told the answers."""

from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from magvit3d.config.training import NetworkTrainingConfig
from magvit3d.training.accumulation import mean_over_parts
from magvit3d.training.health import Health, healthy
from magvit3d.training.learning_rate import applied_rate, warmup_cosine
from magvit3d.training.moving_average import moving_average
from magvit3d.training.optimizers import make_optimizer
from magvit3d.training.state_metrics import parameter_norms

# (params, batch, frozen, key) to the loss and what to log.
Loss = Callable[
  [PyTree, Mapping[str, Array], PyTree, PRNGKeyArray],
  tuple[Float[Array, ""], dict[str, Float[Array, ""]]],
]


@flax.struct.dataclass
class NetworkState:
  """Everything a checkpoint needs for a run to resume exactly.

  Attributes:
    step: Steps taken, int ().
    params: Parameters.
    opt_state: Optimizer of `params`.
    health: Steps that were skipped.
  """

  step: PyTree
  params: PyTree
  opt_state: PyTree
  health: Health


class NetworkStage:
  """Trains the parameters of a loss; see `loop.Stage`.

  Attributes:
    frozen: Arrays that the loss reads and nothing changes.
    headline: Metrics that are shown first.

  Args:
    training: Section of the config.
    num_steps: Of the whole stage.
    seed: Of first values and of the steps' keys.
    init: Returns the first parameters of a key.
    loss: See `Loss`.
    frozen: See `frozen`.
    headline: See `headline`.
    ema_decay: Of a moving average of the parameters, which the optimizer's
      state has, see `moving_average`; None: without one.

  Raises:
    ValueError: There are no more steps than the warm-up takes.
  """

  def __init__(
    self,
    training: NetworkTrainingConfig,
    num_steps: int,
    seed: int,
    init: Callable[[PRNGKeyArray], PyTree],
    loss: Loss,
    *,
    frozen: PyTree = (),
    headline: tuple[str, ...] = ("loss",),
    ema_decay: float | None = None,
  ):
    self.frozen, self.headline = frozen, headline
    self._rng, self._init_rng = jax.random.split(jax.random.key(seed))
    self._init, self._loss = init, loss
    self._num_parts = training.gradient_accumulation_steps
    self._schedule = warmup_cosine(
      training.learning_rate, training.warmup_steps, num_steps
    )
    self._optimizer = make_optimizer(self._schedule, training.optimizer)
    if ema_decay is not None:
      self._optimizer = optax.chain(self._optimizer, moving_average(ema_decay))

  def init_state(self) -> NetworkState:
    """Returns the state before the first step."""
    params = self._init(self._init_rng)
    return NetworkState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=self._optimizer.init(params),
      health=healthy(),
    )

  def before_step(self, state: NetworkState, step: int) -> NetworkState:
    """Returns the state as it is."""
    del step
    return state

  def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
    """Does nothing: a study makes its batches itself."""

  def step_function(self, step: int) -> Callable:
    """Returns `train_step`, whichever step it is."""
    del step
    return self.train_step

  def train_step(
    self, state: NetworkState, batch: Mapping[str, Array], frozen: PyTree
  ) -> tuple[NetworkState, dict[str, Float[Array, ""]]]:
    """One step: state, batch and what is frozen to the next state, metrics."""
    rng = jax.random.fold_in(self._rng, state.step)
    gradients = jax.grad(self._loss, has_aux=True)

    def of_part(part, number):
      key = jax.random.fold_in(rng, number)
      return gradients(state.params, part, frozen, key), ()

    (grads, metrics), _ = mean_over_parts(of_part, batch, self._num_parts)
    updates, opt_state = self._optimizer.update(
      grads, state.opt_state, state.params
    )
    metrics = metrics | {
      "grad_norm": optax.tree.norm(grads),
      "learning_rate": applied_rate(self._schedule, state.opt_state),
    }
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
    )
    return state, metrics | parameter_norms(state)
