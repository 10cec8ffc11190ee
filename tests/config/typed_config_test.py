"""A wrong field of a config is told when it is read, and costs milliseconds."""

import ast
import dataclasses
import importlib
import pathlib
import pkgutil

import pytest
import shrunk

import configs
import magvit3d
from magvit3d.config.run import STUDIES, RunConfig, Sections
from magvit3d.config.upstream import is_upstream
from magvit3d.errors import UserError

pytestmark = pytest.mark.smoke
# Sections of MAGVIT's configs alone.
_UPSTREAMS = {"videos", "tokenizer", "lmgvt", "eval_only"}


@pytest.mark.parametrize(
  ("fields", "named"),
  [
    ({"maskgvt__draw": "row"}, "maskgvt.draw='row'"),
    (
      {"train_transformer__optimizer__name": "sgd"},
      "optimizer.name='sgd' is unknown",
    ),
    (
      {"tasks__frame_prediction__sampling__order": "time"},
      "order='time' is unknown",
    ),
    ({"stages": "data,tokeniser"}, "tokeniser"),
    ({"stages": ""}, "config.stages"),
    ({"input__sample": "pair"}, "config.input.sample='pair'"),
    ({"input__num_views": 2}, "config.input.num_views=2"),
    ({"num_reading_threads": -1}, "config.num_reading_threads=-1"),
    ({"num_reading_workers": -1}, "config.num_reading_workers=-1"),
    ({"data__num_frames": 0}, "config.data.num_frames=0"),
    ({"dtype": "float23"}, "config.dtype='float23'"),
    ({"data__file_format": "npz"}, "config.data.file_format='npz' is unknown"),
    ({"evaluation__split": "tset"}, "config.evaluation.split='tset'"),
    (
      {"evaluation__num_feature_scenes": 0},
      "config.evaluation.num_feature_scenes=0 must be 1 or more",
    ),
    (
      {"evaluation__num_probe_scenes": -1},
      "config.evaluation.num_probe_scenes=-1",
    ),
    (
      {"evaluation__num_samples_per_class": 0},
      "config.evaluation.num_samples_per_class=0",
    ),
    (
      {"evaluation__num_shown_samples_per_class": 0},
      "config.evaluation.num_shown_samples_per_class=0",
    ),
    ({"evaluation__num_clips": 0}, "config.evaluation.num_clips=0"),
    (
      {"evaluation__split": "ood_pair"},
      "config.evaluation.split='ood_pair', but config.data.num_ood_pair=0",
    ),
    (
      {"evaluation__token_budgets": (0.5, 64.0)},
      "config.evaluation.token_budgets=(0.5, 64.0)",
    ),
    (
      {"train_transformer__log_every_steps": 0},
      "config.train_transformer.log_every_steps=0",
    ),
    (
      {"train_transformer__learning_rate": float("nan")},
      "config.train_transformer.learning_rate=nan must be 0 or more",
    ),
    (
      {"train_tokenizer__d_lr": -1e-4},
      "config.train_tokenizer.d_lr=-0.0001 must be 0 or more",
    ),
    (
      {"train_tokenizer__warmup_steps": -1},
      "config.train_tokenizer.warmup_steps=-1 must be 0 or more",
    ),
    (
      {"train_tokenizer__num_epochs": float("inf")},
      "config.train_tokenizer.num_epochs=inf must be above 0",
    ),
    (
      {"train_transformer__optimizer__beta2": 1.0},
      "config.train_transformer.optimizer.beta2=1.0 must be at least 0 and bel",
    ),
    (
      {"train_transformer__optimizer__weight_decay": -0.1},
      "config.train_transformer.optimizer.weight_decay=-0.1 must be 0 or more",
    ),
    (
      {"train_transformer__optimizer__max_grad_norm": 0.0},
      "config.train_transformer.optimizer.max_grad_norm=0.0 must be above 0",
    ),
    (
      {"maskgvt__sampling__mask_bins": 0},
      "config.maskgvt.sampling.mask_bins=0 must be 1 or more",
    ),
    (
      {"maskgvt__sampling__top_k": 33},
      "config.maskgvt.sampling.top_k=33 must be from 1 to the 32 codes",
    ),
    (
      {"maskgvt__sampling__temperature": float("nan")},
      "config.maskgvt.sampling.temperature=nan must be 0 or more",
    ),
    (
      {"tasks__full_generation__sampling__top_p": 1.5},
      "config.tasks.full_generation.sampling.top_p=1.5 must be above 0",
    ),
    (
      {
        "maskgvt__sampling__top_k": 8,
        "tasks__full_generation__sampling__top_p": 0.9,
      },
      "config.tasks.full_generation.sampling.top_k=8 must be None beside top_p",
    ),
    (
      {"tasks__full_generation__sampling__guidance": float("inf")},
      "config.tasks.full_generation.sampling.guidance=inf must be a number",
    ),
    (
      {"vqgan__codebook_init_clips": -1},
      "config.vqgan.codebook_init_clips=-1 must be 0 or more",
    ),
    (
      {"vqgan__dead_code_reset_steps": 0},
      "config.vqgan.dead_code_reset_steps=0 must be 1 or more",
    ),
    (
      {"vqgan__polyak_decay": float("nan")},
      "config.vqgan.polyak_decay=nan must be from 0 to 1",
    ),
    ({"transformer__num_views": 0}, "config.transformer.num_views=0 must be 1"),
    (
      {"transformer__num_segments": -1},
      "config.transformer.num_segments=-1 must be 0 or more",
    ),
    ({"vqvae__architecture": "4dcnn"}, "4dcnn"),
    ({"transformer__num_heads": 5}, "5"),
    ({"vqvae__filters": 0}, "config.vqvae.filters=0 must be 1 or more"),
    ({"vqvae__codebook_size": -8}, "config.vqvae.codebook_size=-8 must be"),
    ({"discriminator__filters": 0}, "config.discriminator.filters=0 must be"),
    (
      {"vqvae__channel_multipliers": (1, 0)},
      "config.vqvae.channel_multipliers=(1, 0) must be 1 or more",
    ),
    ({"transformer__dropout_rate": 1.0}, "dropout_rate=1.0 must be at least 0"),
    ({"transformer__num_layers": 0}, "config.transformer.num_layers=0 must"),
    ({"vqgan__gradient_penalty": "r2"}, "r2"),
    ({"vqvae__filter": 8}, "config.vqvae.filter is unknown; did you mean fil"),
    ({"seed": -1}, "config.seed=-1 (rng_seed in MAGVIT's configs) must"),
    ({"maskgvt__mask_schedule": "powx"}, "maskgvt.mask_schedule='powx' is"),
    ({"sead": 1}, "config.sead is unknown; did you mean seed?"),
    (
      {"tasks__frame_prediction__sampling__steps": 2},
      "config.tasks.frame_prediction.sampling.steps is unknown",
    ),
    ({"seed": 1.5}, "config.seed=1.5 must be a whole number"),
    ({"seed": None}, "config.seed=None must be a whole number"),
    ({"oracle_gate_db": "3"}, "config.oracle_gate_db='3' must be a number"),
    ({"oracle_gate": 1}, "config.oracle_gate=1 must be True or False"),
    (
      {"train_tokenizer__crop__size": "all"},
      "config.train_tokenizer.crop.size='all' must be a whole number or None",
    ),
    ({"vqvae__channel_multipliers": 2}, "config.vqvae.channel_multipliers=2"),
    ({"mesh": 8}, "config.mesh=8 must be a section with fields"),
    (
      {"tasks__frame_prediction__frames": 8},
      "config.tasks.frame_prediction.frames is unknown; did you mean cond_fra",
    ),
    (
      {"transformer__attention_implementation": "fast"},
      "attention_implementation='fast' is unknown; use one of xla, cudnn",
    ),
    (
      {"transformer__camera_embedding": "ray"},
      "config.transformer.camera_embedding='ray' is unknown; use one of view",
    ),
  ],
)
def test_a_wrong_field_is_named(fields, named):
  config = shrunk.make_config()
  for path, value in fields.items():
    *sections, field = path.split("__")
    section = config
    for name in sections:
      section = section[name]
    section[field] = value
  with pytest.raises(UserError) as caught:
    RunConfig.from_dict(config)
  assert named in str(caught.value)


