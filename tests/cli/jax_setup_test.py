"""Tests of a run's settings of JAX."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from magvit3d.cli import jax_setup
from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError

_FIELDS = ("jax_compilation_cache_dir", "jax_default_matmul_precision")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
  """No variable of the environment, and JAX's settings as they were."""
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  before = {field: getattr(jax.config, field) for field in _FIELDS}
  yield
  for field, value in before.items():
    jax.config.update(field, value)


def _set_up(workdir, precision=None, cache=None):
  config = RunConfig.from_dict(
    {"matmul_precision": precision, "compilation_cache_dir": cache}
  )
  jax_setup.set_up(config, pathlib.Path(workdir))
  return jax.config.jax_compilation_cache_dir


def test_programs_are_kept_beside_the_work_folder(tmp_path):
  cache = _set_up(tmp_path / "runs" / "a")
  assert cache == str(tmp_path / "runs" / "compiled_programs")
  assert _set_up(tmp_path / "runs" / "b") == cache


def test_a_relative_work_folder_gives_a_place_that_stays(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert _set_up("a") == str(tmp_path / "compiled_programs")


def test_the_environment_is_heard_where_the_config_is_silent(
  tmp_path, monkeypatch
):
  before = jax.config.jax_compilation_cache_dir
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "theirs"))
  # JAX has read the variable itself, when it was imported.
  assert _set_up(tmp_path / "a") == before
  assert _set_up(tmp_path / "a", cache=str(tmp_path / "ours")) == str(
    tmp_path / "ours"
  )


def test_the_configs_folder_may_start_at_home(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert _set_up("a", cache="~/programs") == str(tmp_path / "programs")


@pytest.mark.parametrize(
  ("precision", "expected"),
  [
    ("default", jax.lax.Precision.DEFAULT),
    ("high", jax.lax.Precision.HIGH),
    ("highest", jax.lax.Precision.HIGHEST),
    ("bfloat16", jax.lax.Precision.DEFAULT),
    ("tensorfloat32", jax.lax.Precision.HIGH),
  ],
)
def test_products_are_traced_with_the_precision(tmp_path, precision, expected):
  _set_up(tmp_path / "a", precision=precision)
  product = jax.make_jaxpr(jnp.dot)(jnp.ones((2, 2)), jnp.ones((2, 2)))
  assert product.eqns[-1].params["precision"] == (expected, expected)


def test_without_a_precision_jaxs_own_stays(tmp_path):
  jax.config.update("jax_default_matmul_precision", "high")
  _set_up(tmp_path / "a")
  assert jax.config.jax_default_matmul_precision == "high"


def test_an_unknown_precision_is_an_error_that_names_the_field(tmp_path):
  before = [getattr(jax.config, field) for field in _FIELDS]
  with pytest.raises(
    UserError,
    match=r"config.matmul_precision='half' is unknown; use one of default,",
  ):
    _set_up(tmp_path / "a", precision="half")
  assert [getattr(jax.config, field) for field in _FIELDS] == before
