"""Blocks of configs for networks that compile in seconds."""

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
