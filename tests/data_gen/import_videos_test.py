"""The program as a whole: footage in, a data set that all readers take out."""

import collections
import json
import subprocess
import sys

import numpy as np
import pytest
import small_data_sets
import small_footage

from data_gen import disk, schema, verify
from data_gen.errors import DataError
from data_gen.footage.footage import Footage
from data_gen.generate import generate
from data_gen.import_videos import import_videos
from data_gen.records import shards
from data_gen.records.scene_source import SceneSource
from magvit3d.data.clips import ClipSource
from magvit3d.data.scene_clips import SceneClips

pytest.importorskip("av")


def _ignore(line):
  pass


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
  folder = tmp_path_factory.mktemp("footage")
  content = small_footage.write_footage(folder)
  for recording, name in zip(
    content["recordings"], ("roll", "throw", "roll"), strict=True
  ):
    recording["class"] = name
  small_footage.write_json(folder, content)
  return folder


def _options(footage, output, **changes):
  values = {"num_frames": 3, "scenes_per_shard": 1} | changes
  return small_footage.make_options(footage, output, **values)


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def made(request, footage, tmp_path_factory):
  folder = tmp_path_factory.mktemp(request.param)
  options = _options(footage, folder, file_format=request.param)
  import_videos(options, _ignore)
  return options, folder


def test_every_scene_is_read_as_it_was_made(made):
  options, folder = made
  expected = Footage(options)
  for split in ("train", "validation", "test"):
    source = SceneSource(folder, split)
    assert len(source) == 2
    for index in range(2):
      scene, wanted = source.scene(index), expected.make_scene(split, index)
      assert set(scene) == set(wanted)
      for key, value in wanted.items():
        if isinstance(value, str):
          assert scene[key] == value
        else:
          value = np.asarray(value, source.features[key].dtype)
          np.testing.assert_array_equal(scene[key], value)


def test_manifest_describes_the_data_set(made, footage):
  _, folder = made
  manifest = json.loads((folder / "manifest.json").read_text())
  assert manifest["dataset"] == "footage"
  assert manifest["class_names"] == ["roll", "throw"]
  assert manifest["has_masks"] is True
  counts = {s: v["class_counts"] for s, v in manifest["splits"].items()}
  assert counts == {
    "train": {"roll": 2, "throw": 0},
    "validation": {"roll": 0, "throw": 2},
    "test": {"roll": 2, "throw": 0},
  }
  files = manifest["arguments"]["files"]
  assert len(files) == 1 + 3 * 3 * 2  # The JSON; of each camera two.
  assert files["rig.json"] == shards.sha256(footage / "rig.json")
  assert files["third2.mkv"] == shards.sha256(footage / "third2.mkv")
  verify.verify(folder, _ignore)
  assert not list(folder.glob("*.tmp")) + list(folder.glob("*partial*"))


def test_tensorflow_datasets_reads_it(made):
  options, folder = made
  if options.file_format != "array_record":
    pytest.skip("TFDS reads TFRecords with TensorFlow; the metadata is alike.")
  tfds = pytest.importorskip("tensorflow_datasets")
  builder = tfds.builder_from_directory(folder)
  assert builder.info.features["class"].names == ["roll", "throw"]
  # It has no shapes, and the label -1 is none of 0 classes.
  assert not hasattr(builder.info.features["shape"], "names")
  assert not (folder / "shape.labels.txt").exists()
  source = builder.as_data_source(split="validation")
  scene = SceneSource(folder, "validation").scene(1)
  assert source[1]["class"] == 1 and source[1]["shape"] == schema.UNKNOWN
  frames = np.stack(source[1]["frames"])
  np.testing.assert_array_equal(
    frames.reshape(scene["frames"].shape), scene["frames"]
  )


def test_training_samples_come_of_it(made):
  _, folder = made
  scenes = SceneSource(folder, "train")
  clip = ClipSource(scenes)[4]  # The second camera of the second scene.
  assert clip["frames"].shape == (3, 48, 48, 3) and clip["labels"] == 0
  assert clip["background"].shape == (48, 48, 3) and clip["masks"].any()
  sample = SceneClips(scenes, None)[1]
  assert sample["frames"].shape == (3, 3, 48, 48, 3)
  assert np.isnan(sample["size"]) and np.isfinite(sample["trajectory"]).all()


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "data_gen.import_videos", *flags],
    cwd=small_data_sets.ROOT,
    capture_output=True,
    text=True,
  )


