"""A trained world model goes on with clips, by the API and as typed."""

import contextlib
import errno
import pathlib
import shutil

import documented
import numpy as np
import pytest
import small_studies
from PIL import Image

from magvit3d import rollout
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.errors import UserError
from magvit3d.experiment import Experiment
from magvit3d.files import atomic_file, work_folder
from magvit3d.parallel import sharding
from magvit3d.studies.world_model import WorldModel
from magvit3d.studies.world_model.trained_world_model import parse_actions


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  """A run of two stages, of frames of 12 px and clips of 5."""
  folder = tmp_path_factory.mktemp("rollout") / "run"
  config = small_studies.make_world_model() | {"stages": "data,world_model"}
  Experiment(config, folder).run()
  return folder


@pytest.fixture(scope="module")
def model(workdir):
  return WorldModel.from_run(workdir, batch_size=2)


def test_given_frames_stay_and_new_ones_come(model):
  clip, past = model.example(0)
  made = model.rollout(clip[:2], [[1, 0], [0, 1]], past_actions=past[:2])
  assert made.shape == (4, 12, 12) and made.dtype == np.uint8
  np.testing.assert_array_equal(made[:2], clip[:2])
  again = model.rollout(clip[:2], [[1, 0], [0, 1]], past_actions=past[:2])
  np.testing.assert_array_equal(made, again)


def test_a_clip_of_a_batch_is_what_it_is_alone(model):
  clips = np.stack([model.example(i)[0][:2] for i in range(3)])
  actions = np.array([[1, 0], [0, -1], [-1, 1]], np.float32)
  together = model.rollout(clips, actions, seed=3)
  assert together.shape == (3, 5, 12, 12)
  # The number of a clip is its key: the first has that of a clip alone.
  np.testing.assert_array_equal(
    together[0], model.rollout(clips[0], actions, seed=3)
  )
  as_floats = model.rollout(clips / 255, actions, seed=3)
  assert as_floats.dtype == np.float64
  np.testing.assert_allclose(as_floats, together / 255, atol=1e-6)


def test_batches_divide_over_the_devices(workdir, monkeypatch):
  monkeypatch.setattr(sharding, "num_batch_shards", lambda mesh: 2)
  # As `python -m magvit3d.rollout` asks.
  alone = WorldModel.from_run(workdir, batch_size=1)
  assert alone._rollouts._batch_size == 2
  # Those that it was trained on do not divide: there were 4.
  monkeypatch.setattr(sharding, "num_batch_shards", lambda mesh: 3)
  three = WorldModel.from_run(workdir, batch_size=4)
  assert three._rollouts._batch_size == 6


def test_other_actions_make_other_frames(model):
  clip, past = model.example(1)
  one = model.rollout(clip[:2], [[1, 0]] * 3, past_actions=past[:2])
  other = model.rollout(clip[:2], [[-1, 0]] * 3, past_actions=past[:2])
  assert (one != other).any()


@pytest.mark.parametrize("knows_past", [False, True])
def test_the_network_is_told_what_is_known(model, monkeypatch, knows_past):
  told = {}

  def spy(params, clips, actions, is_told, given_frames, seed):
    told.update(clips=clips, actions=actions, is_told=is_told)
    return clips.copy()

  monkeypatch.setattr(model._rollouts, "roll_out", spy)
  clip, past = model.example(1)
  past = past[:2] if knows_past else None
  model.rollout(clip[:2], [[1, 0], [0, -1]], past_actions=past)
  assert not told["clips"][0, 2:].any()  # What comes is not there to be read.
  np.testing.assert_array_equal(told["actions"][0, 2:4], [[1, 0], [0, -1]])
  np.testing.assert_array_equal(told["is_told"][0, :2], knows_past)
  assert told["is_told"][0, 2:].all()
  if knows_past:
    np.testing.assert_array_equal(told["actions"][0, :2], past)


