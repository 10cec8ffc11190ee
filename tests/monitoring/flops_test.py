"""XLA's count of FLOPs against those of small programs, worked out by hand."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
import shrunk

from magvit3d.models import attention, cpu_attention
from magvit3d.monitoring import flops, peak_flops

# A product of (64, 32) and (32, 16).
_PRODUCT = 2 * 64 * 32 * 16
_MATMUL = """
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from magvit3d.monitoring import flops
assert len(jax.devices()) == 8
mesh = jax.make_mesh((8,), ("data",))
a = jax.device_put(jnp.ones((64, 32)), NamedSharding(mesh, P("data")))
b = jax.device_put(jnp.ones((32, 16)), NamedSharding(mesh, P()))
compiled = jax.jit(lambda a, b: a @ b).lower(a, b).compile()
meter = flops.FlopsMeter.of_step(compiled, mesh.devices.flat, "float32")
total = meter.metrics(1.0)["model_flops_per_second"]
print(int(flops.step_flops(compiled)), int(total))
"""


def _count(function, *shapes, num_loops=1):
  arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  compiled = jax.jit(function).lower(*arguments).compile()
  return flops.step_flops(compiled, num_loops)


def test_a_product_of_matrices():
  assert _count(jnp.matmul, (64, 32), (32, 16)) == _PRODUCT


def test_the_gradient_of_a_product_is_two_products_more():
  def loss(a, b):
    return jnp.sum((a @ b) ** 2)

  count = _count(jax.grad(loss, argnums=(0, 1)), (64, 32), (32, 16))
  # Besides: the square's gradient, 1 or 2 a cell of (64, 16).
  assert 3 * _PRODUCT <= count <= 3 * _PRODUCT + 3 * 64 * 16


def test_a_convolution_leaves_out_what_meets_padding():
  def convolve(padding):
    return lambda x, kernel: jax.lax.conv_general_dilated(
      x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )

  shapes = (4, 16, 16, 8), (3, 3, 8, 5)
  channels = 2 * 4 * 8 * 5
  assert _count(convolve("VALID"), *shapes) == channels * 14**2 * 9
  # Along an axis of 16, the three taps meet 15, 16 and 15 cells.
  assert _count(convolve("SAME"), *shapes) == channels * (15 + 16 + 15) ** 2


def _accumulate(a, b):
  def body(total, part):
    return total + part @ b, None

  return jax.lax.scan(body, jnp.zeros((64, 16)), a)[0]


@pytest.mark.parametrize("num_loops", [1, 10])
def test_products_count_in_each_round_of_a_loop(num_loops):
  count = _count(_accumulate, (10, 64, 32), (32, 16), num_loops=num_loops)
  assert count == pytest.approx(10 * _PRODUCT, rel=0.05)


def test_loops_in_loops_count_in_each_round_of_both():
  def twice(a, b):
    return jax.lax.map(lambda part: _accumulate(part, b), a)

  count = _count(twice, (3, 10, 64, 32), (32, 16))
  assert count == pytest.approx(30 * _PRODUCT, rel=0.05)
  count = _count(twice, (3, 10, 64, 32), (32, 16), num_loops=3)
  assert count == pytest.approx(30 * _PRODUCT, rel=0.05)


def test_attention_counts_alike_in_one_piece_and_head_after_head(monkeypatch):
  shape = (2, 256, 3, 8)

  def gradients(query, key, value):
    def total(*arrays):
      return jnp.sum(attention.attend(*arrays) ** 2)

    return jax.grad(total, argnums=(0, 1, 2))(query, key, value)

  loop = _count(gradients, *[shape] * 3)
  monkeypatch.setattr(cpu_attention, "suits", lambda *_: False)
  at_once = _count(lambda *arrays: gradients(*arrays), *[shape] * 3)
  # A product forward more, in the backward pass, of six; and softmax, whose
  # elementwise operations count in one round alone, some 20 of 7 x 16.
  assert 0.9 * 7 / 6 < loop / at_once < 1.1 * 7 / 6


@pytest.mark.slow
def test_eight_devices_count_an_eighth_each():
  found = subprocess.run(
    [sys.executable, "-c", _MATMUL],
    env=shrunk.make_environment(8),
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  assert found.stdout.split() == [str(_PRODUCT // 8), str(_PRODUCT)]


def test_metrics_are_rates_over_all_devices_and_a_share_of_ones_peak():
  meter = flops.FlopsMeter(flops=6e12, num_devices=4, peak=10e12)
  assert meter.metrics(2.0) == {
    "model_flops_per_second": 12e12,
    "flops_utilisation": 0.3,
  }
  assert meter.metrics(None) == {}


def test_what_is_not_known_is_left_out():
  assert flops.FlopsMeter(None, 4, 1e12).metrics(1.0) == {}
  rates = flops.FlopsMeter(1e9, 4, None).metrics(1.0)
  assert rates == {"model_flops_per_second": 4e9}


class _Compiled:
  """Stands for a program that XLA knows little of."""

  def __init__(self, analysis):
    self._analysis = analysis

  def cost_analysis(self):
    if self._analysis is NotImplementedError:
      raise NotImplementedError
    return self._analysis

  def as_text(self):
    return ""


@pytest.mark.parametrize(
  "analysis", [None, {}, {"flops": -1.0}, NotImplementedError]
)
def test_a_backend_without_a_count_gives_none(analysis):
  assert flops.step_flops(_Compiled(analysis)) is None


@pytest.mark.parametrize("given, share", [(None, None), (5e12, 0.2)])
def test_a_given_peak_stands_for_an_unknown_device(given, share):
  meter = flops.FlopsMeter.of_step(
    _Compiled({"flops": 1e12}), jax.devices()[:1], "float32", given
  )
  assert meter.metrics(1.0).get("flops_utilisation") == share


@pytest.mark.parametrize(
  "kind, dtype, precision, tera",
  [
    ("NVIDIA H200", "bfloat16", None, 989.5),
    ("NVIDIA H200", "float32", None, 494.5),
    ("NVIDIA H200", "float32", "highest", 67.0),
    ("NVIDIA H200", "float32", "bfloat16", 494.5),
    ("TPU v5 lite", "float32", None, 197.0),
    ("TPU v6 lite", "bfloat16", "highest", 918.0),
    # Several passes in bfloat16, of which no sheet tells.
    ("TPU v4", "float32", "highest", None),
    ("NVIDIA H200", "float32", "BF16_BF16_F32_X3", None),
    ("cpu", "float32", None, None),
  ],
)
def test_peaks_follow_device_and_precision(kind, dtype, precision, tera):
  found = peak_flops.find(kind, dtype, precision)
  assert found == (None if tera is None else tera * 1e12)
