"""The evaluate stage scores with published networks where weights are given."""

import dataclasses

import numpy as np
import pytest
import small_metric_networks
import table_values

from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.errors import UserError
from magvit3d.evaluation.published import clips
from magvit3d.evaluation.published.frechet_distance import frechet_distance
from magvit3d.evaluation.results import Results
from magvit3d.parallel import sharding

_NONE = EvaluationConfig(batch_size=4)


@pytest.fixture
def networks(monkeypatch, tmp_path):
  small_metric_networks.install(monkeypatch)
  paths = small_metric_networks.write_weights(tmp_path)
  return clips.load(dataclasses.replace(_NONE, **paths), sharding.make_mesh())


def _clips(seed, count):
  rng = np.random.default_rng(seed)
  mean = rng.integers(0, 200, (count, 1, 1, 1, 3))
  noise = rng.integers(0, 50, (count, 16, 32, 32, 3))
  return (mean + noise).astype(np.uint8)


def _rows(results):
  (table,) = results.tables
  return table, table_values.rows(table)


def test_without_weights_there_are_no_networks():
  assert clips.load(_NONE, sharding.make_mesh()) is None


def test_pairs_have_all_scores_with_the_checksums(networks):
  results = Results("test", has_objects=True)
  real, made = _clips(0, 8), _clips(1, 8)
  clips.score(networks, results, "Title", real, made, is_paired=True)
  table, rows = _rows(results)
  assert list(rows) == [
    "fvd_i3d_k400",
    "inception_score_c3d_ucf101",
    "lpips_alexnet",
  ]
  assert (table.n, table.split) == (8, "test")
  generated, *others = table.columns
  directions = [table.direction(generated, row) for row in table.rows]
  assert directions == ["lower", "higher", "lower"]
  assert {table.direction(c, r) for c in others for r in table.rows} == {None}
  for network in (networks.i3d, networks.c3d, networks.lpips):
    for checksum in network.checksums.values():
      assert len(checksum) == 64 and checksum in table.note
  kernel = np.asarray(networks.i3d.params["kernel"], np.float64)
  features = [(x / 255).mean((1, 2, 3)) @ kernel for x in (real, made)]
  # Colours are float32: 6e-8 of 1, squared differences of some hundredths.
  assert rows["fvd_i3d_k400"][0] == pytest.approx(
    frechet_distance(*features).value, rel=1e-4
  )


def test_samples_have_no_pairs_and_no_lpips(networks):
  results = Results("test", has_objects=True)
  clips.score(
    networks, results, "Title", _clips(0, 8), _clips(1, 5), is_paired=False
  )
  table, rows = _rows(results)
  assert list(rows) == ["fvd_i3d_k400", "inception_score_c3d_ucf101"]
  assert table.n == 5
  assert networks.lpips is not None


def test_lpips_alone_says_nothing_of_samples(networks):
  only = networks.without_lpips()
  only.i3d = only.c3d = None
  results = Results("test", has_objects=True)
  clips.score(
    only, results, "Title", _clips(0, 4), _clips(1, 4), is_paired=False
  )
  assert results.tables == []


def test_a_file_without_weights_is_named(tmp_path):
  path = tmp_path / "i3d.npz"
  np.savez(path, other=np.zeros(3))
  with pytest.raises(UserError, match=str(path)):
    clips.load(
      dataclasses.replace(_NONE, i3d_weights=str(path)), sharding.make_mesh()
    )
