"""Disks that are too small, or fill up in the middle."""

import collections
import errno
import pathlib
import shutil
import subprocess
import sys

import pytest
from small_data_sets import ROOT, hash_files, make_flags, make_options

from data_gen import disk, manifest, verify
from data_gen.generate import generate
from data_gen.records import shards

FORMATS = ["tfrecord", "array_record", "npz"]
MANY = {"num_train": 30, "num_validation": 40, "scenes_per_shard": 40}
# The program, but for the check before it starts.
UNCHECKED = """
import runpy, sys
from data_gen import disk
disk.check_fits = lambda estimate, missing: None
sys.argv[0] = "data_gen"
runpy.run_module("data_gen", run_name="__main__")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Folders by file format."""
  folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
  for name, folder in folders.items():
    options = make_options(folder, file_format=name, **MANY)
    generate(options, log=lambda line: None)
  return folders


def _set_free(monkeypatch, num_bytes):
  usage = collections.namedtuple("usage", "total used free")
  monkeypatch.setattr(
    disk.shutil, "disk_usage", lambda path: usage(0, 0, num_bytes)
  )


def test_small_disk_is_refused_with_both_figures(tmp_path, monkeypatch):
  _set_free(monkeypatch, 20_000)
  with pytest.raises(OSError, match=r"has 0\.020 MB free.* need 0\.\d+ MB"):
    generate(make_options(tmp_path), log=lambda line: None)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file_format", FORMATS)
def test_estimate_is_close_to_what_is_written(
  made, tmp_path, monkeypatch, file_format
):
  """A disk with 1.25 times the bytes suffices, one with 0.95 does not."""
  written = sum(p.stat().st_size for p in made[file_format].iterdir())
  options = make_options(tmp_path, file_format=file_format, **MANY)
  _set_free(monkeypatch, int(0.95 * written))
  with pytest.raises(OSError, match="MB free"):
    generate(options, log=lambda line: None)
  _set_free(monkeypatch, int(1.25 * written))
  generate(options, log=lambda line: None)


def test_every_split_is_measured_on_its_own_scenes(tmp_path, monkeypatch):
  sizes = {"train": 10.0, "ood_speed": 1000.0}
  measured = []

  def measure(options, split, indices):
    measured.append((split, list(indices)))
    return sizes[split]

  monkeypatch.setattr(disk, "measure_scene_bytes", measure)
  options = make_options(
    tmp_path, num_train=40, num_ood_speed=30, preview=0, scenes_per_shard=20
  )
  missing = [("train", 1), ("ood_speed", 0), ("ood_speed", 1)]
  estimate = disk.estimate_bytes(options, missing)
  beside = estimate.bytes_needed([])
  assert estimate.bytes_needed(missing) - beside == 20 * 10 + 30 * 1000
  assert dict(measured)["train"][0] == 20 and dict(measured)["train"][-1] == 39
  assert [split for split, _ in measured] == ["train", "ood_speed"]


def _check_stopped(folder, options, errors):
  """Checks the message, and what is left where a disk filled up."""
  assert "Traceback" not in errors, errors
  assert "run the same command again: it continues" in errors
  names = {path.name for path in folder.iterdir()}
  assert not [name for name in names if name.endswith(".tmp")]
  finished = [
    (split, shard)
    for split in options.splits
    for shard in range(options.num_shards(split))
    if options.shard_name(split, shard) in names
  ]
  num_scenes = sum(len(options.shard_scenes(*shard)) for shard in finished)
  assert f"{len(finished)} of 2 shards, {num_scenes} of 70 scenes" in errors
  for split, shard in finished:
    path = folder / options.shard_name(split, shard)
    described = {
      "bytes": path.stat().st_size,
      "num_scenes": len(options.shard_scenes(split, shard)),
      "sha256": shards.sha256(path),
    }
    verify.verify_shard(path, described, options.file_format)


