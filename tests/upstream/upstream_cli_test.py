"""`python -m magvit3d.upstream`: what it prints, writes, and refuses to."""

import hashlib
import importlib
import json
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import shrunk
import upstream_samples as samples

from configs import maskgit_imagenet256_tokenizer
from magvit3d import upstream
from magvit3d.errors import UserError
from magvit3d.upstream import conversion, layouts, networks

_CONFIG = f"--config={samples.__file__}"


def _run(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "magvit3d.upstream", *map(str, arguments)],
    cwd=shrunk.ROOT,
    env=shrunk.make_environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.fixture
def source(tmp_path):
  """A folder with a tokenizer's checkpoint_1234."""
  state = samples.tokenizer_states()["tokenizer"]
  folder = tmp_path / "source"
  samples.write_file(folder / f"checkpoint_{samples.STEP}", state)
  return folder


def _assert_refused(found, output, *texts):
  assert found.returncode == 1
  assert "Traceback" not in found.stderr
  for text in texts:
    assert text in found.stderr
  assert not output.exists()
  left = [path.name for path in output.parent.iterdir()]
  assert not [name for name in left if name.startswith(".")]


def test_command_converts_and_says_what_became_of_each_leaf(source, tmp_path):
  output = tmp_path / "out"
  found = _run(f"--checkpoint={source}", _CONFIG, f"--output={output}")
  assert found.returncode == 0, found.stderr
  file = source / f"checkpoint_{samples.STEP}"
  digest = hashlib.sha256(file.read_bytes()).hexdigest()
  trees = samples.make_params("tokenizer")
  num_leaves = len(jax.tree.leaves(trees))
  for text in (
    f"File     {file}",
    f"SHA-256  {digest}",
    f"Step     {samples.STEP}",
    "loaded     d_params/Conv_0/bias (2,)",
    "loaded     ema_params/quantizer/codebook (16, 6)",
    f"Leaves: {num_leaves} loaded, 0 inflated, 0 missing",
    "Not converted: optimizer state",
  ):
    assert text in found.stdout
  assert found.stdout.count("\nloaded ") == num_leaves

  note = json.loads((output / "upstream.json").read_text())
  assert note["sha256"] == digest
  assert (note["kind"], note["step"]) == ("tokenizer", samples.STEP)
  assert note["counts"]["loaded"] == num_leaves
  assert note["config"]["vqvae"]["filters"] == 4
  with ocp.StandardCheckpointer() as reader:
    written = reader.restore((output / "params").absolute())
  assert written.pop("step") == samples.STEP
  samples.assert_same_tree(jax.tree.map(np.asarray, written), trees)


def test_command_converts_a_transformer(tmp_path):
  state = samples.transformer_states()["older transformer"]
  source = samples.write_file(tmp_path / "checkpoint_3", state)
  output = tmp_path / "out"
  found = _run(
    f"--checkpoint={source}",
    _CONFIG,
    f"--output={output}",
    "--kind=transformer",
  )
  assert found.returncode == 0, found.stderr
  loaded = upstream.load(str(output))
  assert loaded.kind == "transformer"
  expected = samples.make_params("transformer")
  samples.assert_same_tree(dict(loaded.trees), expected)


def test_mismatch_is_printed_and_nothing_is_written(tmp_path):
  state = samples.tokenizer_states()["tokenizer"]
  del state["ema_params"]["decoder"]["Conv_0"]
  path = samples.write_file(tmp_path / "in" / "checkpoint_1", state)
  output = tmp_path / "out"
  arguments = f"--checkpoint={path}", _CONFIG, f"--output={output}"
  found = _run(*arguments)
  _assert_refused(
    found,
    output,
    "2 missing in it (ema_params/decoder/Conv_0/bias",
    "Nothing was written",
  )
  assert "missing    ema_params/decoder/Conv_0/kernel" in found.stdout

  found = _run(*arguments, "--allow=missing:decoder/Conv_0/*")
  assert found.returncode == 0, found.stderr
  text = "missing    ema_params/decoder/Conv_0/bias (8,): keeps a fresh"
  assert text in found.stdout
  note = json.loads((output / "upstream.json").read_text())
  names = [f"ema_params/decoder/Conv_0/{leaf}" for leaf in ("bias", "kernel")]
  assert note["fresh"] == names


