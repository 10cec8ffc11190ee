"""What the stages on a frozen tokenizer's tokens have in common."""

import abc
from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from magvit3d.config.run import RunConfig
from magvit3d.config.training import InitialParametersConfig
from magvit3d.tokens.autoregressive_model import LanguageModel
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import batch_checks
from magvit3d.training.accumulation import mean_over_parts
from magvit3d.training.health import Health, healthy
from magvit3d.training.learning_rate import applied_rate, warmup_cosine
from magvit3d.training.optimizers import make_optimizer
from magvit3d.training.state_metrics import parameter_norms
from magvit3d.upstream import initial_trees


@flax.struct.dataclass
class TransformerState:
  """Everything a checkpoint needs for a run to resume exactly.

  Its types are loose, because it also holds shapes or shardings of arrays.

  Attributes:
    step: Steps taken, int ().
    params: Parameters.
    opt_state: Optimizer of `params`.
    health: Steps that were skipped.
    task_losses: Moving averages of the loss of each of several tasks, float
      (n,); () for one.
  """

  step: PyTree
  params: PyTree
  opt_state: PyTree
  health: Health
  task_losses: PyTree


class TokenStage(abc.ABC):
  """Holds the optimizer of a transformer, and the tokenizer that it reads.

  Attributes:
    model: Argument of that name.
    frozen: Generator parameters of the tokenizer, for the steps.
    rng: Key of the steps; each folds in its number.
    label_smoothing: Share of the targets spread over all codes.
    decays_all: See `make_adamw`.

  Args:
    config: The run's config; reads `train_transformer` and `seed`.
    model: The transformer with its vocabulary.
    num_steps: Steps of the whole stage.
    tokenizer_params: Frozen generator parameters. Batches without tokens are
      tokenized with them in the step.
  """

  decays_all = False

  def __init__(
    self,
    config: RunConfig,
    model: TokenModel | LanguageModel,
    num_steps: int,
    tokenizer_params: PyTree,
  ):
    self.frozen = tokenizer_params
    self.rng, self._init_rng = jax.random.split(jax.random.key(config.seed))
    self._initial_params = None
    self.model = model
    training = config.train_transformer
    self._schedule = warmup_cosine(
      training.learning_rate, training.warmup_steps, num_steps
    )
    self._optimizer = make_optimizer(
      self._schedule, training.optimizer, decays_all=self.decays_all
    )
    self.label_smoothing: float = training.label_smoothing
    self._num_parts = training.gradient_accumulation_steps

  def init_state(self) -> TransformerState:
    """Returns the state before the first step."""
    arguments = self.model.init_arguments()
    params = self.model.transformer.init(self._init_rng, *arguments)["params"]
    return TransformerState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=self._optimizer.init(params),
      health=healthy(),
      task_losses=self.initial_task_losses(),
    )

  def initial_task_losses(self) -> PyTree:
    """Returns `TransformerState.task_losses` at the start of a run."""
    return ()

  def updated_task_losses(
    self, state: TransformerState, metrics: Mapping[str, Array]
  ) -> PyTree:
    """Returns `TransformerState.task_losses` after a step of these metrics."""
    del metrics
    return state.task_losses

  def start_from(self, init_from: InitialParametersConfig) -> None:
    """Makes step 0 begin with the parameters of `config.init_from`, if any.

    Raises:
      UserError: The checkpoint is missing, damaged, or does not fit.
    """
    if init_from.checkpoint_path:
      fresh = {"params": jax.jit(self.init_state)().params}
      trees = initial_trees(init_from, fresh, "transformer")
      self._initial_params = trees["params"]

  def before_step(self, state: TransformerState, step: int) -> TransformerState:
    """Puts in the parameters to start from, before the first step."""
    if step == 0 and self._initial_params is not None:
      return state.replace(params=self._initial_params)
    return state

  def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
    """Raises UserError if tokens, clips or labels do not fit."""
    if "frames" in batch:
      batch_checks.check_frames(batch)
    words = self.model.vocabulary
    batch_checks.check_tokens(batch, self.model.grid_shape, words.codebook_size)
    batch_checks.check_labels(batch, words.num_classes)

  def step_function(self, step: int) -> Callable:
    """Returns `train_step`, whichever step it is."""
    del step
    return self.train_step

  def train_step(
    self,
    state: TransformerState,
    batch: Mapping[str, Array],
    frozen: PyTree,
  ) -> tuple[TransformerState, dict[str, Float[Array, ""]]]:
    """One step; arguments as of `gradients`."""
    grads, metrics = self.gradients(state, batch, frozen)
    task_losses = self.updated_task_losses(state, metrics)
    state, more = self._apply_gradients(state, grads)
    return state.replace(task_losses=task_losses), metrics | more

  @abc.abstractmethod
  def gradients(
    self,
    state: TransformerState,
    batch: Mapping[str, Array],
    frozen: PyTree,
  ) -> tuple[PyTree, dict[str, Float[Array, ""]]]:
    """Gradients and metrics of a step, in parts if the config says so."""

  def mean_gradients(
    self,
    function: Callable[[Mapping[str, Array], PRNGKeyArray], PyTree],
    rows: Mapping[str, Array],
    rng: PRNGKeyArray,
  ) -> PyTree:
    """Returns the mean of what a function gives for the parts of a batch.

    Args:
      function: Takes a part and its key.
      rows: The batch; arrays (b, ...).
      rng: Key of the batch.
    """

    def of_part(part, number):
      is_whole = self._num_parts == 1
      return function(
        part, rng if is_whole else random.fold_in(rng, number)
      ), ()

    values, _ = mean_over_parts(of_part, rows, self._num_parts)
    return values

  def _apply_gradients(
    self, state: TransformerState, grads: PyTree
  ) -> tuple[TransformerState, dict[str, Float[Array, ""]]]:
    """Returns the state after the step, and what to log of it."""
    updates, opt_state = self._optimizer.update(
      grads, state.opt_state, state.params
    )
    metrics = {
      "grad_norm": optax.tree.norm(grads),
      "learning_rate": applied_rate(self._schedule, state.opt_state),
    }
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
    )
    return state, metrics | parameter_norms(state)
