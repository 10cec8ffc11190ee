"""Fields that may be None can be set to it, and to a value, in every config."""

import dataclasses
import functools
import importlib
import pkgutil
import types
import typing

import ml_collections as mlc
import pytest
from absl import flags
from ml_collections import config_flags

import configs
import magvit3d.main  # noqa: F401  # Its --config reads None.
from configs import traj3d, traj3d_multiview
from magvit3d.config import (
  data,
  networks,
  run,
  tasks,
  training,
)
from magvit3d.config.run import RunConfig
from magvit3d.config.upstream import is_upstream
from magvit3d.errors import UserError

pytestmark = pytest.mark.smoke
# Where MAGVIT's configs have the fields of our sections.
_UPSTREAM = {
  "vqvae": [networks.TokenizerConfig],
  "discriminator": [networks.DiscriminatorConfig],
  "vqgan": [training.TokenizerLossConfig],
  "transformer": [
    networks.TransformerConfig,
    networks.AutoregressiveTransformerConfig,
    tasks.MaskedModelConfig,
  ],
  "optimizer": [training.OptimizerConfig],
  "crop": [training.CropConfig],
  "init_from": [training.InitialParametersConfig],
  "tokenizer": [training.InitialParametersConfig],
  "monitoring": [run.MonitoringConfig],
  "sampling": [tasks.SamplingConfig],
  "dataset_configs": [data.VideoDataConfig],
  "checkpoints": [training.TrainingConfig],
}
_MODES = ("B", "L", "B-runlocal", "B-eval", "L-runlocal", "L-eval")


def _variants():
  for module in pkgutil.iter_modules(configs.__path__):
    file = importlib.import_module(f"configs.{module.name}")
    if not hasattr(file, "get_config"):
      continue
    if module.name == "maskgit_imagenet256_tokenizer":
      yield module.name, None
      continue
    is_short = module.name == "maskgvt_bair_multitask_config"
    default = ("B", "L") if is_short else _MODES
    for variant in getattr(file, "VARIANTS", default):
      yield module.name, variant


VARIANTS = list(_variants())


def _get(name, variant):
  file = importlib.import_module(f"configs.{name}")
  return file.get_config(*([] if variant is None else [variant]))


@functools.cache
def _hints(cls):
  return typing.get_type_hints(cls)


def _kinds(hint):
  is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
  return typing.get_args(hint) if is_union else (hint,)


def _plain_type(hint):
  """What a placeholder has: a type of Python, or object for several."""
  found = [
    str
    if typing.get_origin(kind) is typing.Literal
    else typing.get_origin(kind) or kind
    for kind in _kinds(hint)
    if kind is not type(None)
  ]
  return found[0] if found[0] is not tuple and len(found) == 1 else object


def _optional(section, classes, path=""):
  """Yields path and type of each optional field of a section of a config."""
  for field in section:
    value = section[field]
    hints = [_hints(c)[field] for c in classes if field in _hints(c)]
    where = f"{path}{field}"
    if isinstance(value, mlc.ConfigDict):
      if field == "tasks":
        for task in value:
          yield from _optional(
            value[task], [tasks.TaskConfig], f"{where}.{task}."
          )
      elif hints:
        inner = [k for k in _kinds(hints[0]) if dataclasses.is_dataclass(k)]
        yield from _optional(value, inner, f"{where}.")
      continue
    if hints and type(None) in _kinds(hints[0]):
      yield where, _plain_type(hints[0])


def _all_optional(config):
  if "model_class" not in config:
    return list(_optional(config, [run.Sections]))
  found = [("num_training_steps", int)]
  top = {key: value for key, value in config.items() if key not in _UPSTREAM}
  found += _optional(top, [run.Sections])
  for name, classes in _UPSTREAM.items():
    if name in config:
      found += _optional(config[name], classes, f"{name}.")
  return found


def _holder(config, path):
  *sections, field = path.split(".")
  return functools.reduce(lambda c, name: c[name], sections, config), field