def test_a_missing_field_is_named():
  config = shrunk.make_config()
  del config["vqvae"]["filters"]
  with pytest.raises(UserError, match=r"config\.vqvae\.filters is missing"):
    RunConfig.from_dict(config)


def _files():
  for module in pkgutil.iter_modules(configs.__path__):
    file = importlib.import_module(f"configs.{module.name}")
    for variant in getattr(
      file, "VARIANTS", ("B", "L", "B-eval", "L-runlocal")
    ):
      if not module.name.endswith(("_base", "_imagenet256_tokenizer")):
        yield module.name, variant


@pytest.mark.parametrize(
  ("name", "variant"),
  [f for f in _files() if f[0] != "maskgvt_bair_multitask_config"]
  + [("maskgvt_bair_multitask_config", "B")],
)
def test_every_config_is_read_and_keeps_what_it_says(name, variant):
  file = importlib.import_module(f"configs.{name}")
  document = file.get_config(variant).to_dict()
  config = RunConfig.from_dict(document)
  assert config.document == document
  if not is_upstream(document):
    found = dataclasses.asdict(config)
    for section, value in document.items():
      if section != "tasks":  # Of these a file writes what its tasks have.
        _assert_same(found[section], value, section)


def _assert_same(found, written, where):
  """All that was written is there, and all that may be is written."""
  if not isinstance(written, dict):
    assert found == written, where
    return
  rest = set(found) - set(written)
  assert rest <= {"output_dir", "deconv_upsample", "latent_shape"}, where
  for field, value in written.items():
    _assert_same(found[field], value, f"{where}.{field}")


