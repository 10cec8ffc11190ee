"""Upstream's configs hold its values, for its variants and no others.

The values are those of MAGVIT's appendices; parameter trees that follow from
them are compared in tests/parity.
"""

import importlib

import pytest

from configs import upstream_base
from magvit3d.config.run import RunConfig
from magvit3d.config.upstream import MODEL_CLASSES, to_sections
from magvit3d.tokens import tasks

pytestmark = pytest.mark.smoke

_FILES = {
  "vqgan2d_ucf101_config": "VQGAN",
  "vqgan3d_ucf101_config": "VQGAN",
  "vqgan3d_bair_config": "VQGAN",
  "maskgvt_ucf101_config": "MaskGVT",
  "maskgvt_bair_config": "MaskGVT",
  "maskgvt_bair_multitask_config": "MaskGVT",
  "lmgvt_ucf101_config": "LMGVT",
}
# Batch, evaluation batch, epochs, steps, warm-up.
_SCHEDULES = {
  ("vqgan2d_ucf101_config", "B"): (256, 64, 1000, 37_000, 37),
  ("vqgan2d_ucf101_config", "L"): (256, 64, 1000, 37_000, 37),
  ("vqgan3d_ucf101_config", "B"): (128, 32, 500, 37_000, 74),
  ("vqgan3d_ucf101_config", "L"): (256, 64, 2000, 74_000, 37),
  ("vqgan3d_bair_config", "B"): (128, 32, 400, 135_200, 338),
  ("vqgan3d_bair_config", "L"): (256, 64, 800, 135_200, 169),
  ("maskgvt_ucf101_config", "B"): (256, 64, 2000, 74_000, 5000),
  ("maskgvt_ucf101_config", "L"): (256, 64, 2000, 74_000, 5000),
  ("maskgvt_bair_config", "B"): (256, 64, 400, 67_600, 5000),
  ("maskgvt_bair_config", "L"): (256, 64, 800, 135_200, 5000),
  ("maskgvt_bair_multitask_config", "B"): (256, 64, 1200, 202_800, 5000),
  ("maskgvt_bair_multitask_config", "L"): (256, 64, 1600, 270_400, 5000),
}


def _num_steps(config):
  config = RunConfig.from_dict(config)
  return config.training(config.trained[0]).num_steps


def _get(file, variant="B"):
  return importlib.import_module(f"configs.{file}").get_config(variant)


@pytest.mark.parametrize(("file", "variant"), _SCHEDULES)
def test_schedules_are_upstreams(file, variant):
  config = _get(file, variant)
  rates = config.lr_configs
  assert _SCHEDULES[file, variant] == (
    config.batch_size,
    config.eval_batch_size,
    config.num_training_epochs,
    rates.steps_per_cycle,
    rates.warmup_steps,
  )
  assert rates.base_learning_rate == 1e-4
  assert _num_steps(config.to_dict()) == rates.steps_per_cycle


def test_what_depends_on_an_overridden_field_follows_it():
  config = _get("vqgan3d_ucf101_config")
  config.batch_size = 64
  assert config.eval_batch_size == 16
  rates = config.to_dict()["lr_configs"]
  assert rates["steps_per_epoch"] == rates["warmup_steps"] == 149
  assert rates["steps_per_cycle"] == 500 * 149
  config.num_training_steps = 10
  assert _num_steps(config.to_dict()) == 10


@pytest.mark.parametrize("file", _FILES)
def test_variants_that_a_file_lacks_are_told_those_it_has(file):
  known = upstream_base.VARIANTS
  if "multitask" in file:
    known = upstream_base.SIZES
    with pytest.raises(ValueError, match=r"'B-runlocal'; it has B, L\."):
      _get(file, "B-runlocal")
  for variant in known:
    assert _get(file, variant).experiment_name.endswith(f"_{variant}")
  with pytest.raises(ValueError, match=rf"{file}.py has no variant 'XL'.*B, L"):
    _get(file, "XL")


def test_local_runs_take_a_few_small_steps():
  config = _get("vqgan3d_bair_config", "B-runlocal").to_dict()
  assert _num_steps(config) == 4 and config["batch_size"] == 2
  assert config["lr_configs"]["warmup_steps"] < 4


def test_evaluation_variants_do_not_train():
  assert _get("maskgvt_bair_config", "L-eval").eval_only
  assert not _get("maskgvt_bair_config", "L").eval_only


