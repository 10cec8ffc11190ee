"""Checkpoints of a stage: state, place in the data, and what they belong to.

Orbax writes each step into a temporary folder and renames it, so that an
interruption leaves the previous checkpoint as it was. What is read is compared
with checksums; a damaged checkpoint is moved away, and the one before it takes
its place. docs/checkpoints.md says what this means for a run.

With several processes every method is a collective call, on a file system that
all of them see; process 0 alone moves folders.
"""

import json
import pathlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, SupportsFloat

import grain
from absl import logging
from jaxtyping import PyTree

from data_gen.files import failpoints
from magvit3d.checkpoints import damage as damaged_checkpoints
from magvit3d.checkpoints import fit, readback, state_reading
from magvit3d.checkpoints import record as checkpoint_record
from magvit3d.checkpoints.fit import listed
from magvit3d.checkpoints.orbax import ocp
from magvit3d.checkpoints.readback import STATE
from magvit3d.checkpoints.record import DamageError
from magvit3d.checkpoints.retention import CheckpointSettings, check_disk_space
from magvit3d.errors import UserError
from magvit3d.files import work_folder, write_errors
from magvit3d.parallel.processes import by_main, is_main, is_true_anywhere


class Checkpoints:
  """The checkpoints of one stage, by step.

  Args:
    folder: Where they lie; made when the first is saved.
    identity: What a checkpoint must agree with to be restored: sections of
      the config and the like, JSON-serialisable. `{section: {field: value}}`.
    settings: Which are kept.
    record: What else is written down, JSON-serialisable: config, hash of the
      data.
    advice: What to do where the identity differs.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    identity: Mapping[str, Any],
    *,
    settings: CheckpointSettings | None = None,
    record: Mapping[str, Any] | None = None,
    advice: str = "Use the config it was trained with, or another --workdir.",
  ):
    self._folder = folder
    self._advice = advice
    self._identity = json.loads(json.dumps(identity))
    self._settings = settings or CheckpointSettings()
    self._given = dict(record or {})
    self._records: dict[int, dict[str, Any]] = {}  # Of sound ones, by step.
    self._is_metric_missing = False
    self._unread_step: int | None = None  # Saved, and not read back yet.
    work_folder.check_there()  # Orbax would make it anew.
    self._manager = ocp.CheckpointManager(
      folder.absolute(),
      options=ocp.CheckpointManagerOptions(
        max_to_keep=None,  # We delete, once what is newer was read back.
        cleanup_tmp_directories=True,
        lightweight_initialize=True,  # Its metadata may be damaged.
      ),
      item_handlers={
        STATE: ocp.StandardCheckpointHandler(),
        checkpoint_record.ITEM: ocp.JsonCheckpointHandler(),
      },
    )

  # Which there are.

  def latest_step(self) -> int | None:
    """Newest complete checkpoint; None if there is none.

    Those whose record is damaged are moved away, with a warning.

    Raises:
      UserError: It is of another schema, or the only one was damaged.
    """
    num_damaged = 0
    while (step := self._manager.latest_step()) is not None:
      try:
        self._record(step)
        return step
      except DamageError as error:
        self._set_aside(step, str(error))
        num_damaged += 1
    if num_damaged:
      self._fail_without_any()
    return None

  def best_step(self) -> int | None:
    """The best by `settings.best_metric`, the newest of equals; or None."""
    steps = self._manager.all_steps()
    return self._settings.best_of({step: self._metrics(step) for step in steps})

  def _metrics(self, step: int) -> Mapping[str, float]:
    try:
      return self._record(step)["metrics"]
    except DamageError:  # Told when it is to be restored.
      return {}

  def _record(self, step: int) -> dict[str, Any]:
    if step not in self._records:
      self._records[step] = checkpoint_record.read(self._folder / str(step))
    return self._records[step]

  # Saving.

  def check_disk_space(self, like: PyTree) -> None:
    """Raises UserError if the checkpoints to keep do not fit on the disk.

    Args:
      like: State, or its shapes.
    """
    check_disk_space(self._folder, like, self._settings)

  def save(
    self,
    step: int,
    state: PyTree,
    iterator: grain.DatasetIterator,
    metrics: Mapping[str, SupportsFloat] | None = None,
  ) -> None:
    """Saves in the background, unless `step` is saved already.

    `state` is copied before this returns: its arrays may be donated.

    Args:
      step: Steps taken.
      state: Arrays.
      iterator: Its place in the data is saved.
      metrics: Scores of this very state; empty or None without any.

    Raises:
      UserError: The disk is full, or the work folder is gone, or what was saved
        before is not as it was written.
    """
    if step == self._manager.latest_step():
      return
    work_folder.check_there()
    self.wait()
    metrics = metrics or {}
    self._check_metric(metrics)
    record = checkpoint_record.make(
      step,
      state,
      iterator,
      identity=self._identity,
      given=self._given,
      metrics=metrics,
    )
    self._records[step] = record
    with self._naming_full_disks():
      failpoints.reach("save", self._name(step))
      is_saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          **{
            STATE: ocp.args.StandardSave(state),
            checkpoint_record.ITEM: ocp.args.JsonSave(
              checkpoint_record.seal(record)
            ),
          }
        ),
      )
    self._unread_step = step
    if not is_saved:
      raise RuntimeError(f"Orbax did not save step {step} to {self._folder}.")

  def _check_metric(self, metrics: Mapping[str, Any]) -> None:
    name = self._settings.metric_name
    if metrics and name and name not in metrics and not self._is_metric_missing:
      self._is_metric_missing = True
      logging.warning(
        "config.%s=%r names no metric of the validation, so no best checkpoint "
        "is kept. There are: %s.",
        self._settings.field,
        self._settings.best_metric,
        ", ".join(metrics),
      )

  def wait(self) -> None:
    """Waits until everything is written, and deletes what is not kept.

    Raises:
      UserError: The disk is full, or what was saved is not as it was written;
        then it is set aside, and what is older stays.
    """
    step, self._unread_step = self._unread_step, None
    with self._naming_full_disks():
      self._manager.wait_until_finished()
    if step is None:
      return
    failpoints.reach("read back", self._name(step))
    self._read_back(step)
    failpoints.reach("delete", self._name(step))
    self._delete(self._old_steps())

  def delete_left(self) -> None:
    """Deletes what a killed process of this very config had no time to.

    Raises:
      UserError: The newest checkpoint is not as it was written.
    """
    step = self.latest_step()
    config = json.loads(json.dumps(self._given.get("config")))
    if step is None or self._record(step)["given"].get("config") != config:
      return
    old = self._old_steps()
    if old:
      self._read_back(step)
      self._delete(old)

  def _old_steps(self) -> list[int]:
    steps = self._manager.all_steps()
    return self._settings.to_delete({s: self._metrics(s) for s in steps})

  def _delete(self, steps: list[int]) -> None:
    for step in steps:
      self._manager.delete(step)
      self._records.pop(step, None)

  def _name(self, step: int) -> str:
    return f"{self._folder.parent.name}/{step}"

  def _read_back(self, step: int) -> None:
    folder, damage = self._folder / str(step), None
    if is_main():
      damage = readback.find_damage(folder, self._record(step)["leaves"])
    if is_true_anywhere(damage is not None):
      target = self._move_away(step)
      raise UserError(
        f"The checkpoint {folder} is not on the disk as it was written "
        f"({damage}) and was moved to {target}; those before it are kept. Look "
        "whether the disk is sound, then run the same command again."
      )

  def close(self) -> None:
    """Waits until everything is written, and lets go of the folder."""
    try:
      self.wait()
    finally:
      self._manager.close()

  @contextmanager
  def _naming_full_disks(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:
      work_folder.check_there()
      machine_error = write_errors.told_of(error)
      if machine_error is None or isinstance(error, UserError):
        raise
      raise UserError(
        f"{write_errors.WriteError(self._folder, machine_error)} The "
        "checkpoints from before are as they were."
      ) from error

  # Restoring.

  def restore(
    self, like: PyTree, iterator: grain.DatasetIterator | None = None
  ) -> PyTree:
    """Restores the newest sound checkpoint, for training to go on from it.

    Args:
      like: Arrays or `jax.ShapeDtypeStruct`s that say by their `sharding`
        where the result lies; of whatever mesh and devices.
      iterator: Set to its place in the data, if given.

    Raises:
      UserError: The checkpoint does not fit, or all are damaged.
    """
    while (step := self.latest_step()) is not None:
      self.check_identity(like)
      state, damage = self._read_state(step, like)
      if damage is None:
        if iterator is not None:
          iterator.set_state(self._record(step)["iterator"])
        return state
      self._set_aside(step, damage)
    self._fail_without_any()

  def restore_newest(self, like: PyTree) -> PyTree:
    """Restores the newest checkpoint, as the outcome of a stage's training.

    Unlike `restore` it takes no older one in place of one that was damaged,
    now or earlier: that would be another outcome.

    Args:
      like: See `restore`.

    Raises:
      UserError: It does not fit, or was damaged.
    """
    step = self.latest_step()
    if step is not None:
      self.check_identity(like)
      self._check_is_outcome(step)
      state, damage = self._read_state(step, like)
      if damage is None:
        return state
      self._set_aside(step, damage)
      step = self.latest_step()
    if step is None:
      self._fail_without_any()
    self._check_is_outcome(step)

  def _check_is_outcome(self, step: int) -> None:
    aside = damaged_checkpoints.after(self._folder, step)
    if aside is not None:
      stage = self._folder.absolute().parent.name
      raise UserError(
        f"The newest checkpoint of stage {stage} was damaged and set aside as "
        f"{aside}. Run the same command again, with {stage} among its stages, "
        f"to train on from step {step}; or delete {aside} to use step {step} "
        "as it is."
      )

  def _read_state(self, step, like) -> tuple[PyTree | None, str | None]:
    """Returns the state, or what is damaged of it."""
    leaves = self._record(step)["leaves"]
    return state_reading.read(self._folder / str(step), like, leaves)

  def _set_aside(self, step: int, damage: str) -> None:
    target = self._move_away(step)
    if is_main():
      logging.warning(
        "The checkpoint %s is damaged (%s) and was moved to %s. The one before "
        "takes its place.",
        *(self._folder / str(step), damage, target),
      )

  def _move_away(self, step: int) -> pathlib.Path:
    folder = self._folder / str(step)
    target = damaged_checkpoints.destination(folder)
    by_main(lambda: damaged_checkpoints.set_aside(folder, target))
    self._records.pop(step, None)
    self._manager.reload()
    return target

  def _fail_without_any(self) -> None:
    stage = self._folder.absolute().parent
    raise UserError(
      f"{self._folder} has no sound checkpoint left: the last one was damaged "
      f"and set aside in {stage / 'damaged_checkpoints'}. Put a copy of one "
      "back, or run the same command again to train from step 0."
    )

  # What they belong to.

  def check_identity(
    self,
    like: PyTree | None = None,
    sections: Collection[str] | None = None,
  ) -> None:
    """Checks that the newest checkpoint belongs to this config.

    Args:
      like: State, or its shapes, that it must also agree with, if given.
      sections: The only sections of the identity to compare; None for all.

    Raises:
      UserError: It does not; the message names what differs.
    """
    step = self.latest_step()
    found = fit.differences(
      self._record(step), self._identity, like=like, sections=sections
    )
    if found:
      raise UserError(
        f"The checkpoint {self._folder / str(step)} does not fit this config: "
        f"{listed(found, '; ')}. {self._advice}"
      )
