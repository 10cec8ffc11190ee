"""The overfit check of a run, as the command line calls it."""

import dataclasses
import functools

import pytest
import shrunk

from magvit3d import main
from magvit3d.experiment import Experiment
from magvit3d.run import overfit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
  """Work folder and verdicts after 25 steps of each network."""
  workdir = tmp_path_factory.mktemp("overfit")
  train = functools.partial(overfit.train, max_steps=25)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(overfit, "train", train)
    verdicts = Experiment(shrunk.make_config(), workdir).overfit()
  return workdir, verdicts


def test_both_networks_are_judged_after_their_steps(checked):
  _, verdicts = checked
  assert [verdict.stage for verdict in verdicts] == ["tokenizer", "transformer"]
  assert [verdict.step for verdict in verdicts] == [25, 25]
  # No network learns a batch in 25 steps, nor is one worse than a guess: the
  # error of clips in [0, 1] is at most 1, and 32 codes cost log 32 = 3.5.
  tokenizer, transformer = verdicts
  assert 0 < tokenizer.score < overfit.MIN_PSNR_DB
  assert overfit.MAX_LOSS < transformer.score < 5
  assert not any(verdict.has_learned for verdict in verdicts)


def test_nothing_but_the_data_set_is_saved(checked):
  workdir, _ = checked
  folders = [path.name for path in workdir.iterdir() if path.is_dir()]
  assert folders == ["data"]


def test_exit_status_tells_whether_all_can_learn(checked, capsys):
  _, verdicts = checked
  assert main._report_overfit(verdicts) == 1
  output = capsys.readouterr().out
  assert "tokenizer DID NOT LEARN: PSNR" in output
  assert "transformer DID NOT LEARN: loss" in output
  tokenizer, transformer = verdicts
  good = dataclasses.replace(tokenizer, score=36.0)
  assert main._report_overfit([good, transformer]) == 1
  assert main._report_overfit([good]) == 0
  assert "tokenizer can learn: PSNR 36 dB" in capsys.readouterr().out
