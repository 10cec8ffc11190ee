"""The commands and programs of docs/api.md, in order, on a small run."""

import importlib
import re
import shlex

import numpy as np
import pytest
import shrunk

from magvit3d import console, runtime
from magvit3d.api import Magvit

_TEXT = (shrunk.ROOT / "docs" / "api.md").read_text()
_BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", _TEXT, re.S)


@pytest.mark.usefixtures("failed_reads_collected")
def test_everything_in_the_document_works(
  trained_run, tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(runtime, "set_up", lambda config, workdir: None)
  (tmp_path / "runs").mkdir()
  (tmp_path / "runs" / "traj3d").symlink_to(trained_run)
  names = {}
  for language, text in _BLOCKS:
    if language == "python":
      if "clips_uint8" in text:
        names["clips_uint8"] = names["video"]
      exec(text, names)
      names.setdefault("video", names["clips"])
      continue
    for line in text.strip().splitlines():
      _, _, module, *arguments = shlex.split(line)
      status = importlib.import_module(module).main(arguments)
      assert status == 0, capsys.readouterr().err
  assert len(_BLOCKS) == 7
  magvit = Magvit.from_run(trained_run)
  video = names["video"]
  np.testing.assert_array_equal(names["again"], names["same"])
  np.testing.assert_array_equal(names["future"][:, :4], video[:, :4])
  hole = names["hole"]
  np.testing.assert_array_equal(names["filled"][:, ~hole], video[:, ~hole])
  assert names["clips"][0]["intrinsics"].shape == (3, 3)
  made = names["tokens"]  # Of another program: ties may be decided otherwise.
  assert np.mean(made == magvit.tokenize(video)) > 0.99
