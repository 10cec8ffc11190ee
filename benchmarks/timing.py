"""Times of operations and steps on devices that work behind the host's back.

An operation is repeated inside one program, each time on values that depend on
the time before, and calls of it queue up: neither launches nor the host's pace
are in the time then. Medians of several.
"""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

_TINY = 1e-30  # Changes no value, but the compiler cannot know.


def chain_forward(operation: Callable, num_links: int) -> Callable:
  """Returns a function that applies an operation again and again.

  Args:
    operation: Of arrays; returns an array. Its first argument should be small:
      each link writes it anew.
    num_links: How often.
  """

  def run(*arrays: Array) -> Array:
    total = jnp.zeros((), jnp.float32)
    for _ in range(num_links):
      result = operation(*_moved(arrays, total))
      total += _one_value(result)
    return total

  return run


def chain_backward(operation: Callable) -> Callable:
  """The same of the gradients by all arguments, without the forward pass.

  The function takes gradients of the result, one for each link, before the
  arrays: a gradient of a linear operation may depend on nothing else, and would
  be computed once.
  """

  def run(gradients: Sequence[Array], *arrays: Array) -> Array:
    total = jnp.zeros((), jnp.float32)
    for gradient in gradients:
      _, pull_back = jax.vjp(operation, *_moved(arrays, total))
      total += _one_value(pull_back(gradient))
    return total

  return run


def _moved(arrays: Sequence[Array], total: Array) -> list[Array]:
  first = arrays[0] + (_TINY * total).astype(arrays[0].dtype)
  return [first, *arrays[1:]]


def _one_value(tree: PyTree) -> Array:
  """A sum over the leaves of one value each; the leaves are made whole."""
  leaves = jax.tree.leaves(jax.lax.optimization_barrier(tree))
  values = [leaf[(0,) * leaf.ndim].astype(jnp.float32) for leaf in leaves]
  return functools.reduce(jnp.add, values)


def seconds_per_call(
  call: Callable[[], Any], *, num_calls: int, num_repeats: int
) -> float:
  """Returns the median over `num_repeats` of the time of queued calls."""
  jax.block_until_ready(call())
  times = []
  for _ in range(num_repeats):
    start = time.perf_counter()
    results = [call() for _ in range(num_calls)]
    jax.block_until_ready(results)
    times.append((time.perf_counter() - start) / num_calls)
  return statistics.median(times)


def seconds_per_step(
  step: Callable,
  state: PyTree,
  rest: tuple,
  *,
  num_calls: int,
  num_repeats: int,
) -> tuple[float, dict[str, float]]:
  """Returns the median time of a training step, and its last metrics.

  Args:
    step: Takes and returns the state, which it may overwrite.
    state: Before the first step.
    rest: The step's other arguments.
    num_calls: Steps that are queued.
    num_repeats: How often.
  """
  state, metrics = step(state, *rest)
  jax.block_until_ready(metrics)
  times = []
  for _ in range(num_repeats):
    start = time.perf_counter()
    for _ in range(num_calls):
      state, metrics = step(state, *rest)
    jax.block_until_ready((state, metrics))
    times.append((time.perf_counter() - start) / num_calls)
  values = {key: float(value) for key, value in metrics.items()}
  return statistics.median(times), values


def matmul_program(num_links: int) -> Callable:
  """Returns `(a, b) -> c`, a chain of products of square matrices."""

  def run(a: Array, b: Array) -> Array:
    for _ in range(num_links):
      a = jax.lax.optimization_barrier(a @ b)
    return a

  return run


def matmul_flops_per_second(
  dtype: str, size: int, *, num_links: int = 10, num_repeats: int = 5
) -> float:
  """Returns the rate of products of square matrices of random values."""
  keys = jax.random.split(jax.random.key(0))
  a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
  run = jax.jit(matmul_program(num_links))
  b /= jnp.asarray(size**0.5, dtype)  # Products stay of the same size.
  seconds = seconds_per_call(
    lambda: run(a, b), num_calls=1, num_repeats=num_repeats
  )
  return 2 * size**3 * num_links / seconds
