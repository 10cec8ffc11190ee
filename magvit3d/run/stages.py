"""What a run is made of: stages, and what they share.

Each stage finds out by itself what is done already. Those that train tokenizer
and transformer are in `training_stages`, those that score them in
`evaluation_stages`; studies have stages of their own, in `magvit3d.studies`.
"""

import abc
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from jax.sharding import Mesh

from magvit3d.checkpoints import identity
from magvit3d.config.run import RunConfig
from magvit3d.monitoring.profiling import StepSpan
from magvit3d.parallel import processes
from magvit3d.run.data import RunData
from magvit3d.run.digit_data import DigitData
from magvit3d.run.networks import RunNetworks
from magvit3d.run.video_data import VideoData


@dataclasses.dataclass(frozen=True)
class Run:
  """What the stages of a run share.

  Attributes:
    config: What shall be done.
    workdir: Holds everything the run makes.
    mesh: Devices.
    data: Opened when it is read.
    stages: Those that were chosen.
    profile: Steps to trace.
    stop_after: Step where a stage stops as if it were interrupted, by stage.
    is_planned: Whether its programs are compiled and never run: tokens are
      zeros, and networks that are not trained yet have any numbers.
  """

  config: RunConfig
  workdir: pathlib.Path
  mesh: Mesh
  data: RunData | VideoData | DigitData
  stages: tuple[str, ...]
  profile: StepSpan | None = None
  stop_after: Mapping[str, int] = dataclasses.field(default_factory=dict)
  is_planned: bool = False

  @property
  def evaluation_folder(self) -> pathlib.Path:
    """Holds scores.json and what the report shows."""
    return self.workdir / "evaluation"

  def check_fits(self) -> None:
    """Raises UserError if the work folder was made by another config."""
    self.data.check_fits()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenRun(Run):
  """A run that trains tokenizer and transformer, or one of them.

  Attributes:
    networks: Built and restored when they are asked for.
  """

  networks: RunNetworks

  def check_fits(self) -> None:
    """Raises UserError if the work folder was made by another config."""
    super().check_fits()
    self.networks.check_fits()


AnyRun = TypeVar("AnyRun", bound=Run)


class Stage(abc.ABC, Generic[AnyRun]):
  """A part of a run, for all of its processes to call.

  Attributes:
    name: As in `config.stages` and stages.json.

  Args:
    run: What it shares with the others.
  """

  name: str

  def __init__(self, run: AnyRun):
    self._run = run

  def check_fits(self) -> None:
    """Tells before any stage runs what cannot go well.

    Raises:
      UserError: What is there was made with another config, or does not fit.
    """

  @abc.abstractmethod
  def is_complete(self) -> bool:
    """Returns whether nothing is left to do, with what there is now."""

  @abc.abstractmethod
  def outputs(self) -> Sequence[pathlib.Path]:
    """Returns files in the work folder without which it is not complete."""

  def key(self) -> str:
    """Returns a hash of what they were made with."""
    return identity.key_of(self._run.config.given)

  @abc.abstractmethod
  def run(self) -> None:
    """Does what is left.

    Raises:
      UserError: Something that the user can mend.
      Interrupted: It was asked to stop.
    """


class DataStage(Stage[Run]):
  """Makes the rendered data set, where the run makes its own."""

  name = "data"

  def is_complete(self) -> bool:
    """Returns whether all shards are there; see `RunData.is_complete`."""
    return self._run.data.is_complete()

  def outputs(self) -> Sequence[pathlib.Path]:
    """Returns the manifest, which names the shards."""
    return self._run.data.outputs()

  def run(self) -> None:
    """Makes what is missing."""
    processes.by_main(self._run.data.generate)
