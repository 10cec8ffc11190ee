"""Ids of the transformer's words: codes, classes and special tokens.

Codes come first, [0, codebook_size); then one id a class; then "no class".
Special tokens are negative and stand at the end of the embedding table.
"""

import dataclasses

MASK = -1
SEPARATOR = -2
PADDING = -15

TASK_TOKENS = {
  "full_generation": -3,
  "frame_prediction": -4,
  "frame_interpolation": -5,
  "outpainting": -6,
  "inpainting": -7,
  # Ours, in rows that upstream leaves free.
  "view_prediction": -8,
  "view_frame_prediction": -9,
}
_NUM_SPECIAL_SINGLE_TASK = 1
_NUM_SPECIAL_MULTI_TASK = 16


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """Layout of the ids.

  Attributes:
    codebook_size: Number of codes, k.
    num_classes: Number of classes; 0 for unlabelled data.
    multi_task: Whether sequences start with a task token.
  """

  codebook_size: int
  num_classes: int
  multi_task: bool

  @property
  def no_class(self) -> int:
    """Id that stands where the class is not given."""
    return self.codebook_size + self.num_classes

  @property
  def size(self) -> int:
    """Rows of the embedding table."""
    special = (
      _NUM_SPECIAL_MULTI_TASK if self.multi_task else _NUM_SPECIAL_SINGLE_TASK
    )
    return self.codebook_size + self.num_classes + 1 + special

  @property
  def prefix_length(self) -> int:
    """Positions before the latents: [task,] class."""
    return 2 if self.multi_task else 1
