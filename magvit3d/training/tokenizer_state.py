"""State of the tokenizer stage."""

import flax.struct
from jaxtyping import PyTree

from magvit3d.training.health import Health


@flax.struct.dataclass
class TokenizerState:
  """Everything a checkpoint needs for a run to resume exactly.

  Its types are loose, because it also holds shapes or shardings of arrays.

  Attributes:
    step: Steps taken, int ().
    g_params: Generator: encoder, quantizer and decoder.
    d_params: Discriminator.
    ema_params: Moving average of `g_params`; evaluation and the transformer
      stage use it.
    g_opt_state: Optimizer of `g_params`.
    d_opt_state: Optimizer of `d_params`.
    code_counts: How often each code was chosen since the last reset, int (k,).
    logit_ema: Moving averages of the mean real and fake logits, for LeCam,
      float (2,).
    health: Steps that were skipped.
  """

  step: PyTree
  g_params: PyTree
  d_params: PyTree
  ema_params: PyTree
  g_opt_state: PyTree
  d_opt_state: PyTree
  code_counts: PyTree
  logit_ema: PyTree
  health: Health
