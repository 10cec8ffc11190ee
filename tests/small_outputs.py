"""What the networks of the small trained run make of its test scenes."""

import shrunk

from magvit3d.evaluation.stage.outputs import RunOutputs
from magvit3d.experiment import Experiment


def make(trained_run, **fields):
  """Returns the outputs, and the run; `fields` change its config."""
  config = shrunk.make_config(data__num_colors=2, **fields)
  run = Experiment(config, trained_run)
  tokenizer_params = run._networks.tokenizer_params()
  outputs = RunOutputs(
    run._networks.token_model(),
    tokenizer_params,
    run._networks.transformer_params(tokenizer_params),
    run._data.held_out_scenes("test", 12, None),
    config["evaluation"],
    0,
    run._mesh,
  )
  return outputs, run
