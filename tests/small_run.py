"""A small run whose networks are trained for some steps."""

import shrunk


def make(workdir):
  """Makes it in a few seconds; returns the work folder."""
  # Not above: data_gen's tests need no JAX.
  from magvit3d.experiment import Experiment

  config = shrunk.make_config(
    stages="data,tokenizer,transformer", data__num_colors=2
  )
  Experiment(config, workdir).run()
  return workdir


def make_scenes(workdir):
  """Makes one whose transformer sees three cameras, trained for three steps."""
  from magvit3d.experiment import Experiment

  config = shrunk.make_scenes_config(
    stages="data,tokenizer,transformer",
    train_transformer__num_steps=3,
    train_transformer__warmup_steps=1,
  )
  Experiment(config, workdir).run()
  return workdir


def without(run, folder, *names):
  """Links all of a run but `names` into a folder; returns it."""
  folder.mkdir()
  for path in run.iterdir():
    if path.name not in names:
      (folder / path.name).symlink_to(path)
  return folder
