"""Whether the tokenizer shows the object, before a transformer is trained."""

from collections.abc import Mapping

from absl import logging

from magvit3d.config.run import RunConfig
from magvit3d.errors import UserError


def check(
  scores: Mapping[str, float], num_clips: int, config: RunConfig
) -> None:
  """Stops the run where the tokenizer does not show the object.

  Args:
    scores: Of the tokenizer; see `tokenizer_scores.validation_scores`.
    num_clips: Validation clips that they are of.
    config: With `oracle_gate` and `oracle_gate_db`.

  Raises:
    UserError: The gate is not passed, and not off.
  """
  if "foreground_gain" not in scores:
    logging.warning(
      "Oracle gate passed over: none of %d validation clips has a mask, so "
      "nothing tells whether the tokenizer shows the object. Look at the "
      "reconstructions in the report.",
      num_clips,
    )
    return
  gain, needed = scores["foreground_gain"], config.oracle_gate_db
  found = (
    f"on {num_clips} validation clips the tokenizer's foreground PSNR is "
    f"{gain:.2f} dB above background-only"
  )
  if gain >= needed:
    logging.info("Oracle gate passed: %s (needed: %.2f).", found, needed)
  elif config.oracle_gate:
    raise UserError(
      f"Oracle gate: {found}, but config.oracle_gate_db={needed}: a "
      "transformer would learn tokens that do not show the object. Train "
      "the tokenizer longer, or go on with --config.oracle_gate=False."
    )
  else:
    logging.warning("Oracle gate failed, but is off: %s.", found)