@pytest.mark.parametrize(
  ("clip", "actions", "past", "named"),
  [
    (np.zeros((2, 8, 8), np.uint8), [[1, 0]], None, "frames of 12 x 12 px"),
    (np.zeros((12, 12), np.uint8), [[1, 0]], None, r"give \(g, h, w\)"),
    (np.zeros((2, 12, 12), np.int32), [[1, 0]], None, "type int32"),
    (np.full((2, 12, 12), 2.0), [[1, 0]], None, "floats in"),
    (np.zeros((2, 12, 12)), [1, 0], None, r"actions have shape \(2,\)"),
    (np.zeros((2, 12, 12)), [[1, 0, 0]], None, r"shape \(1, 3\)"),
    (np.zeros((2, 12, 12)), [[2, 0]], None, "has seen 1 at most"),
    (np.zeros((2, 12, 12)), [["a", "b"]], None, "give numbers"),
    (np.zeros((2, 12, 12)), [[1, 0]] * 4, None, "clips of 5"),
    (np.zeros((2, 12, 12)), [[1, 0]], [[0, 0]], "one for each"),
    (np.zeros((2, 12, 12)), [[float("nan"), 0]], None, "not finite"),
    (np.zeros((2, 12, 12)), [[1, 0]], [[0, 0], [np.inf, 0]], "not finite"),
    (np.zeros((2, 12, 12)), [[1j, 0]], None, "type complex128"),
    (np.zeros((2, 12, 12)), [[1, 0], [1]], None, "no array of numbers"),
    (np.zeros((0, 2, 12, 12)), [[1, 0]], None, r"shape \(0, 2, 12, 12\)"),
  ],
)
def test_wrong_arguments_are_told(model, clip, actions, past, named):
  with pytest.raises(UserError, match=named):
    model.rollout(clip, actions, past_actions=past)


def test_clips_that_are_none_and_seeds_that_are_none_are_told(model):
  with pytest.raises(UserError, match="split='foo' is none"):
    model.example(0, "foo")
  for seed in (-1, 2**32):
    with pytest.raises(UserError, match=r"seed=.*from 0 to 4294967295"):
      model.rollout(np.zeros((2, 12, 12)), [[1, 0]], seed=seed)


def test_given_frames_may_move_further_than_in_training(model):
  """They are what was seen; what is asked for is what was learnt."""
  clips = np.zeros((2, 12, 12), np.uint8)
  made = model.rollout(clips, [[1, 0]], past_actions=[[0, 0], [3, 0]])
  assert made.shape == (3, 12, 12)


def test_reading_a_run_changes_nothing_of_it(workdir):
  """Not even a checkpoint that another process is just writing."""
  checkpoints = workdir / "world_model" / "checkpoints"
  unfinished = checkpoints / "9.orbax-checkpoint-tmp"
  unfinished.mkdir()
  try:
    WorldModel.from_run(workdir)
    assert unfinished.is_dir()
  finally:
    unfinished.rmdir()


def test_a_damaged_network_is_told_and_stays(workdir, tmp_path):
  copy = tmp_path / "run"
  shutil.copytree(workdir, copy)
  step = checkpoint_record.newest(copy / "world_model" / "checkpoints")
  record = checkpoint_record.path_in(step)
  record.write_text(record.read_text().replace('"step":', '"stop":'))
  with pytest.raises(UserError, match="is damaged"):
    WorldModel.from_run(copy)
  assert record.exists()


def test_words_and_files_are_actions(tmp_path):
  np.testing.assert_array_equal(
    parse_actions("right, up,stay", 2.0), [[2, 0], [0, -2], [0, 0]]
  )
  np.testing.assert_array_equal(
    parse_actions("away,near,down", 0.5, 3),
    [[0, 0, 0.5], [0, 0, -0.5], [0, 0.5, 0]],
  )
  path = tmp_path / "actions.npy"
  np.save(path, np.ones((3, 2)))
  np.testing.assert_array_equal(parse_actions(str(path), 2.0), np.ones((3, 2)))
  for text, named in (
    ("right,away", "away is no action"),
    (",", "nothing is no action"),
    (str(tmp_path / "none.npy"), "cannot be read"),
  ):
    with pytest.raises(UserError, match=named):
      parse_actions(text, 1.0)


