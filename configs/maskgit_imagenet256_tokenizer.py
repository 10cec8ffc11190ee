"""The tokenizer of MaskGIT's public ImageNet model, 256 x 256, one frame.

For `python -m magvit3d.upstream` and `config.init_from`; it is no experiment
of its own. MaskGIT (https://arxiv.org/abs/2202.04200) published the weights as
one msgpack file; its residual block's shortcut convolution reads the block's
output, hence `shortcut_reads_output`.
"""

import ml_collections as mlc
from ml_collections.config_dict import FieldReference as optional


def get_config() -> mlc.ConfigDict:
  """Returns the settings of the network."""
  config = mlc.ConfigDict()
  config.image_size = 256
  config.num_frames = 1  # Images.

  config.vqvae = vqvae = mlc.ConfigDict()
  vqvae.architecture = "2dcnn"
  vqvae.filters = 128
  vqvae.channel_multipliers = (1, 1, 2, 2, 4)
  vqvae.num_enc_res_blocks = 2
  vqvae.num_dec_res_blocks = 2
  vqvae.conv_downsample = False
  vqvae.upsample = "nearest"
  vqvae.norm_type = optional("GN")
  vqvae.activation_fn = "swish"
  vqvae.shortcut_reads_output = True
  vqvae.codebook_size = 1024
  vqvae.embedding_dim = 256
  vqvae.commitment_cost = 0.25
  vqvae.entropy_loss_ratio = 0.1
  vqvae.entropy_loss_type = "softmax"
  vqvae.entropy_temperature = 0.01
  return config
