"""Exported tokenizers, loaded back."""

import dataclasses
import json

import jax
import jax.export
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from magvit3d import export
from magvit3d.api import Magvit
from magvit3d.cli import console, jax_setup
from magvit3d.errors import UserError
from magvit3d.exports import stable_hlo


@pytest.fixture(scope="module")
def magvit(trained_run):
  trained = Magvit.from_run(trained_run).trained
  params = flatten_dict(trained.tokenizer_params, sep="/")
  params["decoder/Conv_1/kernel"] *= 1000  # After few steps all is dark.
  params = unflatten_dict(params, sep="/")
  trained = dataclasses.replace(trained, tokenizer_params=params)
  return Magvit(trained, batch_size=3)


@pytest.fixture(scope="module")
def clips(magvit):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (3, *magvit.clip_shape)).astype(np.uint8)


def _load(folder, name):
  data = (folder / f"{name}.jax_export").read_bytes()
  return jax.export.deserialize(bytearray(data))


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_exports_compute_what_the_networks_do(magvit, clips, pixels, tmp_path):
  """For one clip and for three; other programs may decide ties otherwise."""
  folder = tmp_path / "out"
  stable_hlo.export_tokenizer(magvit, folder, pixels=pixels)
  tokenize, detokenize = (
    _load(folder, "tokenizer"),
    _load(folder, "detokenizer"),
  )
  assert tokenize.platforms == ("cpu", "cuda", "tpu")
  given = clips if pixels == "uint8" else clips / np.float32(255)
  expected = magvit.tokenize(given)
  video = magvit.detokenize(expected, dtype=pixels)
  for count in (1, 3):
    tokens = np.asarray(tokenize.call(given[:count]))
    assert tokens.dtype == np.int32
    assert np.mean(tokens == expected[:count]) > 0.99
    made = np.asarray(detokenize.call(expected[:count]))
    assert made.dtype == pixels and made.shape == given[:count].shape
    step = 1 if pixels == "uint8" else 1e-4  # A value may round up or down.
    np.testing.assert_allclose(
      made.astype(float), video[:count].astype(float), atol=step
    )
  assert np.ptp(video) > (128 if pixels == "uint8" else 0.5)


def test_only_the_number_of_clips_is_open(magvit, clips, tmp_path):
  folder = tmp_path / "out"
  stable_hlo.export_tokenizer(magvit, folder, platforms=("cpu",))
  with pytest.raises(ValueError, match=r"shape"):
    _load(folder, "tokenizer").call(clips[:, :4])
  signatures = json.loads((folder / "signatures.json").read_text())
  (taken,) = signatures["tokenizer"]["takes"]
  assert taken == {"shape": ["b", 8, 24, 24, 3], "dtype": "uint8"}
  assert signatures["tokenizer"]["platforms"] == ["cpu"]
  (returned,) = signatures["detokenizer"]["returns"]
  assert returned == taken


def test_exports_for_several_platforms_have_xlas_convolutions(magvit, tmp_path):
  """Those of 2D convolutions are for CPUs alone."""
  for platforms, has_2d in ((("cpu",), True), (("cpu", "cuda"), False)):
    folder = tmp_path / "-".join(platforms)
    stable_hlo.export_tokenizer(magvit, folder, platforms=platforms)
    text = _load(folder, "tokenizer").mlir_module()
    assert ("[b, 0, 1, f]" in text) == has_2d
    assert "[b, 0, 1, 2, f]" in text


def test_mistakes_are_told_and_leave_nothing(magvit, tmp_path):
  folder = tmp_path / "out"
  with pytest.raises(UserError, match=r"int8.*'uint8'"):
    stable_hlo.export_tokenizer(magvit, folder, pixels="int8")
  with pytest.raises(UserError, match=r"gpu is unknown; use .*cuda"):
    stable_hlo.export_tokenizer(magvit, folder, platforms=("cpu", "gpu"))
  assert not list(tmp_path.iterdir())


def test_command_writes_into_a_new_folder(
  trained_run, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(jax_setup, "set_up", lambda config, workdir: None)
  output = tmp_path / "out"
  arguments = [f"--run={trained_run}", f"--output={output}", "--platforms=cpu"]
  assert export.main(arguments) == 0
  assert f"Written to {output}" in capsys.readouterr().out
  assert "(b, 8, 24, 24, 3) in [0, 255]" in (output / "README.md").read_text()
  before = sorted(output.iterdir())
  assert export.main(arguments) == 1
  assert "exists already" in capsys.readouterr().err
  assert sorted(output.iterdir()) == before
