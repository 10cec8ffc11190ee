"""`python -m magvit3d.generate`, called in the tests' own process."""

import numpy as np

from magvit3d import console, generate, runtime


def make(default_run, tmp_path, monkeypatch, capsys):
  """Returns `(*arguments, run=...) -> status, output, arrays, folder`."""
  monkeypatch.setattr(console, "set_up", lambda: None)
  monkeypatch.setattr(runtime, "set_up", lambda config, workdir: None)

  def call(*arguments, run=default_run):
    folder = tmp_path / "out"
    status = generate.main([f"--run={run}", f"--output={folder}", *arguments])
    captured = capsys.readouterr()
    arrays = None
    if (folder / "clips.npz").exists():
      with np.load(folder / "clips.npz") as file:
        arrays = dict(file)
    return status, captured.out + captured.err, arrays, folder

  return call