@pytest.mark.parametrize(
  ("file", "field", "value"),
  [
    ("vqgan2d_ucf101_config", "vqvae.architecture", "2dcnn"),
    ("vqgan2d_ucf101_config", "vqgan.num_train_sampled_frames", 4),
    ("vqgan3d_ucf101_config", "vqvae.temporal_downsample", (True, True, False)),
    ("vqgan3d_ucf101_config", "vqvae.channel_multipliers", (1, 2, 2, 4)),
    ("vqgan3d_ucf101_config", "init_from.inflation", "2d->3d"),
    ("vqgan3d_ucf101_config", "vqgan.perceptual_loss_weight", 0.1),
    ("vqgan3d_ucf101_config", "vqgan.polyak_decay", 0.999),
    ("vqgan3d_ucf101_config", "optimizer.beta2", 0.99),
    ("vqgan3d_bair_config", "image_size", 64),
    ("vqgan3d_bair_config", "discriminator.channel_multipliers", (2, 4, 4, 4)),
    ("vqgan3d_bair_config", "vqvae.num_enc_remat_blocks", 0),
    ("maskgvt_ucf101_config", "tasks.full_generation.class_conditional", True),
    ("maskgvt_ucf101_config", "sampling.mask_bins", 12),
    ("maskgvt_ucf101_config", "transformer.attention_dropout_rate", 0.1),
    ("maskgvt_bair_config", "transformer.condition_mode", "cond->input"),
    ("maskgvt_bair_config", "tasks.frame_prediction.cond_frames", 1),
    ("maskgvt_bair_config", "optimizer.weight_decay", 0.045),
    ("maskgvt_bair_multitask_config", "transformer.multi_task", True),
  ],
)
def test_values_are_upstreams(file, field, value):
  assert _get(file)[field] == value


def test_large_3d_tokenizers_rematerialise_their_finest_level():
  config = _get("vqgan3d_ucf101_config", "L")
  assert config.vqvae.num_enc_remat_blocks == 1
  assert config.vqvae.num_dec_remat_blocks == 1
  assert _get("vqgan2d_ucf101_config", "L").vqvae.num_enc_remat_blocks == 0


def test_the_multi_task_file_has_commits_eight_tasks():
  config = _get("maskgvt_bair_multitask_config").to_dict()
  assert set(config["tasks"]) == set(tasks.BAIR_TASKS)
  for name, region in tasks.REGIONS.items():
    assert config["tasks"][name]["cond_region"] == region


@pytest.mark.parametrize("file", _FILES)
def test_stage_blocks_have_what_upstream_lacks_switched_off(file):
  config = _get(file).to_dict()
  assert config["model_class"] == _FILES[file]
  blocks = to_sections(config)
  if _FILES[file] == "VQGAN":
    assert blocks["vqgan"]["foreground_weight"] == 1.0
    assert blocks["vqgan"]["dead_code_reset_steps"] is None
    assert blocks["train_tokenizer"]["d_lr"] == 1e-4
  else:
    assert blocks["train_transformer"]["label_smoothing"] == 1e-4


def test_images_have_no_frames_to_sample_from():
  config = _get("vqgan2d_ucf101_config").to_dict()
  assert to_sections(config)["vqgan"]["num_train_sampled_frames"] == 4
  blocks = to_sections(config | {"dataset_type": "image"})
  assert blocks["vqgan"]["num_train_sampled_frames"] is None


def test_evaluation_does_not_ask_for_the_perceptual_losss_weights():
  config = _get("vqgan3d_bair_config", "B-eval").to_dict()
  assert to_sections(config)["vqgan"]["perceptual_loss_weight"] == 0
  config = _get("vqgan3d_bair_config", "B").to_dict()
  assert to_sections(config)["vqgan"]["perceptual_loss_weight"] == 0.1


def test_an_unknown_model_class_names_the_known_ones():
  config = _get("vqgan3d_bair_config").to_dict() | {"model_class": "GPT"}
  with pytest.raises(ValueError, match=f"'GPT'.*{', '.join(MODEL_CLASSES)}"):
    to_sections(config)


def test_a_learning_rate_of_one_player_takes_the_place_of_the_common_one():
  config = _get("vqgan3d_bair_config")
  config.optimizer.d_lr = 3e-4
  training = to_sections(config.to_dict())["train_tokenizer"]
  assert (training["g_lr"], training["d_lr"]) == (1e-4, 3e-4)
