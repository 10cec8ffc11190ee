"""Tests of what the points of a sweep are, and share."""

import dataclasses

import pytest

from launch import points, swept_fields
from magvit3d.config.run import Sections
from magvit3d.errors import UserError

pytestmark = pytest.mark.filterwarnings(  # Of ml_collections.
  "ignore:the load_module:DeprecationWarning"
)
_CONFIG = "--config=configs/traj3d.py:tiny"


def _make(sweep, *flags):
  return points.make([_CONFIG, *flags], swept_fields.read(sweep))


def _sources(tasks):
  """Names without hashes, and the same of what each takes its stages from."""

  def short(name):
    return name and name.split("=")[0].rsplit("-", 1)[0]

  return [(short(task.name), short(task.source)) for task in tasks]


def test_data_and_tokenizers_are_made_once():
  tasks = _make(
    "train_transformer.learning_rate=1e-3,2e-3;vqvae.codebook_size=96,128"
  )
  data, first, second, *rest = tasks
  assert data.name.startswith("shared/data-") and data.source is None
  assert data.flags[-1] == "--config.stages=data"
  for share in (first, second):
    assert share.name.startswith("shared/tokenizer-")
    assert share.source == data.name
    assert share.flags[-1] == "--config.stages=data,tokenizer"
  assert [task.source for task in rest] == [first.name, second.name] * 2
  assert rest[3].flags == (
    _CONFIG,
    "--config.train_transformer.learning_rate=2e-3",
    "--config.vqvae.codebook_size=128",
  )
  assert rest[3].name == "points/3-learning_rate=2e-3-codebook_size=128"


def test_what_one_run_alone_needs_it_makes_itself():
  assert _sources(_make("vqvae.codebook_size=96,128")) == [
    ("shared/data", None),
    ("points/0", "shared/data"),
    ("points/1", "shared/data"),
  ]
  assert _sources(_make("data.image_size=32,64")) == [
    ("points/0", None),
    ("points/1", None),
  ]
  one_tokenizer = _make("train_transformer.learning_rate=1e-3,2e-3")
  assert _sources(one_tokenizer) == [
    ("shared/tokenizer", None),
    ("points/0", "shared/tokenizer"),
    ("points/1", "shared/tokenizer"),
  ]


def test_data_that_are_given_and_stages_that_are_not_chosen_are_not_made():
  given = "--config.data.data_dir=/data"
  assert _sources(_make("vqvae.codebook_size=96,128", given)) == [
    ("points/0", None),
    ("points/1", None),
  ]
  (share, *_) = _make("train_transformer.learning_rate=1e-3,2e-3", given)
  assert share.stages == ("tokenizer",)
  stages = "--config.stages=transformer,evaluate"
  for task in _make("train_transformer.learning_rate=1e-3,2e-3", stages):
    assert task.source is None and task.stages == ("transformer", "evaluate")


def test_scenes_whose_cameras_move_are_others():
  """The section data says nothing of it; the action does."""
  tasks = points.make(
    ["--config=configs/world_model.py:object_tiny"],
    swept_fields.read("world_model.action=object,camera;seed=0,1"),
  )
  still, moving, *rest = tasks
  assert still.stages == moving.stages == ("data",)
  names = [still.name, moving.name]
  assert [task.source for task in rest] == [n for n in names for _ in range(2)]


def test_seeds_share_data_but_no_tokenizer():
  assert _sources(_make("seed=0,1")) == [
    ("shared/data", None),
    ("points/0", "shared/data"),
    ("points/1", "shared/data"),
  ]


def test_fields_that_do_not_decide_a_tokenizer_are_fields():
  fields = {field.name for field in dataclasses.fields(Sections)}
  assert fields >= points._LATER
  # What a tokenizer is trained with, and on.
  deciding = fields - points._LATER
  assert deciding >= {"seed", "dtype", "data", "input", "vqvae", "vqgan"}
  assert deciding >= {"train_tokenizer", "discriminator", "init_from", "mesh"}


@pytest.mark.parametrize(
  "sweep, flags, message",
  [
    (
      "vqvae.codebok_size=96,128",
      (),
      "Point 0-codebok_size=96: --config has no field 'codebok_size', as in "
      "--config.vqvae.codebok_size=96. Did you mean",
    ),
    (
      "vqvae.codebook_size=96,many",
      (),
      "Point 1-codebook_size=many: flag --config.vqvae.codebook_size=many: "
      "invalid literal for int",
    ),
    (
      "max_skipped_steps=3,-1",
      (),
      "Point 1-max_skipped_steps=-1: config.max_skipped_steps=-1 must be 0",
    ),
    ("seed=0,00", (), "Points 0-seed=0 and 1-seed=00 are the same run"),
    (
      "seed=0,1",
      ("--config.seed=3",),
      "--config.seed=3 is a field that --sweep names too",
    ),
  ],
)
def test_a_wrong_point_is_told_as_the_main_job_tells_it(sweep, flags, message):
  with pytest.raises(UserError) as raised:
    _make(sweep, *flags)
  assert str(raised.value).startswith(message)


def test_names_tell_fields_with_the_same_end_apart():
  fields = ["train_tokenizer.num_steps", "train_transformer.num_steps", "seed"]
  assert points.short_names(fields) == {
    "train_tokenizer.num_steps": "train_tokenizer.num_steps",
    "train_transformer.num_steps": "train_transformer.num_steps",
    "seed": "seed",
  }
  assert points.short_names(["vqvae.filters"]) == {"vqvae.filters": "filters"}
