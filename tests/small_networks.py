"""Configs of networks that compile in seconds."""

import jax.numpy as jnp
import numpy as np

VQVAE = dict(
  architecture="3dcnn",
  filters=4,
  channel_multipliers=(1, 2),
  temporal_downsample=(True,),
  num_enc_res_blocks=1,
  num_dec_res_blocks=1,
  num_groups=2,
  conv_implementation=None,
  codebook_size=8,
  embedding_dim=4,
  commitment_cost=0.25,
  entropy_loss_ratio=0.1,
  entropy_temperature=0.01,
  entropy_loss_type="softmax",
)
TRANSFORMER = dict(
  num_layers=1,
  hidden_size=16,
  mlp_dim=32,
  num_heads=2,
  dropout_rate=0.1,
)
MASKGVT = dict(
  multi_task=True,
  inpainting_token=False,
  condition_mode="cond->input",
  weight_mode="mask+refine+recons",
  mask_type="random",
  mask_block_shape=(1, 1, 1),
  mask_schedule="cosine",
  sampling=dict(
    mask_bins=3,
    choice_temperature=4.5,
    temperature=1.0,
    top_k=None,
    top_p=None,
    guidance=0.0,
  ),
)


def tokenizer_config(**vqgan):
  """Upstream's settings for tiny networks; `vqgan` changes them."""
  return dict(
    seed=3,
    dtype="float32",
    vqvae=dict(VQVAE),
    discriminator=dict(filters=2, channel_multipliers=(1,)),
    vqgan=dict(
      loss_type="non-saturating",
      g_adversarial_loss_weight=0.1,
      gradient_penalty="r1",
      grad_penalty_cost=10.0,
      lecam_weight=0.0,
      polyak_decay=0.9,
      foreground_weight=1.0,
      discriminator_start_step=0,
      quantizer_start_step=0,
      dead_code_reset_steps=None,
      perceptual_loss_weight=0.0,
      perceptual_loss_on_logit=True,
      perceptual_weights=None,
      entropy_loss_enlarge_ratio=0.0,
      entropy_loss_enlarge_steps=1,
      finetune_decoder=False,
      num_train_sampled_frames=None,
    )
    | vqgan,
    train_tokenizer=dict(
      g_lr=1e-2,
      gradient_accumulation_steps=1,
      d_lr=1e-2,
      warmup_steps=0,
      optimizer=dict(
        beta1=0.0, beta2=0.99, weight_decay=0.0, max_grad_norm=None
      ),
    ),
  )


def transformer_config():
  """Settings of a masked transformer with two tasks."""
  return dict(
    seed=0,
    dtype="float32",
    vqvae=dict(VQVAE),
    transformer=TRANSFORMER,
    tasks=dict(
      full_generation=dict(weight=0.01, class_conditional=True),
      frame_prediction=dict(
        weight=0.01, cond_frames=1, cond_latent_frames=None
      ),
    ),
    maskgvt=MASKGVT,
    train_transformer=dict(
      learning_rate=1e-2,
      warmup_steps=0,
      label_smoothing=1e-4,
      gradient_accumulation_steps=1,
      optimizer=dict(
        beta1=0.9, beta2=0.96, weight_decay=0.045, max_grad_norm=1.0
      ),
    ),
  )


def clip_batch():
  """Two clips of 2 frames of 4x4 pixels, and their masks."""
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (2, 2, 4, 4, 3)).astype(np.uint8)
  masks = rng.integers(0, 2, (2, 2, 4, 4)).astype(np.uint8)
  return {"frames": jnp.asarray(frames), "masks": jnp.asarray(masks)}
