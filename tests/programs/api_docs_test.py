"""The commands and programs of the documents, in order, on small runs."""

import importlib
import re
import shlex

import numpy as np
import pytest
import shrunk

from magvit3d.api import Magvit
from magvit3d.cli import console, jax_setup


def _blocks(document):
  text = (shrunk.ROOT / "docs" / document).read_text()
  return re.findall(r"```(python|sh)\n(.*?)```", text, re.S)


@pytest.mark.usefixtures("failed_reads_collected")
def test_everything_in_api_works(trained_run, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(jax_setup, "set_up", lambda config, workdir: None)
  (tmp_path / "runs").mkdir()
  (tmp_path / "runs" / "traj3d").symlink_to(trained_run)
  names = {}
  blocks = _blocks("api.md")
  for language, text in blocks:
    if "push_to_hub" in text:
      continue  # tests/pretrained/hub_test.py
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
  assert len(blocks) == 8
  magvit = Magvit.from_run(trained_run)
  video = names["video"]
  np.testing.assert_array_equal(names["again"], names["same"])
  np.testing.assert_array_equal(names["future"][:, :4], video[:, :4])
  hole = names["hole"]
  np.testing.assert_array_equal(names["filled"][:, ~hole], video[:, ~hole])
  assert names["clips"][0]["intrinsics"].shape == (3, 3)
  made = names["tokens"]  # Of another program: ties may be decided otherwise.
  assert np.mean(made == magvit.tokenize(video)) > 0.99


@pytest.mark.slow
def test_scenes_are_made_as_multiview_says(scenes_run, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "runs").mkdir()
  (tmp_path / "runs" / "traj3d_multiview").symlink_to(scenes_run)
  names = {}
  blocks = _blocks("multiview.md")
  assert [language for language, _ in blocks] == ["python"] * 2
  for _, text in blocks:
    exec(text, names)
  scenes, hole = names["scenes"], names["hole"]
  np.testing.assert_array_equal(names["views"][:, 0], scenes[:, 0])
  np.testing.assert_array_equal(names["future"][:, :, :4], scenes[:, :, :4])
  np.testing.assert_array_equal(names["more"][:, 0], scenes[:, 0])
  np.testing.assert_array_equal(names["filled"][:, ~hole], scenes[:, ~hole])
  assert names["others"].shape == (2, 5, *scenes.shape[2:])