@pytest.mark.variants
@pytest.mark.parametrize("kind", ["gif", "png", "npy"])
def test_the_command_writes_what_the_api_makes(
  kind, workdir, model, tmp_path, capsys
):
  path = tmp_path / f"made.{kind}"
  arguments = [
    f"--workdir={workdir}", "--actions=right,up", f"--output={path}",
    "--given_frames=2", "--clip=1",
  ]  # fmt: skip
  assert rollout.main(arguments) == 0
  assert "2 given frames, 2 new ones" in capsys.readouterr().out
  clip, past = model.example(1)
  made = model.rollout(clip[:2], [[1, 0], [0, -1]], past_actions=past[:2])
  if kind == "npy":
    np.testing.assert_array_equal(np.load(path), made)
    return
  with Image.open(path) as image:
    assert getattr(image, "n_frames", 1) == (4 if kind == "gif" else 1)
    assert image.height >= 128


@pytest.mark.parametrize(
  ("changed", "named"),
  [
    ("--actions=jump", "jump is no action"),
    ("--output=made.mp4", "must end with .gif, .png, .npy"),
    ("--clip=6", "There is no clip 6"),
    ("--given_frames=5", "--given_frames=5 must be 1 to 4"),
    ("--workdir=nowhere", "nowhere/config.json cannot be read"),
    ("--output=folder.gif", "folder.gif is a folder. Name a file."),
    ("--output=file.txt/made.gif", "made.gif cannot be written"),
  ],
)
def test_wrong_flags_are_told(
  changed, named, workdir, tmp_path, capsys, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  pathlib.Path("folder.gif").mkdir()
  pathlib.Path("file.txt").touch()
  arguments = [
    f"--workdir={workdir}", "--actions=right", "--given_frames=2",
    f"--output={tmp_path / 'made.gif'}", changed,
  ]  # fmt: skip
  assert rollout.main(arguments) == 1
  assert named in capsys.readouterr().err
  assert {p.name for p in tmp_path.iterdir()} == {"folder.gif", "file.txt"}


@pytest.mark.parametrize("kind", ["gif", "png", "npy"])
def test_an_older_file_stays_where_writing_fails(
  kind, workdir, tmp_path, monkeypatch
):
  path = tmp_path / f"made.{kind}"
  path.write_bytes(b"older")

  def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(atomic_file, "replace", full)
  arguments = [f"--workdir={workdir}", "--actions=right", f"--output={path}"]
  assert rollout.main(arguments) == 1
  assert path.read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_a_run_owns_is_not_written_into(
  workdir, capsys, monkeypatch
):
  seen = []

  @contextlib.contextmanager
  def owned(folder, name):
    seen.append(folder)
    yield

  monkeypatch.setattr(work_folder, "owned", owned)
  arguments = [f"--workdir={workdir}", "--actions=jump"]
  rollout.main([*arguments, f"--output={workdir / 'made.gif'}"])
  assert seen == [workdir]


def test_the_document_works(workdir):
  (block,) = documented.blocks("docs/world_model.md", "python")
  for old, new in (
    ("runs/world_model_tiny", str(workdir)),
    ("[:10]", "[:2]"),  # Clips of 5 frames.
  ):
    assert old in block
    block = block.replace(old, new)
  names = {}
  exec(compile(block, "docs/world_model.md", "exec"), names)
  assert names["new"].shape == (5, 12, 12)


def test_a_run_without_a_network_is_told(workdir, tmp_path):
  (tmp_path / "config.json").write_text((workdir / "config.json").read_text())
  with pytest.raises(UserError, match="no checkpoint of the world model"):
    WorldModel.from_run(tmp_path)
