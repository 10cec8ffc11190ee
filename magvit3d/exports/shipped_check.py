"""Scores of a shipped model that its card holds, and a test computes again.

They are those of `NUM_SCENES` scenes, rendered by the options of the model's
own data with a seed that is fixed. Scenes and baselines are the same everywhere
but for the last bits. What networks make is not: another CPU adds in another
order, and where two codes, or two draws, are a hair apart, it takes the other.
"""

import pathlib
import tempfile

import numpy as np

from magvit3d.api import Magvit
from magvit3d.evaluation.metres.baselines import COPY_LAST
from magvit3d.evaluation.metres.scene_scores import CONSTANT_VELOCITY
from magvit3d.evaluation.metres.tally import RECONSTRUCTIONS, SceneTally
from magvit3d.exports import fresh_scenes, scene_predictions
from magvit3d.exports.scene_predictions import PREDICTED

NUM_SCENES = 24
SEED = 24
BATCH_SIZE = 12
# Name of the clips and of the metric, by the name in the card.
SCORES = {
  "predicted_ade_m": (PREDICTED, "ade"),
  "predicted_foreground_psnr_db": (PREDICTED, "foreground_psnr"),
  "tokenizer_ade_m": (RECONSTRUCTIONS, "ade"),
  "tokenizer_foreground_psnr_db": (RECONSTRUCTIONS, "foreground_psnr"),
  "copy_last_ade_m": (COPY_LAST, "ade"),
  "constant_velocity_ade_m": (CONSTANT_VELOCITY, "ade"),
}
# Of the mean over the scenes. Parameters that were changed by a millionth, more
# than what other sums do, moved them by less than 1e-6 m and 2e-5 dB; these
# leave room for some cells whose codes are equally near. Baselines have no
# network: a pixel that the renderer rounds may differ by one level.
_FIXED_TOLERANCES = {
  "tokenizer_ade_m": 2e-4,
  "tokenizer_foreground_psnr_db": 0.01,
  "copy_last_ade_m": 1e-4,
  "constant_velocity_ade_m": 1e-5,
}
# The same change left all draws as they were: predictions moved by 3e-6 m. If
# one comes out otherwise, its scene's prediction is another one from there on.
# So many scenes may change, and their sum may be so many standard deviations
# off. How far two predictions of a scene are apart is measured: by other draws,
# and by parameters before they were rounded to float16, as a model whose
# temperature is 0 draws nothing.
_CHANGED_SCENES = 2
_DEVIATIONS = 4


def measure(magvit: Magvit) -> dict[str, float]:
  """Returns the scores by name.

  Args:
    magvit: Networks, with `BATCH_SIZE`.

  Raises:
    UserError: The model's data cannot be rendered, or it predicts no frames.
  """
  (tally,) = _tallies((magvit, SEED))
  return _means(tally)


def measure_with_tolerances(
  magvit: Magvit, original: Magvit
) -> tuple[dict[str, float], dict[str, float]]:
  """Returns the scores, and how far off another machine's may be.

  Args:
    magvit: Networks, with `BATCH_SIZE`.
    original: The same before their parameters were rounded to float16.
  """
  tally, *others = _tallies(
    (magvit, SEED), (magvit, SEED + 1), (original, SEED)
  )
  tolerances = dict(_FIXED_TOLERANCES)
  for name, (clips, metric) in SCORES.items():
    if clips == PREDICTED:
      values = tally.values(clips, metric)
      distance = max(
        float(np.sqrt(np.mean((values - other.values(clips, metric)) ** 2)))
        for other in others
      )
      spread = np.sqrt(_CHANGED_SCENES) * distance
      decoded = tolerances[name.replace(PREDICTED, "tokenizer")]
      tolerances[name] = float(_DEVIATIONS * spread / NUM_SCENES + decoded)
  return _means(tally), {name: tolerances[name] for name in SCORES}


def _tallies(*models: tuple[Magvit, int]) -> list[SceneTally]:
  """Scores of the same scenes, for models and seeds of their draws."""
  with tempfile.TemporaryDirectory(prefix="magvit3d_check_") as folder:
    held_out = fresh_scenes.render(
      models[0][0].trained,
      pathlib.Path(folder) / "scenes",
      NUM_SCENES,
      SEED,
    )
    return [
      scene_predictions.predict(magvit, held_out, seed).score()
      for magvit, seed in models
    ]


def _means(tally: SceneTally) -> dict[str, float]:
  return {
    name: float(np.mean(tally.values(*place))) for name, place in SCORES.items()
  }
