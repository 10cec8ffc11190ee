"""What configs have come to say does not make old scores outdated."""

import copy

import numpy as np
import pytest
import shrunk

from magvit3d.checkpoints import identity


def _key(config):
  return identity.evaluation_key(
    config, {}, {}, {"a": np.ones(2)}, None, version=1
  )


def _without_new_fields(config):
  older = copy.deepcopy(config)
  for task in older["tasks"].values():
    for field in ("top_k", "top_p"):
      del task["sampling"][field]
  return older


def test_scores_of_older_configs_stay():
  config = shrunk.make_config()
  older = _without_new_fields(config)
  assert older != config and _key(older) == _key(config)


@pytest.mark.parametrize(
  "fields",
  [
    {"tasks__frame_prediction__sampling__top_k": 5},
    {"tasks__full_generation__sampling__guidance": 1.5},
    {"maskgvt__sampling__top_p": 0.5},
  ],
)
def test_other_sampling_gives_other_scores(fields):
  assert _key(shrunk.make_config(**fields)) != _key(shrunk.make_config())
