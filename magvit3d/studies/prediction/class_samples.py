"""What clips of a class are worth, by a classifier of tokens."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from data_gen.records.scene_source import SceneSource
from magvit3d.evaluation.probing import questions
from magvit3d.evaluation.probing.attention import Targets, TrainedProbe
from magvit3d.evaluation.results import Results
from magvit3d.evaluation.tables import Column, Row
from magvit3d.studies.ratios import Ratio

_NUM_CONVOLUTIONS = 2
_REAL, _RANDOM = "floor: real, held out", "codes drawn at random"


class SampleClassifier:
  """Says shape and motion of token grids; fitted on real ones.

  Args:
    codebook: Of the tokens.
    source: Says what the classes are.
    train: `tokens` (n, t, h, w) and `labels` (n,) to fit on.
    validation: The same, to choose on.
    num_steps: Of its training.
    seed: Of its training.
  """

  def __init__(
    self,
    codebook: Float[np.ndarray, "k d"],
    source: SceneSource,
    train: Mapping[str, np.ndarray],
    validation: Mapping[str, np.ndarray],
    num_steps: int,
    seed: int,
  ):
    self._codebook, self._source = codebook, source
    self.names = questions.class_questions(source)
    self._probe = TrainedProbe(
      self._cells(train["tokens"]),
      (1, *train["tokens"].shape[1:]),
      Targets(self._answers(train["labels"]), {}),
      {question: len(answers) for question, answers in self.names.items()},
      validation=(
        self._cells(validation["tokens"]),
        Targets(self._answers(validation["labels"]), {}),
      ),
      num_steps=num_steps,
      seed=seed,
      num_convolutions=_NUM_CONVOLUTIONS,
    )

  def _cells(self, grids) -> Float[np.ndarray, "n m d"]:
    cells = self._codebook[grids].astype(np.float16)
    return cells.reshape(len(grids), -1, cells.shape[-1])

  def _answers(self, labels) -> dict[str, np.ndarray]:
    return questions.class_answers(self._source, labels)

  def right(
    self, grids: Int[np.ndarray, "n t h w"], labels: Int[np.ndarray, " n"]
  ) -> dict[str, np.ndarray]:
    """Returns by question whether each grid is seen as its class, 0 or 1."""
    found, asked = self._probe(self._cells(grids)), self._answers(labels)
    return {
      name: (found[name].argmax(1) == asked[name]).astype(float)
      for name in self.names
    }


def add_table(
  results: Results,
  classifier: SampleClassifier,
  samples: Mapping[str, Int[np.ndarray, "n t h w"]],
  labels: Int[np.ndarray, " n"],
  real: Mapping[str, np.ndarray],
  seed: int,
) -> None:
  """Adds the share of samples that show their class.

  Args:
    results: Where it goes.
    classifier: Of tokens.
    samples: Grids by predictor.
    labels: Classes of all of them.
    real: `tokens` and `labels` of held-out clips.
    seed: Of random codes.
  """
  shape = next(iter(samples.values())).shape
  num_codes = int(max(real["tokens"].max(), 1)) + 1
  codes = np.random.default_rng(seed).integers(num_codes, size=shape)
  asked = [(name, "model", grids, labels) for name, grids in samples.items()]
  asked += [
    (_RANDOM, "baseline", codes.astype(np.int32), labels),
    (_REAL, "floor", real["tokens"], real["labels"]),
  ]
  rows = []
  for name, role, grids, classes in asked:
    right = classifier.right(grids, classes)
    cells = [Ratio.mean(values).cell() for values in right.values()]
    rows.append(Row.of(name, role, [len(grids), *cells]))
  results.add_table(
    "Clips of a class",
    "Drawn from the class alone. Share of right answers of a classifier of "
    "tokens, fitted on real training clips, [95% interval, bootstrap over "
    "clips]; it can say no more of samples than of real clips.",
    [
      Column("n", "", None),
      *(Column(name, "", "higher") for name in classifier.names),
    ],
    rows,
    n=len(labels),
  )
