"""The programs of training and decoding, as shapes and as values.

The same objects are run on a card and, without one, compiled for it.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from configs import traj3d
from magvit3d.config.networks import TokenizerConfig
from magvit3d.config.run import RunConfig
from magvit3d.data.pixels import to_unit_range
from magvit3d.models import target
from magvit3d.models.tokenizer import Tokenizer, latent_shape
from magvit3d.monitoring.flops import step_flops
from magvit3d.parallel import sharding, sharding_rules
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.health import SkippingStep
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage

NUM_CLASSES = 12
_NUM_STEPS = 10**6  # Of the learning rate's schedule.
# The discriminator and the quantizer are in the step from the start.
_AT_ONCE = {
  "vqgan.discriminator_start_step": 0,
  "vqgan.quantizer_start_step": 0,
  "vqgan.codebook_init_clips": 0,
}
# What makes `:tiny` a matter of seconds on a CPU.
SHRUNK = {
  "data.image_size": 16,
  # Objects that are seen in so few pixels, and stay in sight.
  "data.size_min": 4.0,
  "data.size_max": 6.5,
  "data.path_scale_min": 0.35,
  "data.path_scale_max": 0.6,
  "data.num_frames": 8,
  "vqvae.filters": 4,
  "vqvae.channel_multipliers": (1, 2),
  "vqvae.temporal_downsample": (True,),
  "vqvae.codebook_size": 32,
  "vqvae.embedding_dim": 8,
  "discriminator.filters": 4,
  "discriminator.channel_multipliers": (1,),
  "discriminator.num_groups": 2,
  "transformer.num_layers": 1,
  "transformer.hidden_size": 32,
  "transformer.mlp_dim": 64,
  "transformer.num_heads": 2,
  "tasks.frame_prediction.cond_frames": 4,
  "maskgvt.sampling.mask_bins": 2,
}


def make_config(
  variant: str, changes: Mapping[str, Any], *, is_small: bool = False
) -> dict[str, Any]:
  """Returns the config of a variant of configs/traj3d.py.

  Args:
    variant: Such as 'B'.
    changes: Values by path, such as 'vqvae.filters'.
    is_small: Shrinks `:tiny` in the variant's place.
  """
  config = traj3d.get_config("tiny" if is_small else variant)
  fields = _AT_ONCE | (SHRUNK if is_small else {}) | dict(changes)
  with config.unlocked():
    config.update_from_flattened_dict(fields)
  return config.to_dict()


@dataclasses.dataclass(frozen=True)
class Program:
  """A function of arrays that is compiled as a whole.

  Attributes:
    function: Takes and returns trees of arrays.
    shapes: Of the arguments.
    make_arguments: Returns arguments of these shapes.
    num_clips: Clips that a call works on.
    num_loops: How often the loop runs that makes it up, if there is one.
    is_step: Whether its first argument is the state, which it overwrites.
  """

  function: Callable
  shapes: tuple
  make_arguments: Callable[[], tuple]
  num_clips: int
  num_loops: int = 1
  is_step: bool = False

  def lower(self, mesh: Mesh) -> jax.stages.Lowered:
    """Traces it for the devices of a mesh, as the training loop does."""
    whole = sharding.replicated(mesh)
    rest = [
      sharding.with_shardings(tree, jax.tree.map(lambda _: whole, tree))
      for tree in self.shapes
    ]
    with jax.set_mesh(mesh):
      if not self.is_step:
        return jax.jit(self.function).lower(*rest)
      places = sharding_rules.state_shardings(self.shapes[0], mesh)
      state = sharding.with_shardings(self.shapes[0], places)
      step = jax.jit(
        self.function, donate_argnums=0, out_shardings=(places, whole)
      )
      return step.lower(state, *rest[1:])

  def put_arguments(self, mesh: Mesh) -> tuple:
    """Returns arguments, on the devices of a mesh."""
    state, *rest = self.make_arguments()
    places = jax.tree.map(lambda _: sharding.replicated(mesh), state)
    if self.is_step:
      places = sharding_rules.state_shardings(self.shapes[0], mesh)
    return (
      sharding.put(state, places),
      *(sharding.replicate(tree, mesh) for tree in rest),
    )


def random_values(shapes: PyTree, seed: int = 0) -> PyTree:
  """Returns arrays: of integers 0 or 1, uint8 in full, floats normal."""
  rng = np.random.default_rng(seed)

  def draw(shape):
    if shape.dtype == np.uint8:
      return jnp.asarray(rng.integers(0, 256, shape.shape), jnp.uint8)
    if jnp.issubdtype(shape.dtype, jnp.integer):
      return jnp.asarray(rng.integers(0, 2, shape.shape), shape.dtype)
    return jnp.asarray(rng.standard_normal(shape.shape), shape.dtype)

  return jax.tree.map(draw, shapes)


def _clip_shape(config: Mapping[str, Any]) -> tuple[int, int, int, int]:
  size = config["data"]["image_size"]
  return config["data"]["num_frames"], size, size, 3


def _clips(config: Mapping[str, Any], num_clips: int) -> dict[str, Any]:
  shape = (num_clips, *_clip_shape(config))
  return {
    "frames": jax.ShapeDtypeStruct(shape, np.uint8),
    "masks": jax.ShapeDtypeStruct(shape[:-1], np.uint8),
  }


def _step_program(stage, batch: PyTree, num_clips: int) -> Program:
  state = jax.eval_shape(stage.init_state)
  frozen = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), stage.frozen
  )

  def make_arguments():
    return (
      jax.jit(stage.init_state)(),
      random_values(batch),
      random_values(frozen),
    )

  step = SkippingStep(stage.step_function(_NUM_STEPS))
  return Program(
    lambda state, batch, frozen: step(state, batch, frozen),
    (state, batch, frozen),
    make_arguments,
    num_clips,
    is_step=True,
  )


def tokenizer_step(config: Mapping[str, Any], num_clips: int) -> Program:
  """A training step of the tokenizer, discriminator included."""
  stage = TokenizerStage(
    RunConfig.from_dict(config), _NUM_STEPS, _clip_shape(config)
  )
  return _step_program(stage, _clips(config, num_clips), num_clips)


def _token_model(config: Mapping[str, Any]) -> TokenModel:
  frames, size, _, _ = _clip_shape(config)
  grid = latent_shape(
    TokenizerConfig(**config["vqvae"]), frames, size, fields=("frames", "size")
  )
  return TokenModel(
    RunConfig.from_dict(config), frames, NUM_CLASSES, grid, image_size=size
  )


def _tokenizer_params(config: Mapping[str, Any]) -> PyTree:
  tokenizer = Tokenizer.from_config(TokenizerConfig(**config["vqvae"]))
  clip = jax.ShapeDtypeStruct((1, *_clip_shape(config)), np.float32)
  return jax.eval_shape(tokenizer.init, jax.random.key(0), clip)["params"]


def _int32(*shape: int) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(shape, np.int32)


def transformer_step(config: Mapping[str, Any], num_clips: int) -> Program:
  """A training step of the transformer, on tokens of the cache."""
  model = _token_model(config)
  params = _tokenizer_params(config)
  stage = TransformerStage(
    RunConfig.from_dict(config), model, _NUM_STEPS, params
  )
  batch = {
    "tokens": _int32(num_clips, *model.latent_shape),
    "cond_tokens": _int32(num_clips, len(model.tasks), *model.latent_shape),
    "labels": _int32(num_clips),
  }
  return _step_program(stage, batch, num_clips)


def decoding(config: Mapping[str, Any], num_clips: int) -> Program:
  """Generates tokens of clips in all decoding steps."""
  model = _token_model(config)
  init = functools.partial(model.transformer.init, jax.random.key(0))
  params = jax.eval_shape(init, *model.init_arguments())["params"]
  labels, grid = _int32(num_clips), _int32(num_clips, *model.latent_shape)

  def decode(params, labels, cond_tokens):
    steps = model.generate(params, jax.random.key(0), 0, labels, cond_tokens)
    return steps.tokens[-1]

  def make_arguments():
    values = jax.jit(init)(*model.init_arguments())["params"]
    return values, *random_values((labels, grid))

  return Program(
    decode,
    (params, labels, grid),
    make_arguments,
    num_clips,
    num_loops=config["maskgvt"]["sampling"]["mask_bins"],
  )


def reconstruction(config: Mapping[str, Any], num_clips: int) -> Program:
  """Tokenizes clips and decodes their tokens, as evaluation does."""
  tokenizer = Tokenizer.from_config(
    TokenizerConfig(**config["vqvae"]), jnp.dtype(config["dtype"])
  )
  params = _tokenizer_params(config)
  frames = _clips(config, num_clips)["frames"]

  def reconstruct(params, frames):
    out = tokenizer.apply({"params": params}, to_unit_range(frames))
    return out.reconstruction, out.quantized.tokens

  def make_arguments():
    clip = jnp.zeros((1, *_clip_shape(config)))
    values = jax.jit(tokenizer.init)(jax.random.key(0), clip)["params"]
    return values, random_values(frames)

  return Program(reconstruct, (params, frames), make_arguments, num_clips)


PROGRAMS: Mapping[str, Callable[..., Program]] = {
  "tokenizer": tokenizer_step,
  "transformer": transformer_step,
  "decoding": decoding,
  "reconstruction": reconstruction,
}


def model_flops(
  kind: str, config: Mapping[str, Any], num_clips: int
) -> float | None:
  """Returns the FLOPs that a program needs, as XLA counts the traced one.

  Traced for the CPU, where the count is there whatever the device; attention's
  products are in it, which XLA does not see in cuDNN's calls.
  """
  transformer = config["transformer"] | {"attention_implementation": "xla"}
  vqvae = config["vqvae"] | {"conv_implementation": "xla"}
  config = {**config, "transformer": transformer, "vqvae": vqvae}
  device = np.asarray(jax.devices("cpu")[:1]).reshape(1, 1, 1)
  # On GPUs and TPUs some convolutions need fewer than XLA's on CPUs.
  with target.made_for("gpu"):
    program = PROGRAMS[kind](config, num_clips)
    lowered = program.lower(Mesh(device, sharding.AXES))
  return step_flops(lowered, program.num_loops)
