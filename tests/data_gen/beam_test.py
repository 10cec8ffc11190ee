"""Apache Beam's local runner writes the same bytes as `generate`.

The package needs an older protobuf than the others, so that .ci/run has an
environment of its own for this file.
"""

import subprocess
import sys

import pytest
from small_data_sets import ROOT, hash_files, make_options, start

from data_gen import manifest, schema
from data_gen.generate import generate
from data_gen.records import shards

BEAM = (sys.executable, "-m", "data_gen.beam")


def _run(options, *arguments):
  process = start(options, *BEAM, *arguments)
  output, errors = process.communicate(timeout=120)
  return process.returncode, output, errors


def test_beam_is_asked_for_where_it_is_missing(tmp_path):
  program = (
    "import sys, runpy\n"
    "sys.modules['apache_beam'] = None\n"
    f"sys.argv = ['data_gen.beam', '--output_dir={tmp_path}']\n"
    "runpy.run_module('data_gen.beam', run_name='__main__')"
  )
  found = subprocess.run(
    [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
  )
  assert found.returncode == 1
  assert "pip install -e '.[beam]'" in found.stderr
  assert "Traceback" not in found.stderr
  assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  pytest.importorskip("apache_beam")
  folder = tmp_path_factory.mktemp("data")
  generate(make_options(folder), log=lambda line: None)
  return folder


@pytest.mark.parametrize(
  "arguments",
  [
    ["--runner=DirectRunner"],
    ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
  ],
)
def test_local_runner_writes_the_same_bytes(made, tmp_path, arguments):
  returncode, output, errors = _run(make_options(tmp_path), *arguments)
  assert returncode == 0, errors
  assert "Writing 31 scenes in 6 shards" in output
  assert hash_files(tmp_path) == hash_files(made)


def test_pipeline_makes_what_is_missing(made, tmp_path):
  options = make_options(tmp_path)
  generate(options, log=lambda line: None)
  shard = tmp_path / options.shard_name("train", 2)
  shard.unlink()
  shards.index_path(shard).unlink()
  (tmp_path / schema.MANIFEST_NAME).rename(tmp_path / manifest.PARTIAL_NAME)
  returncode, output, errors = _run(options)
  assert returncode == 0, errors
  assert "Writing 6 scenes in 1 shards" in output
  assert hash_files(tmp_path) == hash_files(made)


def test_flag_of_nobody_is_refused(made, tmp_path):
  returncode, _, errors = _run(make_options(tmp_path), "--rnner=DirectRunner")
  assert returncode == 1
  assert "--rnner=DirectRunner: neither data_gen nor Apache Beam" in errors
  assert "Traceback" not in errors
  assert not list(tmp_path.iterdir())


def test_failed_pipeline_keeps_finished_shards(made, tmp_path):
  """A folder in the place of a shard stops the pipeline."""
  options = make_options(tmp_path)
  blocked = tmp_path / options.shard_name("train", 3)
  blocked.mkdir()
  returncode, _, errors = _run(options)
  assert returncode == 1
  assert "The pipeline failed" in errors and blocked.name in errors
  assert not list(tmp_path.glob("*.tmp"))
  assert not (tmp_path / schema.MANIFEST_NAME).exists()
  blocked.rmdir()
  returncode, _, errors = _run(options)
  assert returncode == 0, errors
  assert hash_files(tmp_path) == hash_files(made)
