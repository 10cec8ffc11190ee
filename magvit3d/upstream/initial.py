"""Parameters to start training from, as `config.init_from` asks.

`init_from.checkpoint_path` names a checkpoint in upstream's format, a folder
that `python -m magvit3d.upstream` wrote, or a run's checkpoints
(RUN/tokenizer/checkpoints); None starts from random values.
`init_from.inflation` and `init_from.allow` are as in `matching.match_trees`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from absl import logging
from jaxtyping import PyTree

from magvit3d.config.training import InitialParametersConfig
from magvit3d.errors import UserError
from magvit3d.upstream import checkpoint, matching

# Where a file has no such tree, which of its trees is the same network.
_STAND_INS = {"g_params": "ema_params", "ema_params": "g_params"}


def initial_params(
  init_from: InitialParametersConfig,
  like: PyTree,
  kind: str,
  which: str,
  section: str = "init_from",
) -> PyTree:
  """Returns one tree to start from; see `initial_trees`."""
  return initial_trees(init_from, {which: like}, kind, section)[which]


def initial_trees(
  init_from: InitialParametersConfig,
  likes: Mapping[str, PyTree],
  kind: str,
  section: str = "init_from",
) -> dict[str, PyTree]:
  """Returns trees to start from.

  Args:
    init_from: `checkpoint_path`, and optionally `inflation` and `allow`.
    likes: Fresh parameters by tree (`g_params`, `ema_params`, `d_params`,
      `params`); their values stay where a leaf is allowed to be missing, and
      everywhere if no path is set.
    kind: 'tokenizer' or 'transformer'.
    section: Of the config, which errors name.

  Raises:
    UserError: The checkpoint is missing, damaged, of another kind, or does
      not fit.
  """
  path = init_from.checkpoint_path
  if not path:
    return dict(likes)
  with _naming(section):
    loaded = checkpoint.load(path)
    if loaded.kind != kind:
      raise UserError(f"{loaded.source} holds a {loaded.kind}, not a {kind}.")
    sources = {
      name: loaded.trees.get(name, loaded.trees.get(_STAND_INS.get(name), {}))
      for name in likes
    }
    trees, report = matching.match_trees(
      sources,
      likes,
      init_from.inflation,
      init_from.allow,
      loaded.source,
    )
  counts = ", ".join(f"{n} {k}" for k, n in report.counts().items() if n)
  logging.info(
    "Starting from the %s of %s (step %s, SHA-256 %s): %s leaves.",
    loaded.layout,
    loaded.source,
    "unknown" if loaded.step is None else loaded.step,
    loaded.sha256[:16],
    counts,
  )
  for name in report.kept():
    logging.info("%s keeps its fresh initial values.", name)
  return trees


@contextmanager
def _naming(section: str) -> Iterator[None]:
  try:
    yield
  except UserError as error:
    raise UserError(f"config.{section}: {error}") from error