def test_wrong_kind_is_refused(source, tmp_path):
  output = tmp_path / "out"
  found = _run(
    f"--checkpoint={source}",
    _CONFIG,
    f"--output={output}",
    "--kind=transformer",
  )
  text = f"--kind=transformer, but {source}/checkpoint_1234 holds a tokenizer"
  _assert_refused(found, output, text)


def test_random_file_is_refused(tmp_path):
  path = tmp_path / "checkpoint_1"
  path.write_bytes(np.random.default_rng(0).bytes(1000))
  output = tmp_path / "out"
  found = _run(f"--checkpoint={path}", _CONFIG, f"--output={output}")
  _assert_refused(found, output, str(path), "holds no Flax state dict")


@pytest.mark.variants
@pytest.mark.parametrize(
  ("arguments", "status", "text"),
  [
    ([], 1, "--checkpoint is missing"),
    (["--checkpoint=x", "--output=y"], 1, "--config is missing"),
    (["more"], 1, "'more' is no flag"),
    (["--inflation=3d"], 2, "--inflation=3d: value should be one of"),
    (["--kind=3d"], 2, "--kind=3d: value should be one of"),
    (["--checkpont=x"], 2, "checkpont"),
    ([_CONFIG, "--config.vqvae.filter=3"], 2, "Did you mean"),
    (
      ["--checkpoint=x", "--output=y", "--config=absent.py"],
      1,
      "--config cannot be loaded",
    ),
    (["--checkpoint=absent", "--output=absent2", _CONFIG], 1, "does not exist"),
  ],
)
def test_wrong_flag_is_told_in_one_sentence(arguments, status, text):
  found = _run(*arguments)
  assert (found.returncode, "Traceback" in found.stderr) == (status, False)
  assert text in found.stderr


def test_folder_in_use_is_left_alone(source, tmp_path):
  output = tmp_path / "out"
  output.mkdir()
  (output / "notes.txt").write_text("mine")
  found = _run(f"--checkpoint={source}", _CONFIG, f"--output={output}")
  assert found.returncode == 1
  assert f"--output={output} exists already" in found.stderr
  assert [path.name for path in output.iterdir()] == ["notes.txt"]


def _convert(path, config, output, **options):
  loaded = upstream.load(str(path))
  trees, report = conversion.convert(loaded, config, **options)
  note = conversion.describe(loaded, config, report, None, "")
  conversion.write(output, trees, note)
  return trees, report


def test_failure_half_way_leaves_nothing(source, tmp_path):
  trees = samples.make_params("transformer")
  note = {"step": 1, "kind": object()}  # Not JSON.
  with pytest.raises(TypeError):
    conversion.write(tmp_path / "out", trees, note)
  assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_empty_folder_is_filled(source, tmp_path):
  output = tmp_path / "out"
  output.mkdir()
  _convert(source, samples.make_config(), output)
  assert {path.name for path in output.iterdir()} == {"params", "upstream.json"}


