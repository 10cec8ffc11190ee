"""The configs hold the plan's numbers, and their networks can be built."""

import dataclasses

import pytest

from configs import traj3d
from data_gen.rendering import cameras
from data_gen.scenes.options import DatasetOptions
from magvit3d.config.networks import TokenizerConfig
from magvit3d.experiment import Experiment
from magvit3d.models.tokenizer import latent_shape

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
  "variant",
  [
    pytest.param(name, marks=pytest.mark.slow if name != "tiny" else ())
    for name in traj3d.VARIANTS
  ],
)
def test_networks_of_every_variant_can_be_built(variant, tmp_path):
  """Without values, so that `:L` takes a second."""
  Experiment(traj3d.get_config(variant).to_dict(), tmp_path)


def test_unknown_variant_is_told_the_known_ones():
  with pytest.raises(ValueError, match=r"'huge'.*tiny, small, S, B, L"):
    traj3d.get_config("huge")


def test_base_variant_is_the_default():
  assert traj3d.get_config().to_dict() == traj3d.get_config("B").to_dict()


@pytest.mark.parametrize(
  ("field", "value"),
  {
    "data.num_frames": 16,
    "data.image_size": 128,
    "data.num_train": 6000,
    "data.num_validation": 1000,
    "data.num_test": 1000,
    "vqvae.codebook_size": 2048,
    "vqvae.filters": 64,
    "vqvae.channel_multipliers": (1, 2, 2, 4),
    "transformer.num_layers": 12,
    "transformer.hidden_size": 768,
    "transformer.num_heads": 12,
    "train_transformer.batch_size": 48,
    "train_transformer.learning_rate": 5e-5,
    "train_transformer.warmup_steps": 2000,
    "train_transformer.optimizer.weight_decay": 0.02,
    "train_transformer.optimizer.max_grad_norm": 1.0,
    "train_transformer.num_epochs": 150,
    "train_transformer.num_steps": None,
    "train_tokenizer.batch_size": 48,
    "train_tokenizer.num_epochs": 150,
    "maskgvt.mask_schedule": "cosine",
    "maskgvt.sampling.mask_bins": 12,
    "tasks.full_generation.class_conditional": True,
    "oracle_gate": True,
    "oracle_gate_db": 3.0,
    "evaluation.min_foreground_gain_db": 3.0,
    "evaluation.max_color_error_ratio": 0.25,
    "evaluation.min_foreground_perplexity": 30.0,
    "evaluation.max_token_error_ratio": 2 / 3,
  }.items(),
)
def test_base_variant_holds_the_plans_numbers(field, value):
  assert traj3d.get_config("B")[field] == value


def test_base_variants_latent_grid_is_4_by_16_by_16():
  config = traj3d.get_config("B").to_dict()
  assert latent_shape(TokenizerConfig(**config["vqvae"]), 16, 128) == (
    4,
    16,
    16,
  )


def test_a_batch_is_the_clips_of_16_scenes():
  batch_size = traj3d.get_config("B").train_transformer.batch_size
  assert batch_size == 16 * len(cameras.DEFAULT_POSITIONS)


@pytest.mark.parametrize("variant", traj3d.VARIANTS)
def test_data_options_are_fields_of_every_variant(variant):
  data = traj3d.get_config(variant).data
  names = {field.name for field in dataclasses.fields(DatasetOptions)}
  options = names - {"output_dir"}
  assert options == set(data.keys()) - {"data_dir"}
