"""Autoregressive class-conditional generation on UCF-101, MAGVIT's baseline.

Ours: upstream publishes no config of its autoregressive transformer. Sizes are
those of the masked one. Variants: B (default), L, and of each -runlocal (a few
steps, small batches) and -eval.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional
from ml_collections.config_dict import placeholder

from configs import upstream_base


def get_config(variant: str = "B") -> mlc.ConfigDict:
  """Returns the settings for one of `upstream_base.VARIANTS`."""
  file = "lmgvt_ucf101_config"
  size, _ = upstream_base.split_variant(f"{file}.py", variant)
  config = upstream_base.make_common(
    "lmgvt_ucf101", variant, "LMGVT", upstream_base.UCF101, 256, 2000
  )
  upstream_base.add_transformer_optimizer(config)
  upstream_base.add_tokenizer(config, size, "3dcnn", upstream_base.UCF101)
  upstream_base.add_tokenizer_checkpoint(config)
  layers, hidden_size, mlp_dim, heads = upstream_base.TRANSFORMER_SIZES[size]
  config.transformer = transformer = mlc.ConfigDict()
  transformer.latent_shape = optional((4, 16, 16), object)
  transformer.num_layers = layers
  transformer.emb_dim = hidden_size
  transformer.qkv_dim = hidden_size
  transformer.mlp_dim = mlp_dim
  transformer.num_heads = heads
  transformer.dropout_rate = 0.1
  transformer.attention_dropout_rate = 0.1
  transformer.logits_via_embedding = False
  transformer.learnable_position = True
  transformer.label_smoothing = 1e-4
  config.sampling = sampling = mlc.ConfigDict()
  sampling.temperature = 1.0
  sampling.top_k = placeholder(int)
  sampling.top_p = placeholder(float)
  return config