def test_program_makes_the_same_bytes_with_several_processes(
  made, footage, tmp_path
):
  options, folder = made
  flags = [
    f"--calibration={footage / 'rig.json'}",
    f"--output_dir={tmp_path}",
    "--num_frames=3",
    "--image_size=48",
    "--scenes_per_shard=1",
    f"--file_format={options.file_format}",
  ]
  found = _run(*flags, "--num_workers=2")
  assert found.returncode == 0, found.stderr
  assert "6 scenes: 2 train, 2 validation, 2 test" in found.stdout
  assert small_data_sets.hash_files(tmp_path) == small_data_sets.hash_files(
    folder
  )
  found = _run(*flags, "--fit=pad")
  assert found.returncode == 1 and "Traceback" not in found.stderr
  assert "other options: --fit is pad now, and was crop" in found.stderr


def test_program_names_mistakes(tmp_path):
  (tmp_path / "rig.json").write_text('{"recordings": [{"name": "a"}]}')
  found = _run(
    f"--calibration={tmp_path / 'rig.json'}", f"--output_dir={tmp_path / 'o'}"
  )
  assert found.returncode == 1
  assert found.stderr.count("\n") == 1
  assert "rig.json: recordings[0] lacks the field 'split'" in found.stderr
  assert not (tmp_path / "o").exists()


class _Stop(Exception):
  pass


def test_interrupted_work_continues_to_the_same_bytes(
  made, footage, tmp_path, monkeypatch
):
  options, folder = made
  options = _options(footage, tmp_path, file_format=options.file_format)
  make_scene = Footage.make_scene

  def stop(self, split, index):
    if (split, index) == ("test", 0) and len(list(tmp_path.iterdir())) > 1:
      raise _Stop
    return make_scene(self, split, index)

  monkeypatch.setattr(Footage, "make_scene", stop)
  with pytest.raises(_Stop):
    import_videos(options, _ignore)
  assert not (tmp_path / "manifest.json").exists()
  assert not list(tmp_path.glob("*.tmp"))
  finished = [p for p in tmp_path.glob("*train*") if p.suffix != ".index"]
  times = {path: path.stat().st_mtime_ns for path in finished}
  assert len(times) == 2
  monkeypatch.undo()
  import_videos(options, _ignore)
  assert times == {path: path.stat().st_mtime_ns for path in times}
  assert small_data_sets.hash_files(tmp_path) == small_data_sets.hash_files(
    folder
  )


def test_changed_files_are_noticed(footage, tmp_path):
  import_videos(_options(footage, tmp_path / "out"), _ignore)
  content = json.loads((footage / "rig.json").read_text())
  original = (footage / "rig.json").read_bytes()
  content["recordings"][0]["caption"] = "another"
  try:
    small_footage.write_json(footage, content)
    with pytest.raises(ValueError, match=r"the file rig\.json is another"):
      import_videos(_options(footage, tmp_path / "out"), _ignore)
  finally:
    (footage / "rig.json").write_bytes(original)


def test_folders_of_other_data_sets_are_refused(footage, tmp_path):
  rendered = small_data_sets.make_options(
    tmp_path / "rendered", num_train=1, num_validation=0, preview=0
  )
  generate(rendered, _ignore)
  before = small_data_sets.hash_files(tmp_path / "rendered")
  with pytest.raises(ValueError, match="holds another data set, traj3d"):
    import_videos(_options(footage, tmp_path / "rendered"), _ignore)
  assert small_data_sets.hash_files(tmp_path / "rendered") == before
  import_videos(_options(footage, tmp_path / "out"), _ignore)
  with pytest.raises(ValueError, match="holds another data set, footage"):
    generate(
      small_data_sets.make_options(tmp_path / "out", num_train=1), _ignore
    )


def test_small_disks_are_refused_with_both_figures(
  footage, tmp_path, monkeypatch
):
  usage = collections.namedtuple("usage", "total used free")
  monkeypatch.setattr(
    disk.shutil, "disk_usage", lambda path: usage(0, 0, 20_000)
  )
  with pytest.raises(OSError, match=r"has 0\.020 MB free.* need 0\.\d+ MB"):
    import_videos(_options(footage, tmp_path), _ignore)
  assert not list(tmp_path.iterdir())


def test_without_pyav_the_error_says_what_to_install(
  footage, tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, "av", None)
  with pytest.raises(DataError, match=r"pip install -e '\.\[video\]'"):
    import_videos(_options(footage, tmp_path / "out"), _ignore)
