"""The stages that score: of rendered scenes, and of any videos."""

import math
import pathlib
import zipfile
from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import PyTree

from magvit3d.checkpoints import identity
from magvit3d.data.scene_tokens import SceneTokens
from magvit3d.data.token_records import TokenSource
from magvit3d.evaluation import checks, evaluate, video_scores
from magvit3d.evaluation.results import (
  CLIPS_NAME,
  PATHS_NAME,
  SCORES_NAME,
  is_output,
)
from magvit3d.monitoring.stage_progress import StageProgress
from magvit3d.parallel import processes
from magvit3d.run import passport, record
from magvit3d.run.stages import Stage, TokenRun
from magvit3d.run.training_stages import cached_tokens
from magvit3d.tokens.masked_model import TokenModel


class Evaluation(Stage[TokenRun]):
  """Scores the newest checkpoints."""

  name = "evaluate"
  parts: Mapping[str, float] = MappingProxyType({"scores": 1.0})
  version = 1

  def is_complete(self) -> bool:
    """Returns whether there are scores of these networks on these data."""
    folder = self._run.evaluation_folder
    found = record.read_json(
      folder / SCORES_NAME,
      lambda content: None if isinstance(content, dict) else "it is no object",
      sets_aside=processes.is_main(),
    )
    # Earlier versions noted no outputs.
    names = [CLIPS_NAME]
    names += [PATHS_NAME] * ((found or {}).get("why_no_paths") == "")
    if not found or not all(zipfile.is_zipfile(folder / n) for n in names):
      return False
    return found.get("key") == self._key(self._params())

  def outputs(self) -> list[pathlib.Path]:
    """Returns all files that it wrote."""
    folder = self._run.evaluation_folder
    return [path for path in folder.iterdir() if is_output(path.name)]

  def run(self) -> None:
    """Writes `evaluation/`."""
    folder = self._run.evaluation_folder
    with StageProgress(self._run.workdir, self.name, self.parts) as progress:
      self._evaluate(self._params())
      progress.result = checks.warning_of(folder)

  def _params(self) -> dict[str, PyTree]:
    """Parameters by network."""
    networks = self._run.networks
    params = {"tokenizer": networks.tokenizer_params()}
    if "transformer" in self._run.config.trained:
      params["transformer"] = networks.transformer_params(params["tokenizer"])
    return params

  def _key(self, params: dict[str, PyTree]) -> str:
    run = self._run
    return identity.evaluation_key(
      run.config.given,
      run.data.cut(),
      run.data.splits(),
      params["tokenizer"],
      params.get("transformer"),
      self.version,
    )

  def _facts(self, params: dict[str, PyTree]) -> dict:
    trained = {name: params[name] for name in self._run.config.trained}
    return passport.describe(
      trained,
      self._run.data.folder,
      tokens_per_clip=math.prod(self._run.networks.latent_shape),
    )

  def _evaluate(self, params: dict[str, PyTree]) -> None:
    """Scores clips of any videos."""
    run, config = self._run, self._run.config
    settings = config.evaluation
    video_scores.evaluate(
      run.evaluation_folder,
      run.networks.token_model() if "transformer" in params else None,
      params,
      run.data.some_clips(settings.split, settings.num_clips),
      config=config,
      mesh=run.mesh,
      facts={"key": self._key(params), "run": self._facts(params)},
    )


class SceneEvaluation(Evaluation):
  """Scores them on rendered scenes, in metres too."""

  parts = evaluate.PARTS
  version = evaluate.VERSION

  def _evaluate(self, params: dict[str, PyTree]) -> None:
    run, settings = self._run, self._run.config.evaluation
    views = run.networks.num_views(self.name)
    num_views = views if views > 1 else None
    model = run.networks.token_model()
    evaluate.evaluate(
      run.evaluation_folder,
      model,
      params["tokenizer"],
      params["transformer"],
      run.data.held_out_scenes(settings.split, settings.num_clips, num_views),
      settings=settings,
      seed=run.config.seed,
      mesh=run.mesh,
      key=self._key(params),
      run=self._facts(params),
      clips_of=lambda split: run.data.scene_clips(split, num_views),
      training_tokens=lambda: self._training_tokens(model, params["tokenizer"]),
    )

  def _training_tokens(
    self, model: TokenModel, params: PyTree
  ) -> TokenSource | SceneTokens | None:
    """Tokens of all samples to train on; None where none are kept."""
    if not self._run.config.tokenizer_cache:
      return None
    tokens, views = cached_tokens(self._run, model, params), model.num_views
    cameras = self._run.data.num_cameras()
    return SceneTokens(tokens, cameras, views) if views > 1 else tokens
