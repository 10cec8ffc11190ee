"""Tests of benchmarks/gpu/packing.py."""

import shutil
import tarfile

from benchmarks.gpu import packing
from magvit3d.api import Magvit


def test_a_run_comes_back_in_pieces(trained_run, tmp_path, monkeypatch):
  monkeypatch.setattr(packing, "_PIECE_BYTES", 50_000)
  run = tmp_path / "run"
  shutil.copytree(trained_run, run)
  output = tmp_path / "output"
  output.mkdir()
  result = packing.pack(run, output)
  assert result["networks_missing"] is None
  pieces = sorted(output.glob("run.tar.*"))
  assert len(pieces) == len(result["pieces"]) > 1
  assert max(path.stat().st_size for path in pieces) <= 50_000
  whole = tmp_path / "whole.tar"
  whole.write_bytes(b"".join(path.read_bytes() for path in pieces))
  with tarfile.open(whole) as tar:
    tar.extractall(tmp_path / "unpacked", filter="data")
  loaded = Magvit.from_pretrained(tmp_path / "unpacked" / "run" / "networks")
  assert loaded.codebook_size == 32


def test_a_run_without_networks_is_packed_too(tmp_path):
  run = tmp_path / "run"
  run.mkdir()
  (run / "PROGRESS.txt").write_text("failed")
  result = packing.pack(run, tmp_path)
  assert result["networks_missing"]
  assert (tmp_path / "run.tar.00").exists()


def test_curves_are_thinned(trained_run):
  curves = packing.curves(trained_run)
  steps = [step for step, _ in curves["transformer/train/loss"]]
  assert steps == sorted(steps)
  assert steps[-1] == 6
