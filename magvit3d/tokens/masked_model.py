"""The masked transformer with its vocabulary and tasks."""

from collections.abc import Mapping, Sequence

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from magvit3d.config.run import RunConfig
from magvit3d.models.bert import Bert
from magvit3d.models.cameras import Cameras, plucker_rays
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.tokens import decoding, masking
from magvit3d.tokens.task_sequences import TaskSequences


@flax.struct.dataclass
class TokenBatch:
  """Tokens of clips and of what the tasks show of them, integers.

  Grids (t, h, w) of several views stand behind one another along t.

  Attributes:
    tokens: (b, t, h, w) of the clips; of JAX or, on the host, of NumPy.
    cond_tokens: (b, n, t, h, w) of the condition clips of n tasks; the clip's
      own tokens for a task without condition.
    labels: (b,) classes.
    cameras: Of scenes with several views, else None.
  """

  tokens: PyTree
  cond_tokens: PyTree
  labels: PyTree
  cameras: Cameras | None = None


class TokenModel(TaskSequences):
  """The transformer and the tokenizer on a run's tasks: logits, decoding.

  Args:
    config: The run's config; reads `vqvae`, `transformer`, `tasks`,
      `maskgvt`, `dtype` and `seed`.
    num_frames: Frames of a clip.
    num_classes: Classes of the data.
    latent_shape: Token grid (t, h, w) of a view.
    num_cameras: Of the data's rig, for `transformer.camera_embedding='view'`.
    image_size: Height and width of the images, pixels; for 'rays'.
  """

  def __init__(
    self,
    config: RunConfig,
    num_frames: int,
    num_classes: int,
    latent_shape: Sequence[int],
    *,
    num_cameras: int = 1,
    image_size: int | None = None,
  ):
    super().__init__(config, num_frames, num_classes, latent_shape)
    self._image_size = image_size
    self.transformer = Bert.from_config(
      config.transformer,
      vocab_size=self.vocabulary.size,
      prefix_length=self.prefix_length,
      grid=self.latent_shape,
      dtype=jnp.dtype(config.dtype),
      num_cameras=num_cameras,
    )
    self.tokenizer = Tokenizer.from_config(
      config.vqvae, jnp.dtype(config.dtype)
    )

  def init_arguments(self) -> tuple:
    """Returns arguments of the transformer, for its parameters' shapes."""
    ids = jnp.zeros((1, self.prefix_length + self.num_tokens), jnp.int32)
    eye = jnp.broadcast_to(jnp.eye(3), (1, self.num_views, 3, 3))
    cameras = Cameras(
      views=jnp.zeros((1, self.num_views), jnp.int32),
      intrinsics=eye,
      camera_from_world=jnp.pad(eye, [(0, 0)] * 3 + [(0, 1)]),
    )
    return ids, None, self.camera_argument(cameras)

  def encode(
    self, tokenizer_params: PyTree, clips: Float[Array, "b *v t h w 3"]
  ) -> Int[Array, "b s y x"]:
    """Tokenizes clips in [0, 1]; those of several views into one grid."""
    variables = {"params": tokenizer_params}
    tokens = self.tokenizer.apply(
      variables, clips.reshape(-1, *clips.shape[-4:]), method="encode"
    ).tokens
    return tokens.reshape(clips.shape[0], -1, *tokens.shape[2:])

  def tokenize(
    self,
    tokenizer_params: PyTree,
    clips: Float[Array, "b *v t h w 3"],
    labels: Int[Array, " b"],
    cameras: Cameras | None = None,
  ) -> TokenBatch:
    """Tokenizes clips in [0, 1] and every task's view of them."""
    tokens = self.encode(tokenizer_params, clips)
    shown = [
      self.encode(tokenizer_params, task.condition_video(clips))
      if task.condition
      else tokens
      for task in self.tasks
    ]
    return TokenBatch(tokens, jnp.stack(shown, axis=1), labels, cameras)

  def logits(
    self,
    params: PyTree,
    sequence: masking.MaskedTokens,
    cameras: Cameras | None = None,
    *,
    rngs: Mapping[str, PRNGKeyArray] | None = None,
  ) -> Float[Array, "b n k"]:
    """Logits over the codes at all positions; dropout with `rngs`."""
    return self._logits(
      params, sequence.masked_inputs, sequence.segment_ids, cameras, rngs
    )

  def _logits(self, params, ids, segment_ids, cameras, rngs=None):
    logits = self.transformer.apply(
      {"params": params},
      ids,
      segment_ids if self.transformer.num_segments else None,
      self.camera_argument(cameras),
      train=rngs is not None,
      rngs=rngs,
    )
    return logits[..., : self.vocabulary.codebook_size]

  def camera_argument(self, cameras: Cameras | None) -> Array | None:
    """What the network reads of the cameras."""
    if self.transformer.camera_embedding is None:
      return None
    if cameras is None:
      raise ValueError(
        "transformer.camera_embedding="
        f"{self.transformer.camera_embedding!r} needs the cameras."
      )
    if self.transformer.camera_embedding == "view":
      return cameras.views
    return plucker_rays(
      cameras.intrinsics,
      cameras.camera_from_world,
      self.latent_shape[1:],
      self._image_size,
    )

  def guided_logits(
    self,
    params: PyTree,
    sequence: masking.MaskedTokens,
    guidance: float,
    cameras: Cameras | None = None,
  ) -> Float[Array, "b n k"]:
    """Logits moved away from those without class and condition.

    Classifier-free guidance (https://arxiv.org/abs/2207.12598):
    logits + guidance x (logits - logits of `uncond_masked_inputs`). Views that
    are given exactly, and cameras, are in both.
    """
    logits = self.logits(params, sequence, cameras)
    if not guidance:
      return logits
    uncond = self._logits(
      params,
      sequence.uncond_masked_inputs,
      jnp.zeros_like(sequence.segment_ids),
      cameras,
    )
    return logits + guidance * (logits - uncond)

  def generate(
    self,
    params: PyTree,
    rng: PRNGKeyArray,
    task_index: int,
    labels: Int[Array, " b"],
    cond_tokens: Int[Array, "b t h w"],
    *,
    cameras: Cameras | None = None,
    is_given: Bool[Array, "b v"] | None = None,
    cond_mask: Bool[Array, "_ t h w"] | None = None,
    condition_mode: str | None = None,
  ) -> decoding.DecodingSteps:
    """Decodes token grids for a task in `sampling(task).mask_bins` steps.

    Args:
      params: Of the transformer.
      rng: Key of all draws.
      task_index: Of the task.
      labels: Classes; ignored by a task without.
      cond_tokens: Ignored by a task without condition. In given views, the
        views' own tokens.
      cameras: Of the views, as many as there shall be; None without
        `transformer.camera_embedding`.
      is_given: Which views are given; None for none.
      cond_mask: Takes the place of the task's, if given.
      condition_mode: Takes the place of the task's, if given.
    """
    sampling = self.sampling(self.tasks[task_index])
    num_views = self.num_views if cameras is None else cameras.views.shape[1]
    if cond_mask is None:
      cond_mask = self.cond_mask(task_index, is_given, num_views)
    shape = (
      labels.shape[0],
      num_views * self.latent_shape[0],
      *self.latent_shape[1:],
    )

    def logits_fn(shown):
      sequence = self.sequence(shown, labels, cond_tokens, task_index)
      logits = self.guided_logits(params, sequence, sampling.guidance, cameras)
      return logits[:, self.prefix_length :].reshape(*shape, -1)

    return decoding.decode(
      rng,
      logits_fn,
      shape,
      cond_tokens,
      cond_mask,
      kept=self.kept(is_given),
      condition_mode=condition_mode or self.tasks[task_index].mask_mode,
      num_iter=sampling.mask_bins,
      schedule=self.settings.mask_schedule,
      mask_temperature=sampling.choice_temperature,
      sampling_temperature=sampling.temperature,
      top_k=sampling.top_k,
      top_p=sampling.top_p,
      order=sampling.order,
      num_views=num_views,
    )