def test_output_below_a_file_is_refused(source, tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written"):
    _convert(source, samples.make_config(), tmp_path / "file" / "out")


def test_config_without_a_section_is_told(source, tmp_path):
  config = samples.make_config()
  del config["vqvae"]["codebook_size"]
  with pytest.raises(UserError, match=r"config.vqvae.codebook_size is missing"):
    conversion.convert(upstream.load(str(source)), config)


def test_allowed_missing_leaves_are_drawn_as_the_network_does(tmp_path):
  state = samples.tokenizer_states()["tokenizer's variables"]
  del state["params"]["quantizer"]
  state["params"]["quantizer"] = {}
  path = samples.write_file(tmp_path / "checkpoint_1", state)
  config = samples.make_config()
  trees, report = conversion.convert(
    upstream.load(str(path)), config, allow="missing:quantizer/*"
  )

  @jax.jit
  def draw():
    params = networks.fresh_params(config, "tokenizer")["ema_params"]
    return params["quantizer"]["codebook"]

  np.testing.assert_allclose(
    trees["ema_params"]["quantizer"]["codebook"], draw(), rtol=1e-6
  )
  assert report.kept() == ["ema_params/quantizer/codebook"]


def _shrunk_maskgit():
  """The names of MaskGIT's tokenizer, with few filters."""
  config = maskgit_imagenet256_tokenizer.get_config()
  config.vqvae.filters = 4
  config.vqvae.num_groups = 2
  config.vqvae.codebook_size = 8
  config.vqvae.embedding_dim = 4
  config.image_size = 32
  return config.to_dict()


def test_maskgit_file_is_converted_and_inflated(tmp_path):
  """Names by hand, from the paper's network: 2D, four halvings."""
  config = _shrunk_maskgit()
  shapes = jax.eval_shape(lambda: networks.fresh_params(config, "tokenizer"))
  assert set(shapes) == {"g_params", "ema_params"}
  shapes = shapes["ema_params"]
  # 5 levels and the end (start) of two blocks each.
  for part in ("encoder", "decoder"):
    blocks = [key for key in shapes[part] if key.startswith("ResBlock_")]
    assert len(blocks) == 12
  assert shapes["encoder"]["Conv_0"]["kernel"].shape == (3, 3, 3, 4)
  assert shapes["decoder"]["Conv_4"]["kernel"].shape == (3, 3, 4, 4)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes
  )
  path = samples.write_file(tmp_path / "maskgit", {"params": params})
  trees, _ = _convert(path, config, tmp_path / "out")
  samples.assert_same_tree(trees, {"ema_params": params})

  deep = config | {"num_frames": 16, "vqvae": dict(config["vqvae"])}
  deep["vqvae"] |= {
    "architecture": "3dcnn",
    "temporal_downsample": (True, True, False, False),
  }
  trees, report = _convert(
    tmp_path / "out", deep, tmp_path / "deep", inflation="2d->3d"
  )
  kernel = np.array(
    trees["ema_params"]["encoder"]["ResBlock_0"]["Conv_0"]["kernel"]
  )
  np.testing.assert_array_equal(
    kernel[1], params["encoder"]["ResBlock_0"]["Conv_0"]["kernel"]
  )
  assert not kernel[[0, 2]].any()
  num_kernels = sum(leaf.ndim == 4 for leaf in jax.tree.leaves(params))
  assert report.counts()["inflated"] == num_kernels


_UPSTREAM_CONFIGS = {
  "vqgan2d_ucf101_config": "tokenizer",
  "vqgan3d_bair_config": "tokenizer",
  "maskgvt_bair_multitask_config": "transformer",
  "lmgvt_ucf101_config": "transformer",
}


@pytest.mark.parametrize("name", _UPSTREAM_CONFIGS)
def test_file_of_an_upstream_config_fits_it(name):
  """As shapes alone: values would take long to draw."""
  kind = _UPSTREAM_CONFIGS[name]
  module = importlib.import_module(f"configs.{name}")
  config = module.get_config("B").to_dict()
  shapes = jax.eval_shape(lambda: networks.fresh_params(config, kind))
  found = layouts.find(shapes, name)
  assert found.kind == kind
  assert set(found.trees) == set(shapes)


def test_maskgit_config_has_the_published_sizes():
  config = maskgit_imagenet256_tokenizer.get_config().to_dict()
  shapes = jax.eval_shape(lambda: networks.fresh_params(config, "tokenizer"))
  params = shapes["ema_params"]
  assert params["quantizer"]["codebook"].shape == (1024, 256)
  last = params["encoder"]["ResBlock_11"]["Conv_0"]["kernel"]
  assert last.shape == (3, 3, 512, 512)