def test_the_walk_finds_what_there_is():
  """Else the tests below show nothing."""
  found = dict(_all_optional(traj3d.get_config("tiny")))
  assert found["train_tokenizer.best_metric"] is str
  assert found["vqvae.conv_implementation"] is str
  assert found["transformer.camera_embedding"] is str
  assert found["tasks.frame_prediction.sampling.top_p"] is float
  assert found["evaluation.motions_below_baselines"] is bool
  assert len(found) > 60
  upstream = dict(_all_optional(_get("maskgvt_bair_multitask_config", "L")))
  assert upstream["transformer.latent_shape"] is object
  assert upstream["tasks.outpainting_h.cond_region"] is str


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_optional_fields_keep_their_type_without_a_value(name, variant):
  config = _get(name, variant)
  for path, kind in _all_optional(config):
    holder, field = _holder(config, path)
    assert holder.get_type(field) is kind, path
    before = holder[field]
    holder[field] = None
    assert holder.get_type(field) is kind, path
    holder[field] = before


def _fields_of_no_type(config, path=""):
  for field in config:
    if isinstance(config[field], mlc.ConfigDict):
      yield from _fields_of_no_type(config[field], f"{path}{field}.")
    elif config.get_type(field) is type(None):
      yield path + field


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_no_field_lacks_a_type(name, variant):
  assert not list(_fields_of_no_type(_get(name, variant)))


def _parse(name, variant, *overrides):
  """The config that a command line gives."""
  values = flags.FlagValues()
  argv = ["program", *(f"--config.{text}" for text in overrides)]
  holder = config_flags.DEFINE_config_dict(
    "config",
    _get(name, variant),
    lock_config=True,
    flag_values=values,
    sys_argv=argv,
  )
  values(argv)
  return holder.value


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_optional_field_may_be_none_on_the_command_line(name, variant):
  paths = [path for path, _ in _all_optional(_get(name, variant))]
  config = _parse(name, variant, *(f"{path}=None" for path in paths))
  for path in paths:
    holder, field = _holder(config, path)
    assert holder[field] is None, path
  if name != "maskgit_imagenet256_tokenizer":
    document = config.to_dict()
    RunConfig.from_dict(document)
    assert is_upstream(document) == name.endswith("_config")


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("evaluation.max_token_error_ratio=1", 1.0),
    ("train_tokenizer.best_metric=max:validation/psnr", "max:validation/psnr"),
    ("vqgan.discriminator_start_step=30", 30),
    ("tasks.full_generation.sampling.top_k=5", 5),
    ("vqvae.temporal_downsample=1", 1),
    ("vqvae.temporal_downsample=(False,True)", (False, True)),
    ("evaluation.motions_below_baselines=false", False),
    ("evaluation.lpips_weights=a.npz,b.npz", "a.npz,b.npz"),
    ("init_from.inflation=2d->3d", "2d->3d"),
  ],
)
def test_a_value_takes_the_place_of_none(text, expected):
  config = _parse("traj3d", "tiny", text)
  holder, field = _holder(config, text.split("=")[0])
  assert holder[field] == expected
  assert type(holder[field]) is type(expected)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("seed=None", "config.seed=None must be a whole number"),
    ("vqvae.filters=None", "config.vqvae.filters=None must be a whole number"),
    ("oracle_gate=None", "config.oracle_gate=None must be True or False"),
    ("dtype=None", "config.dtype=None is unknown; use one of float32"),
  ],
)
def test_fields_that_need_a_value_say_so(text, message):
  with pytest.raises(UserError) as caught:
    RunConfig.from_dict(_parse("traj3d", "tiny", text).to_dict())
  assert message in str(caught.value)


def test_tasks_of_several_cameras_have_fields_of_their_own():
  config = traj3d_multiview.get_config("tiny")
  config.tasks.frame_prediction.cond_frames = 2
  config.tasks.frame_prediction.sampling.mask_bins = 7
  others = config.tasks.view_frame_prediction
  assert others.cond_frames != 2 and others.sampling.mask_bins != 7
