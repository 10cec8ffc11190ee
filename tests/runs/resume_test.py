"""Runs that are killed at random moments end as one that is not.

`benchmarks/resume.py` does the same with more kills, and says how many of them
hit a save.
"""

import broken_run
import jax
import numpy as np
import pytest
import shrunk


def _make_runs(folder, **fields):
  cache = jax.config.jax_compilation_cache_dir
  return broken_run.Runs(folder, cache=cache, **fields)


def test_a_tokenizer_that_is_killed_ends_with_the_same_bits(tmp_path):
  runs = _make_runs(tmp_path, stages=("tokenizer",), num_steps=4)
  unbroken = runs.run("unbroken")
  rng = np.random.default_rng(0)
  broken, kills = runs.run_broken("broken", 1, rng)
  assert len(kills) == 1
  assert runs.differences(unbroken, broken) == []


@pytest.mark.slow
def test_both_stages_end_with_the_same_bits(tmp_path):
  runs = _make_runs(tmp_path, num_steps=6, **shrunk.DISCRIMINATOR)
  unbroken = runs.run("unbroken")
  rng = np.random.default_rng(1)
  broken, kills = runs.run_broken("broken", 4, rng)
  assert {kill.stage for kill in kills} == set(broken_run.STAGES)
  assert runs.differences(unbroken, broken) == []
