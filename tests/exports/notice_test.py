"""`python -m magvit3d.exports.notice` on a small run and a few pairs."""

import json

import pytest

from data_gen.generate import generate
from data_gen.violations import KINDS, ViolationOptions
from magvit3d.api import Magvit
from magvit3d.cli import console, jax_setup
from magvit3d.exports import notice


def _make_pairs(folder, **changes):
  options = dict(
    num_train=0, num_validation=7, num_test=14, image_size=24, num_frames=8,
    size_min=4.0, size_max=6.5, path_scale_min=0.35, path_scale_max=0.6,
    num_colors=2, num_workers=1, preview=0,
  )  # fmt: skip
  generate(
    ViolationOptions(output_dir=str(folder), **options | changes),
    log=lambda line: None,
  )
  return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
  return _make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(jax_setup, "set_up", lambda config, workdir: None)

  def call(workdir, *arguments):
    output = tmp_path / "out"
    status = notice.main([f"--run={workdir}", f"--output={output}", *arguments])
    captured = capsys.readouterr()
    return status, captured.out + captured.err, output

  return call


@pytest.mark.parametrize("kind", ["trained_run", "scenes_run"])
def test_scores_and_page_are_written(run, pairs, kind, request):
  workdir = request.getfixturevalue(kind)
  status, text, output = run(workdir, f"--data={pairs}", "--past_alone")
  assert status == 0, text
  assert "test: 14 pairs" in text and "model's surprise: mean of six" in text
  scores = json.loads((output / "scores.json").read_text())
  shares, places = scores["tables"]
  assert shares["n"] == 14 and places["n"] == 12
  assert scores["run"]["pairs"] == {"validation": 7, "test": 14}
  page = (output / "index.html").read_text()
  for kind in KINDS:
    assert f"<figcaption>{kind}</figcaption>" in page


@pytest.mark.parametrize(
  ("arguments", "text"),
  [
    ([], "--data is missing"),
    (["--num=0"], "--num=0 must be 1 or more"),
    (["--num_draws=0"], "num_draws=0 must be 1 or more"),
  ],
)
def test_wrong_flags_are_told(run, pairs, trained_run, arguments, text):
  data = [f"--data={pairs}"] if arguments else []
  status, output, folder = run(trained_run, *data, *arguments)
  assert status == 1 and text in output and not folder.exists()


def test_data_that_do_not_fit_are_told(run, trained_run, tmp_path):
  status, text, _ = run(trained_run, f"--data={trained_run / 'data'}")
  assert status == 1 and "holds no pairs: make some with" in text
  few = _make_pairs(tmp_path / "few", num_test=3)
  status, text, _ = run(trained_run, f"--data={few}")
  assert status == 1 and "has 3 pairs, too few for the 7 kinds" in text
  large = _make_pairs(tmp_path / "large", image_size=32)
  status, text, _ = run(trained_run, f"--data={large}")
  assert status == 1 and "and the model reads 8 frames of 24" in text


def test_a_tokenizer_alone_has_no_surprise(run, pairs, trained_run, tmp_path):
  magvit = Magvit.from_run(trained_run)
  import dataclasses

  alone = dataclasses.replace(magvit.trained, transformer_params=None)
  Magvit(alone).save_pretrained(tmp_path / "tokenizer")
  status, text, _ = run(tmp_path / "tokenizer", f"--data={pairs}")
  assert status == 1 and "There is only a tokenizer" in text