def test_the_main_config_writes_every_section():
  file = importlib.import_module("configs.traj3d")
  fields = {field.name for field in dataclasses.fields(Sections)}
  of_studies = {
    "pretrained",
    "digits",
    *STUDIES,
    *(f"train_{name}" for name in STUDIES),
  }
  rest = fields - _UPSTREAMS - of_studies
  assert rest == set(file.get_config("B").to_dict())


_ROOT = pathlib.Path(magvit3d.__file__).parent
_MAPPINGS = {"Mapping[str, Any]", "dict[str, Any]", "Mapping[str, Any] | None"}
_CONFIGS = {"config", "settings", "vqvae", "optimizer", "init_from", "crop"}


def _readers():
  """Modules that take a config, but for those that translate or show it."""
  for path in sorted(_ROOT.rglob("*.py")):
    if path.relative_to(_ROOT).parts[0] not in ("config", "upstream", "report"):
      yield path


def test_no_reader_takes_a_config_as_a_mapping():
  wrong = []
  for path in _readers():
    for node in ast.walk(ast.parse(path.read_text())):
      is_config = getattr(node, "arg", None) in _CONFIGS
      if isinstance(node, ast.arg) and is_config and node.annotation:
        if ast.unparse(node.annotation) in _MAPPINGS:
          wrong.append(f"{path.relative_to(_ROOT)}:{node.lineno}")
      is_get = isinstance(node, ast.Attribute) and node.attr == "get"
      if is_get and ast.unparse(node.value).split(".")[-1] in _CONFIGS:
        wrong.append(f"{path.relative_to(_ROOT)}:{node.lineno}")
  assert not wrong


@pytest.mark.parametrize(
  ("field", "value"),
  [("num_train", -1), ("num_workers", -1), ("size_min", -1.0), ("spin", 1e9)],
)
def test_a_range_of_the_data_is_told_by_the_configs_field(field, value):
  """Not by the flag of `python -m data_gen`, which nobody typed."""
  config = shrunk.make_config()
  config["data"][field] = value
  data = RunConfig.from_dict(config).data
  with pytest.raises(ValueError, match=f"config.data.{field}={value}") as error:
    data.options("folder")
  assert "--" not in str(error.value)
