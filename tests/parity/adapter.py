"""The project's public code behind the parity contract's function names.

Each function converts types and calls; parameters are nested dicts with
upstream's names and `config` a dict with `vqvae`, `discriminator`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from configs import (
  maskgvt_bair_config,
  maskgvt_bair_multitask_config,
  maskgvt_ucf101_config,
  vqgan2d_ucf101_config,
  vqgan3d_bair_config,
  vqgan3d_ucf101_config,
)
from magvit3d import upstream
from magvit3d.config.networks import (
  ArchitectureConfig,
  DiscriminatorConfig,
  TokenizerConfig,
)
from magvit3d.config.reading import read
from magvit3d.config.run import RunConfig
from magvit3d.config.tasks import TaskConfig
from magvit3d.config.upstream import to_sections
from magvit3d.evaluation import image_metrics
from magvit3d.models.autoregressive_transformer import TransformerLM
from magvit3d.models.bert import Bert
from magvit3d.models.discriminator import Discriminator
from magvit3d.models.published.c3d import C3D
from magvit3d.models.published.i3d import I3D
from magvit3d.models.tokenizer import Tokenizer
from magvit3d.tokens import (
  decoding,
  mask_scores,
  masking,
  sampling,
  schedules,
  tasks,
  vocabulary,
)
from magvit3d.tokens.conditions import Condition
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training import losses
from magvit3d.training.learning_rate import warmup_cosine


def _tree_shapes(module, *inputs):
  return jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]


def _shapes(module, *inputs):
  flat = flatten_dict(_tree_shapes(module, *inputs), sep="/")
  return {key: tuple(leaf.shape) for key, leaf in flat.items()}


def _zeros(shape, dtype=jnp.float32):
  return jax.ShapeDtypeStruct(tuple(shape), dtype)


def _numpy(tree):
  return jax.tree.map(np.asarray, tree)


def _jax(*trees):
  return jax.tree.map(jnp.asarray, trees)


def _apply(module, params, *inputs, **options):
  """One compiled call, rather than one for each operation."""
  run = jax.jit(lambda p, *x: module.apply({"params": p}, *x, **options))
  return run(*_jax(params, *inputs))


def _tokenizer_section(fields):
  return read(TokenizerConfig, fields, "config.vqvae")


def _tokenizer(config):
  return Tokenizer.from_config(_tokenizer_section(config["vqvae"]))


def tokenizer_param_shapes(config, video_shape):
  return _shapes(_tokenizer(config), _zeros(video_shape))


def tokenizer_forward(config, params, video):
  out = _apply(_tokenizer(config), params, video)
  return _numpy(
    dict(
      latents=out.quantized.latents,
      indices=out.quantized.tokens,
      quantized=out.quantized.codes,
      reconstruction=out.reconstruction,
    )
  )


def tokenizer_train_forward(config, params, video):
  out = _apply(_tokenizer(config), params, video, train=True)
  return _numpy(out.quantized.losses)


def tokenizer_objective(config, params, video):
  params, video = _jax(params, video)

  def objective(params):
    out = _tokenizer(config).apply({"params": params}, video, train=True)
    error = jnp.mean((out.reconstruction - video) ** 2)
    return error + out.quantized.losses["quantizer_loss"]

  return _numpy(jax.jit(jax.value_and_grad(objective))(params))


def tokenizer_decode_indices(config, params, indices):
  tokenizer = _tokenizer(config)
  return np.asarray(_apply(tokenizer, params, indices, method="decode_tokens"))


def tokenizer_stage1(config, params, indices):
  tokenizer = _tokenizer(config)
  return np.asarray(_apply(tokenizer, params, indices, method="stage1"))


def _discriminator(config):
  return Discriminator.from_config(
    read(DiscriminatorConfig, config["discriminator"], "config.discriminator"),
    ArchitectureConfig.of_tokenizer(config.get("vqvae", {})),
  )


def discriminator_param_shapes(config, video_shape):
  return _shapes(_discriminator(config), _zeros(video_shape))


def discriminator_logits(config, params, video):
  module = _discriminator(config)
  return np.asarray(_apply(module, params, video))


def discriminator_losses(config, params, real, fake, r1_weight):
  module = _discriminator(config)
  params, real, fake = _jax(params, real, fake)

  def d_loss(params, kind):
    apply = functools.partial(module.apply, {"params": params})
    real_logit, penalty = losses.r1_penalty(apply, real)
    fake_logit = apply(fake)
    d_adversarial = losses.discriminator_loss(real_logit, fake_logit, kind)
    out = dict(real_logit=real_logit, fake_logit=fake_logit, r1=penalty)
    return d_adversarial + r1_weight * penalty, out

  step = jax.value_and_grad(d_loss, has_aux=True)
  (nonsat, out), grads = jax.jit(step, static_argnums=1)(
    params, "non-saturating"
  )
  hinge, _ = jax.jit(d_loss, static_argnums=1)(params, "hinge")
  fake_logit = out["fake_logit"]
  return _numpy(
    dict(
      real_logit=out["real_logit"],
      fake_logit=fake_logit,
      r1_penalty=r1_weight * out["r1"],
      d_loss_nonsat=nonsat,
      d_loss_hinge=hinge,
      g_loss_nonsat=losses.generator_loss(fake_logit, "non-saturating"),
      g_loss_hinge=losses.generator_loss(fake_logit, "hinge"),
      grads=grads,
    )
  )


def lecam(real_mean, fake_mean, ema_real, ema_fake):
  means = _jax(real_mean, fake_mean, ema_real, ema_fake)
  return np.asarray(losses.lecam(*means))


def _bert(kwargs):
  return Bert(
    vocab_size=kwargs["vocab_size"],
    hidden_size=kwargs["hidden_size"],
    num_layers=kwargs["num_hidden_layers"],
    num_heads=kwargs["num_attention_heads"],
    mlp_dim=kwargs["intermediate_size"],
    max_position_embeddings=kwargs["max_position_embeddings"],
    num_segments=kwargs.get("num_segments", 0),
  )


def transformer_param_shapes(kwargs, shape):
  return _shapes(_bert(kwargs), _zeros(shape, jnp.int32))


def transformer_logits(kwargs, params, ids, segment_ids):
  module = _bert(kwargs)
  return np.asarray(_apply(module, params, ids, segment_ids))


def transformer_loss(
  kwargs,
  params,
  ids,
  segment_ids,
  targets,
  weights,
  label_smoothing,
  num_targets,
):
  params, ids, segment_ids = _jax(params, ids, segment_ids)
  targets, weights = _jax(targets, weights)

  def loss_fn(params):
    logits = _bert(kwargs).apply({"params": params}, ids, segment_ids)
    return losses.masked_cross_entropy(
      logits[..., :num_targets], targets, weights, label_smoothing
    )

  return _numpy(jax.jit(jax.value_and_grad(loss_fn))(params))


def _masked_dict(masked):
  return _numpy(
    {
      name: getattr(masked, name)
      for name in (
        "masked_inputs",
        "uncond_masked_inputs",
        "segment_ids",
        "targets",
        "weights",
      )
    }
  )


def random_mask(
  inputs, cond_inputs, cond_mask, mask_score, ratio, condition_mode, weight_mode
):
  inputs, cond_inputs, cond_mask, mask_score = _jax(
    inputs, cond_inputs, cond_mask, mask_score
  )
  return _masked_dict(
    masking.random_mask(
      inputs,
      cond_inputs,
      cond_mask,
      mask_score,
      ratio,
      condition_mode,
      weight_mode,
    )
  )


def frame_by_frame_mask(
  inputs, cond_inputs, cond_mask, mask_score, ratio, condition_mode
):
  maskable = masking.is_maskable(
    jnp.asarray(cond_mask), condition_mode, inputs.shape
  )
  score = jnp.where(maskable, mask_score, jnp.inf)
  return random_mask(
    inputs,
    cond_inputs,
    cond_mask,
    mask_scores.order_frames(score),
    ratio,
    condition_mode,
    "mask+refine+recons",
  )


def block_pool(score, poolable, window):
  return np.asarray(mask_scores.pool_blocks(*_jax(score, poolable), window))


def mask_schedule(method, ratios, total):
  return np.asarray(schedules.mask_ratio(method, jnp.asarray(ratios), total))


def condition(task, video, latent_shape, **kwargs):
  built = Condition(task, **kwargs)
  return dict(
    video=np.asarray(built.video(jnp.asarray(video))),
    video_mask=built.video_mask(video.shape[1:4]),
    latent_mask=built.latent_mask(latent_shape),
  )


def top_p(logits, p):
  return np.asarray(sampling.keep_top_p(jnp.asarray(logits), p))


def decode(
  logits_fn, shape, cond_inputs, cond_mask, condition_mode, num_iter, schedule
):
  cond_inputs, cond_mask = _jax(cond_inputs, cond_mask)
  # Tests are compiled without optimisation, but here logits are almost equal.
  options = {"xla_backend_optimization_level": 3}

  @functools.partial(jax.jit, compiler_options=options)
  def decoded():
    return decoding.decode(
      jax.random.key(0),
      lambda shown: logits_fn(shown.masked_inputs),
      shape,
      cond_inputs,
      cond_mask,
      condition_mode=condition_mode,
      num_iter=num_iter,
      schedule=schedule,
      mask_temperature=0.0,
      sampling_temperature=0.0,
    ).tokens[-1]

  return np.asarray(decoded())


def task_sequence(settings, task, inputs, cond_inputs, label):
  vocab = vocabulary.Vocabulary(
    settings["codebook_size"], settings["num_classes"], settings["multi_task"]
  )
  blocks = {}
  for name in settings["tasks"]:
    if name == "full_generation":
      given = settings["class_conditional"]
      blocks[name] = TaskConfig(class_conditional=given)
    elif name in settings["cond_regions"]:
      blocks[name] = TaskConfig(cond_region=settings["cond_regions"][name])
    else:
      blocks[name] = TaskConfig(cond_latent_frames=1)
  # Clips are as long as upstream's, so that one frame leaves some to predict.
  built = tasks.tasks_from_config(
    blocks, settings["condition_mode"], num_frames=16, time_stride=4
  )
  (chosen,) = (candidate for candidate in built if candidate.name == task)
  inputs, cond_inputs, label = _jax(inputs, cond_inputs, label)
  masked = masking.random_mask(
    inputs,
    cond_inputs,
    jnp.asarray(chosen.latent_mask(inputs.shape[1:])[None]),
    jnp.zeros(inputs.shape),
    1.0,
    chosen.mask_mode,
    settings["weight_mode"],
  )
  class_ids = jnp.full(len(label), vocab.no_class)
  if chosen.class_conditional:
    class_ids = settings["codebook_size"] + label[:, 0]
  return _masked_dict(
    tasks.add_prefix(
      vocab,
      masked,
      chosen.token,
      class_ids,
      tasks.uncond_task_token(built, chosen),
      chosen.prefix_tokens(cond_inputs),
    )
  )


def learning_rate(lr_configs, steps):
  schedule = warmup_cosine(
    lr_configs["base_learning_rate"],
    lr_configs["warmup_steps"],
    lr_configs["steps_per_cycle"],
  )
  return [float(schedule(step)) for step in steps]


def psnr(a, b):
  return image_metrics.psnr(a, b)


def ssim(a, b):
  return image_metrics.ssim(a, b)


def inflate(params_2d, params_3d, mode):
  # As upstream, which keeps the 3D value where a leaf cannot be inflated.
  inflation = {"central": "2d->3d", "average": "2d->3d/average"}[mode]
  trees, _ = upstream.compare(
    {"params": params_2d}, {"params": params_3d}, inflation
  )
  return _numpy(trees["params"])


def load_upstream_tokenizer(path, config):
  size = config["image_size"]
  frames = 2 ** len(config["vqvae"]["channel_multipliers"])
  like = _tree_shapes(_tokenizer(config), _zeros((1, frames, size, size, 3)))
  source = upstream.load(path).trees["ema_params"]
  return _numpy(upstream.match(source, like)[0])


def load_upstream_transformer(path, kwargs):
  ids = _zeros((1, kwargs["max_position_embeddings"]), jnp.int32)
  source = upstream.load(path).trees["params"]
  return _numpy(upstream.match(source, _tree_shapes(_bert(kwargs), ids))[0])


def i3d(params, video):
  logits_mean, pool = _apply(I3D(), params, video)
  return _numpy(dict(logits_mean=logits_mean, pool=pool))


def c3d(params, video):
  return np.asarray(_apply(C3D(), params, video))


def lm_param_shapes(kwargs, shape):
  return _shapes(TransformerLM(**kwargs), _zeros(shape, jnp.int32))


def lm_logits(kwargs, params, ids):
  return np.asarray(_apply(TransformerLM(**kwargs), params, ids))


_CONFIG_FILES = {
  "maskgvt_ucf101_class_conditional": maskgvt_ucf101_config,
  "maskgvt_bair_frame_prediction": maskgvt_bair_config,
  "maskgvt_bair_multitask": maskgvt_bair_multitask_config,
  "vqgan2d_ucf101": vqgan2d_ucf101_config,
  "vqgan3d_ucf101": vqgan3d_ucf101_config,
  "vqgan3d_bair": vqgan3d_bair_config,
}


def config_param_shapes(name):
  file, variant, *part = name.split("/")
  config = _CONFIG_FILES[file].get_config(variant).to_dict()
  blocks = to_sections(config)
  data = config["dataset_configs"]
  size = config["image_size"]
  if part == ["generator"]:
    return tokenizer_param_shapes(
      blocks, (1, data["num_frames"], size, size, 3)
    )
  if part == ["discriminator"]:
    shape = (1, data["num_frames"], size, size, 3)
    return discriminator_param_shapes(blocks, shape)
  model = TokenModel(
    RunConfig.from_dict(blocks),
    data["num_frames"],
    data["num_classes"],
    config["transformer"]["latent_shape"],
  )
  length = model.prefix_length + model.num_tokens
  return _shapes(model.transformer, _zeros((1, length), jnp.int32))
