"""What the networks of a run make of the held-out scenes."""

import functools

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int, PyTree, UInt8

from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.data.scene_clips import fold_views
from magvit3d.evaluation import (
  image_metrics,
  tokenizer_scores,
  transformer_scores,
)
from magvit3d.evaluation.held_out import HeldOutScenes
from magvit3d.models.cameras import Cameras
from magvit3d.monitoring import stage_progress
from magvit3d.tokens.masked_model import TokenBatch, TokenModel
from magvit3d.tokens.views import as_clips


class RunOutputs:
  """Networks with parameters on held-out scenes.

  A sample is what the transformer sees at once: a clip, or a scene of several
  views. Clips of a scene stand in a row.

  Args:
    model: The transformer with its tasks.
    tokenizer_params: Moving average of the generator.
    params: Parameters of the transformer.
    held_out: Scenes; of a model of several views, with as many.
    settings: `config.evaluation`.
    seed: Of masks and samples.
    mesh: Devices.

  Attributes:
    clips: `held_out.samples`, clip by clip; see `fold_views`.
    samples: The same, sample by sample.
    real: The clips' frames, float32 in [0, 1].
    is_object: Where their masks show an object.
    captions: Name of each clip's class.
    batch_size: Samples at a time.
  """

  def __init__(
    self,
    model: TokenModel,
    tokenizer_params: PyTree,
    params: PyTree,
    held_out: HeldOutScenes,
    settings: EvaluationConfig,
    seed: int,
    mesh: Mesh,
  ):
    self.model = model
    self.tokenizer_params = tokenizer_params
    self.params = params
    self.held_out = held_out
    self.settings = settings
    self.seed = seed
    self.mesh = mesh
    self.clips = fold_views(held_out.samples)
    self.samples = held_out.samples if model.num_views > 1 else self.clips
    self.real = self.clips["frames"].astype(np.float32) / 255
    self.is_object = self.clips["masks"] > 0
    names = np.array(held_out.class_names)
    self.captions = names[self.clips["labels"]]
    self.batch_size = settings.batch_size // model.num_views
    self.tokenize = transformer_scores.make_tokenize(
      model, self.batch_size, mesh
    )
    self._decode = tokenizer_scores.make_decode(
      model.tokenizer, settings.batch_size, mesh
    )
    self._generate = transformer_scores.make_generate(
      model, self.batch_size, mesh, seed
    )

  @functools.cached_property
  def tokens(self) -> TokenBatch:
    """Tokens of the samples, and of what the tasks show of them."""
    return self.tokenize(self.tokenizer_params, self.samples)

  @functools.cached_property
  def object_cells(self) -> Bool[np.ndarray, "n t h w"]:
    """Where the samples' tokens touch the object."""
    cells = image_metrics.foreground_cells(
      self.is_object, self.model.latent_shape
    )
    return cells.reshape(self.tokens.tokens.shape)

  @functools.cached_property
  def reconstruction(self) -> Float[np.ndarray, "n t h w 3"]:
    """The clips through the tokenizer."""
    tokens = self.tokens.tokens
    stage_progress.note(1, 2)
    return self.decode(tokens)

  def decode(
    self, grids: Int[np.ndarray, "n t h w"]
  ) -> Float[np.ndarray, "m t2 h2 w2 3"]:
    """Returns the clips of samples' grids, in [0, 1]."""
    return self._decode(
      self.tokenizer_params, as_clips(grids, self.model.num_views)
    )

  def generate(
    self,
    task_index: int,
    tokens: TokenBatch,
    is_given: Bool[np.ndarray, "n v"] | None = None,
  ) -> Int[np.ndarray, "n t h w"]:
    """Returns grids for a task, one for each sample; see `make_generate`."""
    return self._generate(self.params, tokens, task_index, is_given)

  def nothing_given(self, labels: Int[np.ndarray, " n"]) -> TokenBatch:
    """Returns what is given of classes alone; cameras are the first scene's."""
    shape = (len(labels), *self.model.grid_shape)
    conditions = (len(labels), len(self.model.tasks), *self.model.grid_shape)
    cameras = Cameras.from_batch(self.samples)
    if cameras:
      cameras = jax.tree.map(
        lambda x: np.tile(x[:1], [len(labels)] + [1] * (x.ndim - 1)), cameras
      )
    return TokenBatch(
      np.zeros(shape, np.int32),
      np.zeros(conditions, np.int32),
      labels.astype(np.int32),
      cameras,
    )

  def by_scene(
    self, clips: Float[np.ndarray, "n t h w 3"]
  ) -> UInt8[np.ndarray, "m v t h w 3"]:
    """Returns clips in [0, 1] of all views as those of the scenes, in bytes."""
    return to_uint8(clips).reshape(self.held_out.samples["frames"].shape)


def first_of_kind(model: TokenModel, kind: str) -> int | None:
  """Returns the index of a model's first task of a kind; None for none."""
  kinds = [task.kind for task in model.tasks]
  return kinds.index(kind) if kind in kinds else None


def to_uint8(
  clips: Float[np.ndarray, "n t h w 3"],
) -> UInt8[np.ndarray, "n t h w 3"]:
  """Returns clips in [0, 1] in bytes."""
  return np.rint(clips * 255).astype(np.uint8)


def side_by_side(
  clips: UInt8[np.ndarray, "m t h w 3"], num_views: int
) -> UInt8[np.ndarray, "n t h w2 3"]:
  """Returns the clips of `num_views` views in a row as one wide clip."""
  _, t, h, w, _ = clips.shape
  views = clips.reshape(-1, num_views, t, h, w, 3).transpose(0, 2, 3, 1, 4, 5)
  return views.reshape(-1, t, h, num_views * w, 3)
