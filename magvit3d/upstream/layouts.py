"""Where upstream's checkpoints keep their parameters.

Six layouts, told apart by their keys: upstream's tokenizer and transformer,
both as Flax's optimizers of before 2022 kept them ("older") and as now, and
MaskGIT's ImageNet tokenizer (https://arxiv.org/abs/2202.04200), whose file is
the network's variables, or its parameters alone. This project's own
checkpoints have the current keys.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from magvit3d.errors import UserError

TOKENIZER, TRANSFORMER = "tokenizer", "transformer"
KINDS = (TOKENIZER, TRANSFORMER)
_TOKENIZER_PARTS = frozenset({"encoder", "decoder", "quantizer"})
# BERT, and upstream's autoregressive transformer.
_TRANSFORMER_PARTS = frozenset(
  {"BertEmbed_0", "BertMlmLayer_0", "VTNLayer_0", "decoder_out_ln"}
)
_STEPS = (
  ("global_step",),
  ("step",),
  ("optimizer", "state", "step"),
  ("g_optimizer", "state", "step"),
)


@dataclasses.dataclass(frozen=True)
class Layout:
  """What a state dict holds, and where.

  Attributes:
    kind: One of `KINDS`.
    name: For messages.
    trees: Path of each tree of parameters, by this project's name: `g_params`,
      `ema_params`, `d_params` of a tokenizer (not all need be there),
      `params` of a transformer.
    step: Path of the number of steps taken, if it is there.
  """

  kind: str
  name: str
  trees: Mapping[str, tuple[str, ...]]
  step: tuple[str, ...] | None


# (kind, name, key that must be there, trees). The first that fits is taken.
_TABLE = (
  (
    TOKENIZER,
    "older tokenizer",
    "g_optimizer",
    {
      "g_params": ("g_optimizer", "target"),
      "ema_params": ("ema_params",),
      "d_params": ("d_optimizer", "target"),
    },
  ),
  (
    TOKENIZER,
    "tokenizer",
    "ema_params",
    {
      "g_params": ("g_params",),
      "ema_params": ("ema_params",),
      "d_params": ("d_params",),
    },
  ),
  (
    TRANSFORMER,
    "older transformer",
    "optimizer",
    {"params": ("optimizer", "target")},
  ),
  (TRANSFORMER, "transformer", "params", {"params": ("params",)}),
  (TOKENIZER, "tokenizer's variables", "params", {"ema_params": ("params",)}),
  (TOKENIZER, "tokenizer's parameters", "quantizer", {"ema_params": ()}),
  (TRANSFORMER, "transformer's parameters", "BertEmbed_0", {"params": ()}),
)


def find(tree: Mapping[str, Any], where: str) -> Layout:
  """Tells what a state dict holds, by its keys alone.

  Raises:
    UserError: It is none of upstream's layouts; the message names `where`.
  """
  for kind, name, key, paths in _TABLE:
    if key not in tree:
      continue
    trees = {
      ours: found
      for ours, path in paths.items()
      if (found := _unwrapped(tree, path)) is not None
    }
    main = trees.get("params" if kind == TRANSFORMER else "ema_params")
    if main is not None and _kind(_at(tree, main)) == kind:
      step = next(
        (path for path in _STEPS if _at(tree, path) is not None), None
      )
      return Layout(kind, name, trees, step)
  keys = ", ".join(sorted(map(str, tree))[:8]) or "none"
  raise UserError(
    f"{where} is no checkpoint of a tokenizer or transformer: its keys are "
    f"{keys}. Upstream's have g_params and ema_params, or g_optimizer, or "
    "params, or optimizer."
  )


def _kind(tree: Any) -> str | None:
  if not isinstance(tree, Mapping):
    return None
  if _TOKENIZER_PARTS & tree.keys():
    return TOKENIZER
  return TRANSFORMER if _TRANSFORMER_PARTS & tree.keys() else None


def _unwrapped(
  tree: Mapping[str, Any], path: tuple[str, ...]
) -> tuple[str, ...] | None:
  """The path to a tree of parameters, past a lone key "params"."""
  found = _at(tree, path)
  if not isinstance(found, Mapping):
    return None
  is_wrapped = path and set(found) == {"params"}
  return (*path, "params") if is_wrapped else path


def _at(tree: Any, path: tuple[str, ...]) -> Any:
  for key in path:
    tree = tree.get(key) if isinstance(tree, Mapping) else None
  return tree