# Not `preexec_fn`, which forks: JAX, once imported, warns of that.
_LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.executable, [sys.executable, "-m", "data_gen", *sys.argv[2:]])
"""


@pytest.mark.variants
@pytest.mark.parametrize(
  ("num_workers", "file_format"),
  [(1, "tfrecord"), (2, "array_record"), (1, "npz")],
)
def test_shard_that_does_not_fit_leaves_the_others(
  made, tmp_path, num_workers, file_format
):
  """The limit of a file's size stands for the disk's."""
  options = make_options(
    tmp_path, num_workers=num_workers, file_format=file_format, **MANY
  )
  paths = [
    made[file_format] / options.shard_name(split, 0)
    for split in ("train", "validation")
  ]
  small, large = (path.stat().st_size for path in paths)
  assert small < large
  found = subprocess.run(
    [sys.executable, "-c", _LIMITED, str(large - 1), *make_flags(options)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 1
  assert "File too large" in found.stderr
  _check_stopped(tmp_path, options, found.stderr)
  if num_workers == 1:
    assert "1 of 2 shards, 30 of 70 scenes" in found.stderr
  generate(options, log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(made[file_format])


def _can_mount(folder):
  if shutil.which("unshare") is None:
    return False
  command = f"mount -t tmpfs -o size=64k none {folder}"
  found = subprocess.run(
    ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
    capture_output=True,
  )
  return found.returncode == 0


@pytest.mark.variants
@pytest.mark.parametrize(
  ("num_workers", "file_format"),
  [(1, "tfrecord"), (2, "tfrecord"), (1, "array_record"), (2, "npz")],
)
def test_full_disk_leaves_finished_shards(
  made, tmp_path, num_workers, file_format
):
  """A file system in memory, as large as the first shard and a little."""
  mounted, copied = tmp_path / "mounted", tmp_path / "copied"
  mounted.mkdir()
  if not _can_mount(mounted):
    pytest.skip("no file system can be mounted here")
  changes = {"file_format": file_format, "num_workers": num_workers} | MANY
  there = make_options(mounted, **changes)
  first = made[file_format] / there.shard_name("train", 0)
  size = first.stat().st_size + 60_000
  script = (
    f"mount -t tmpfs -o size={size} none {mounted} || exit 99\n"
    '"$@"; status=$?\n'
    f"cp -r {mounted} {copied}; exit $status"
  )
  found = subprocess.run(
    [
      *("unshare", "--user", "--map-root-user", "--mount"),
      *("sh", "-c", script, "sh", sys.executable, "-c", UNCHECKED),
      *make_flags(there),
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert found.returncode == 1
  assert "No space left on device" in found.stderr
  options = make_options(copied, **changes)
  _check_stopped(copied, options, found.stderr)
  if num_workers == 1:
    assert "1 of 2 shards, 30 of 70 scenes" in found.stderr
  generate(options, log=lambda line: None)
  assert hash_files(copied) == hash_files(made[file_format])


@pytest.mark.variants
@pytest.mark.parametrize(
  "name",
  [
    "manifest.partial.json",
    "traj3d-validation.tfrecord-00000-of-00001.index",
    "preview.png",
    "features.json",
    "manifest.json",
  ],
)
def test_disk_that_fills_up_at_any_file(made, tmp_path, monkeypatch, name):
  options = make_options(tmp_path, **MANY)
  replace = shards.os.replace

  def fail(source, target):
    if pathlib.Path(target).name == name:
      raise OSError(errno.ENOSPC, "No space left on device")
    replace(source, target)

  with monkeypatch.context() as patch:
    patch.setattr(shards.os, "replace", fail)
    with pytest.raises(OSError, match="took no more") as caught:
      generate(options, log=lambda line: None)
  _check_stopped(tmp_path, options, str(caught.value))
  generate(options, log=lambda line: None)
  assert hash_files(tmp_path) == hash_files(made["tfrecord"])
  assert not (tmp_path / manifest.PARTIAL_NAME).exists()


def test_other_errors_of_the_system_stay_what_they_are(tmp_path, monkeypatch):
  def fail(source, target):
    raise OSError(errno.EIO, "Input/output error")

  monkeypatch.setattr(shards.os, "replace", fail)
  with pytest.raises(OSError, match="Input/output error"):
    generate(make_options(tmp_path), log=lambda line: None)
