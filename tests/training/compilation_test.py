"""Nothing that a stage runs is compiled twice."""

import collections
import logging
import re

import jax
import numpy as np
import pytest
import small_loops
from small_networks import tokenizer_config, transformer_config

from magvit3d.config.run import RunConfig
from magvit3d.evaluation import tokenizer_scores, transformer_scores
from magvit3d.parallel import sharding
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.training.masked_stage import TransformerStage
from magvit3d.training.tokenizer_stage import TokenizerStage

_OURS = ("train_step", "init_state", "_init_codebook", "reconstruct", "predict")


class _Clips:
  def __len__(self):
    return 12

  def __getitem__(self, index):
    rng = np.random.default_rng(int(index))
    frames = rng.integers(0, 256, (4, 4, 4, 3)).astype(np.uint8)
    return {
      "frames": frames,
      "masks": frames[..., 0] // 128,
      "labels": np.int32(index % 3),
      "background": np.zeros((1, 1, 3), np.float32),
    }


def _tokenizer():
  config = tokenizer_config(
    quantizer_start_step=2, discriminator_start_step=3, dead_code_reset_steps=2
  )
  source = _Clips()
  frames = np.stack([source[i]["frames"] for i in range(2)])
  stage = TokenizerStage(
    RunConfig.from_dict(config), 1000, (4, 4, 4, 3), frames
  )
  clips = {
    key: np.stack([source[i][key] for i in range(3)]) for key in source[0]
  }
  reconstruct = tokenizer_scores.make_reconstruct(
    stage.tokenizer, 2, sharding.make_mesh()
  )

  def validate(state):
    return tokenizer_scores.validation_scores(
      reconstruct, state.ema_params, clips, stage.has_quantized(state)
    )

  return stage, validate


def _transformer():
  config = transformer_config()
  model = TokenModel(RunConfig.from_dict(config), 4, 3, (2, 2, 2))
  source = _Clips()
  clips = {
    key: np.stack([source[i][key] for i in range(3)]) for key in source[0]
  }
  params = jax.jit(model.tokenizer.init)(
    jax.random.key(1), clips["frames"] / 255.0
  )["params"]
  stage = TransformerStage(RunConfig.from_dict(config), model, 1000, params)
  validate = transformer_scores.make_validation(
    model, params, clips, 2, sharding.make_mesh()
  )
  return stage, lambda state: validate(state.params)


@pytest.mark.parametrize(
  "make", [pytest.param(_tokenizer, marks=pytest.mark.slow), _transformer]
)
def test_a_stage_compiles_each_function_once(make, tmp_path, caplog):
  stage, validate = make()
  with jax.log_compiles(), caplog.at_level(logging.WARNING):
    small_loops.train(
      stage,
      _Clips(),
      tmp_path,
      validate,
      num_steps=8,
      log_every_steps=1,
      validate_every_steps=2,
      checkpoint_every_steps=3,
    )
  names = re.findall(r"Compiling (?:jit\()?([\w<>.]+)", caplog.text)
  counts = collections.Counter(names)
  # A tokenizer's step changes once, when its discriminator begins to learn.
  num_steps = 2 if make is _tokenizer else 1
  assert counts["train_step"] == num_steps
  # `predict` is one function a task.
  num_tasks = len(getattr(getattr(stage, "model", None), "tasks", [0]))
  for name in _OURS:
    most = {"predict": num_tasks, "train_step": num_steps}.get(name, 1)
    assert counts[name] <= most, counts
