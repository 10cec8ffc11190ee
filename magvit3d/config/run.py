"""The config of a run, typed: made once of what `--config` names."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from magvit3d.config import upstream
from magvit3d.config.data import InputConfig, SceneDataConfig, VideoDataConfig
from magvit3d.config.evaluation import EvaluationConfig
from magvit3d.config.networks import (
  AutoregressiveTransformerConfig,
  DiscriminatorConfig,
  TokenizerConfig,
  TransformerConfig,
)
from magvit3d.config.prediction import PredictionConfig
from magvit3d.config.reading import UserPath, read
from magvit3d.config.studies import (
  ExtractorsConfig,
  PersistenceConfig,
  StudyConfig,
  SurpriseConfig,
)
from magvit3d.config.tasks import (
  AutoregressiveModelConfig,
  MaskedModelConfig,
  TaskConfig,
)
from magvit3d.config.training import (
  InitialParametersConfig,
  NetworkTrainingConfig,
  TokenizerLossConfig,
  TokenizerTrainingConfig,
  TransformerTrainingConfig,
)
from magvit3d.config.world_model import DigitsConfig, WorldModelConfig
from magvit3d.errors import UserError, as_user_errors

MAX_SEED = 2**32 - 1  # As readers of data and keys of JAX take them.

STAGES = ("data", "tokenizer", "transformer", "evaluate", "report")
# Sections that make a run a study, of which it has one.
STUDIES = (
  "extractors",
  "surprise",
  "persistence",
  "prediction",
  "world_model",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
  """`config.mesh`; see docs/parallelism.md. -1 is what the others leave."""

  data: int = -1
  fsdp: int = 1
  tensor: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointsConfig:
  """`config.checkpoints`.

  Attributes:
    num_to_keep: Newest checkpoints that each stage keeps.
  """

  num_to_keep: int = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
  """`config.monitoring`: how a run is watched.

  Attributes:
    stall_after_s: Seconds without a step after which a run counts as stalled,
      see `heartbeat`.
    wandb_project: Project of Weights & Biases; None: do without.
    peak_flops_per_second: Of one device; None: from the table.
  """

  stall_after_s: float = 300.0
  wandb_project: str | None = None
  peak_flops_per_second: float | None = None

  def __post_init__(self):
    for name in ("stall_after_s", "peak_flops_per_second"):
      value = getattr(self, name)
      if value is not None and not value > 0:
        raise UserError(f"config.monitoring.{name}={value} must be above 0.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sections:
  """The fields of `configs/traj3d.py`; sections that a run lacks are None.

  Attributes:
    experiment_name: Of the work folder runs/NAME, where --workdir is not given.
    seed: Of initial values, order of the data, masks and samples. The data set
      has one of its own.
    dtype: In which the networks compute; see docs/precision.md.
    matmul_precision: Of products of float32; None is JAX's own.
    compilation_cache_dir: Folder of compiled programs; None is
      `compiled_programs` beside the work folder.
    stages: Which to run, of these, with commas.
    max_skipped_steps: Steps with losses that are not finite are skipped; past
      so many the run fails.
    tokenizer_cache: Training clips are tokenized once; False: in every step.
    num_reading_threads: In each process.
    num_reading_workers: Processes that read; 0: threads of this one.
    oracle_gate: The tokenizer must show the object before the transformer
      trains on it.
    oracle_gate_db: Foreground PSNR above background only that this takes, dB.
    eval_only: Scores the newest checkpoint, and trains nothing.
    pretrained: Of a study: the frozen tokenizer. A model that comes with the
      package, a run, or what `save_pretrained` wrote. None: the run trains one,
      as `vqvae` and `train_tokenizer` say.

  Raises:
    UserError: A value cannot be.
  """

  experiment_name: str = ""
  seed: int = 0
  dtype: Literal["float32", "bfloat16"] = "float32"
  matmul_precision: str | None = None
  compilation_cache_dir: UserPath | None = None
  stages: str = ",".join(STAGES)
  max_skipped_steps: int = 10
  tokenizer_cache: bool = True
  num_reading_threads: int = 4
  num_reading_workers: int = 0
  oracle_gate: bool = True
  oracle_gate_db: float = 3.0
  mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
  data: SceneDataConfig | None = None
  videos: VideoDataConfig | None = None
  input: InputConfig = dataclasses.field(default_factory=InputConfig)
  checkpoints: CheckpointsConfig = dataclasses.field(
    default_factory=CheckpointsConfig
  )
  vqvae: TokenizerConfig | None = None
  discriminator: DiscriminatorConfig | None = None
  vqgan: TokenizerLossConfig | None = None
  train_tokenizer: TokenizerTrainingConfig | None = None
  init_from: InitialParametersConfig = dataclasses.field(
    default_factory=InitialParametersConfig
  )
  tokenizer: InitialParametersConfig | None = None
  transformer: TransformerConfig | AutoregressiveTransformerConfig | None = None
  tasks: dict[str, TaskConfig | None] | None = None
  maskgvt: MaskedModelConfig | None = None
  lmgvt: AutoregressiveModelConfig | None = None
  train_transformer: TransformerTrainingConfig | None = None
  monitoring: MonitoringConfig = dataclasses.field(
    default_factory=MonitoringConfig
  )
  evaluation: EvaluationConfig | None = None
  eval_only: bool = False
  pretrained: UserPath | None = None
  extractors: ExtractorsConfig | None = None
  train_extractors: NetworkTrainingConfig | None = None
  surprise: SurpriseConfig | None = None
  persistence: PersistenceConfig | None = None
  train_persistence: NetworkTrainingConfig | None = None
  digits: DigitsConfig | None = None
  world_model: WorldModelConfig | None = None
  train_world_model: NetworkTrainingConfig | None = None
  prediction: PredictionConfig | None = None
  train_prediction: NetworkTrainingConfig | None = None

  def __post_init__(self):
    self._check_study()
    self.chosen_stages  # noqa: B018 - It tells of names that are none.
    if not 0 <= self.seed <= MAX_SEED:
      raise UserError(
        f"config.seed={self.seed} (rng_seed in MAGVIT's configs) must be from "
        f"0 to {MAX_SEED}."
      )
    if self.max_skipped_steps < 0:
      raise UserError(
        f"config.max_skipped_steps={self.max_skipped_steps} must be 0 or more; "
        "0 fails at the first step that is not finite."
      )
    for field in ("num_reading_threads", "num_reading_workers"):
      if getattr(self, field) < 0:
        raise UserError(
          f"config.{field}={getattr(self, field)} must be 0 or more; 0 is for "
          "none besides the main one."
        )
    for section in ("tokenizer", "transformer", *STUDIES):
      if self.training(section):
        self.training(section).check(f"train_{section}")
    self._check_split(self.study or "evaluation")
    self._check_sampling()
    if self.world_model:
      self._check_actions(self.world_model)

  def _check_sampling(self) -> None:
    """Raises UserError for numbers that sampling, late, would meet."""
    found = {}
    for name in ("maskgvt", "lmgvt"):
      if section := getattr(self, name):
        found[f"{name}.sampling"] = section.sampling
    if self.maskgvt:
      for name, task in (self.tasks or {}).items():
        if task and task.sampling:
          changed = self.maskgvt.sampling.with_changes(task.sampling)
          found[f"tasks.{name}.sampling"] = changed
    if self.prediction:
      for name in ("masked_sampling", "class_sampling"):
        found[f"prediction.{name}"] = getattr(self.prediction, name)
    num_tokens = self.vqvae.codebook_size if self.vqvae else None
    for section, sampling in found.items():
      sampling.check(section, num_tokens)

  def _check_actions(self, model: WorldModelConfig) -> None:
    """Raises UserError if the clips are not those of the actions."""
    if self.digits and self.data:
      raise UserError(
        "config has the sections digits and data; a world model learns from "
        f"one, and config.world_model.action={model.action!r} is of "
        f"{model.data_section}."
      )
    model.check_fits(getattr(self, model.data_section))

  def _check_split(self, section: str) -> None:
    """Raises UserError if the scenes to score on are not made."""
    scored = getattr(self, section)
    if not scored or not self.data or self.data.data_dir:
      return
    if not getattr(self.data, f"num_{scored.split}", 0):
      raise UserError(
        f"config.{section}.split={scored.split!r}, but "
        f"config.data.num_{scored.split}=0 makes no such scenes. Ask for some, "
        "or score on another split."
      )

  def _check_study(self) -> None:
    found = [name for name in STUDIES if getattr(self, name) is not None]
    if len(found) > 1:
      raise UserError(
        f"config has the sections {' and '.join(found)}; a run is one study."
      )
    for name in found:
      training = [f"train_{name}"] if self.study_config.known_networks else []
      for section in (self.study_config.data_section, *training):
        if getattr(self, section) is None:
          raise UserError(f"config.{section} is missing; {name} needs it.")
      if training:
        self._check_validation(training[0])

  def _check_validation(self, section: str) -> None:
    """Raises UserError if a study has no clips to watch its training on."""
    fields = {f"{section}.num_validation_clips": getattr(self, section)}
    if self.data and not self.data.data_dir:
      fields["data.num_validation"] = self.data
    for field, config in fields.items():
      value = getattr(config, field.rpartition(".")[2])
      if value < 1:
        raise UserError(
          f"config.{field}={value} leaves nothing to watch the training on; "
          "use 1 or more."
        )

  @property
  def study(self) -> str | None:
    """The one of `STUDIES` that the run is; None: it is none."""
    found = (name for name in STUDIES if getattr(self, name) is not None)
    return next(found, None)

  @property
  def study_config(self) -> StudyConfig:
    """The section of the study that the run is."""
    return getattr(self, self.study or "")

  @property
  def all_stages(self) -> tuple[str, ...]:
    """The stages that such a run may have, chosen or not."""
    own = ("data",) if self.videos is None else ()
    return (*own, *self.trained, "evaluate", "report")

  @property
  def trained(self) -> tuple[str, ...]:
    """The networks that the run trains, or has trained."""
    if self.study:
      return (*self._own_tokenizer, *self.study_config.networks)
    sections = (self.train_tokenizer, self.train_transformer)
    names = ("tokenizer", "transformer")
    return tuple(
      name
      for name, section in zip(names, sections, strict=True)
      if section is not None
    )

  @property
  def _own_tokenizer(self) -> tuple[str, ...]:
    """The stage of a study that trains its tokenizer, if any."""
    return ("tokenizer",) if self.train_tokenizer else ()

  @property
  def chosen_stages(self) -> tuple[str, ...]:
    """The stages that `stages` names, in their order.

    Raises:
      UserError: One of them is none.
    """
    known = STAGES
    if self.study:
      networks = (*self._own_tokenizer, *self.study_config.known_networks)
      known = ("data", *networks, "evaluate", "report")
    names = [name.strip() for name in self.stages.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    left_out = set(known) - set(self.all_stages) if self.study else set()
    chosen = tuple(n for n in known if n in names and n not in left_out)
    if unknown or not chosen:
      raise UserError(
        f"--config.stages={self.stages!r}: {', '.join(unknown) or 'nothing'} "
        f"is no stage; the stages are {','.join(known)}."
      )
    return chosen

  def training(self, network: str) -> Any:
    """Returns how 'tokenizer', 'transformer' or a study is trained, if any."""
    return getattr(self, f"train_{network}", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(Sections):
  """A run: what networks, on what data, trained and scored how.

  One of MAGVIT's own configs is the same with fewer sections.

  Attributes:
    document: The config as the user wrote it, for config.json.
    given: The sections in the words of JSON, by which checkpoints are told
      apart.
    names: Of fields that have another name in the user's config.
  """

  document: Mapping[str, Any]
  given: Mapping[str, Any]
  names: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @classmethod
  def from_dict(cls, document: Mapping[str, Any]) -> "RunConfig":
    """Reads a whole config, or the sections that some networks need.

    Args:
      document: As in `configs/traj3d.py`, or one of MAGVIT's, which have a
        `model_class`.

    Raises:
      UserError: A field is unknown, missing, of another type, or wrong.
    """
    given, names = copy.deepcopy(dict(document)), {}
    with as_user_errors(ValueError):
      if upstream.is_upstream(given):
        given, names = upstream.to_sections(given), upstream.NAMES
      return cls(
        **vars(read(Sections, given, "config")),
        document=document,
        given=given,
        names=names,
      )

  def name(self, field: str) -> str:
    """Returns what the user's config calls a field."""
    return self.names.get(field, field)
