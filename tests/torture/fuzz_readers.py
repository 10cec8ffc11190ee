"""The readers of outside files, each with sound files to begin with."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from data_gen.errors import DataError
from tests.torture.readers import (
  arrays,
  data_sets,
  documents,
  networks,
  pictures,
  runs,
)


@dataclasses.dataclass(frozen=True)
class Reader:
  """One way in.

  Attributes:
    name: For people and corpus files.
    prepare: Puts sound files into a folder; returns the inputs to change.
    read: Reads an input in that folder, as a program would.
    errors: That are right.
    is_checked: Whether checksums leave no other value to accept.
    is_json: Whether inputs are JSON.
    seal: Makes checksums of an input right again.
  """

  name: str
  prepare: Callable[[pathlib.Path], list[bytes]]
  read: Callable[[pathlib.Path, bytes], Any]
  errors: tuple[type[Exception], ...] = ()
  is_checked: bool = False
  is_json: bool = False
  seal: Callable[[bytes], bytes] = lambda data: data


class Opened:
  """A reader with its folder.

  Attributes:
    samples: Sound inputs.
    sound: What they are read as, if nothing else may be.
  """

  def __init__(self, reader: Reader, folder: pathlib.Path):
    self.reader, self._folder = reader, folder
    folder.mkdir(parents=True, exist_ok=True)
    self.samples = reader.prepare(folder)
    values = [self.read(sample) for sample in self.samples]
    self.sound = values if reader.is_checked else None

  def read(self, data: bytes) -> Any:
    """Reads an input."""
    return self.reader.read(self._folder, data)


def open_reader(name: str, folder: pathlib.Path) -> Opened:
  """Prepares a reader in a folder."""
  return Opened(_READERS[name], folder)


def equal(found: Any, expected: Any) -> bool:
  """Whether values agree, to the bit."""
  if isinstance(expected, dict):
    return (
      isinstance(found, dict)
      and found.keys() == expected.keys()
      and all(equal(found[key], expected[key]) for key in expected)
    )
  if isinstance(expected, list | tuple):
    return len(found) == len(expected) and all(
      equal(a, b) for a, b in zip(found, expected, strict=True)
    )
  if isinstance(expected, np.ndarray):
    found = np.asarray(found)
    return (found.shape, found.dtype) == (expected.shape, expected.dtype) and (
      found.tobytes() == expected.tobytes()
    )
  return found == expected


def _make() -> dict[str, Reader]:
  from magvit3d.checkpoints.record import DamageError
  from magvit3d.errors import UserError

  errors, user = (DataError,), (UserError, DataError)
  made = [
    Reader(
      "json",
      documents.prepare_json,
      documents.read_json,
      (ValueError,),
      is_json=True,
    ),
    Reader(
      "example", data_sets.prepare_record, data_sets.read_example, (ValueError,)
    ),
    Reader("record", data_sets.prepare_record, data_sets.read_record, errors),
    Reader(
      "record values",
      data_sets.prepare_values,
      data_sets.read_values,
      errors,
      is_json=True,
    ),
    Reader(
      "shard",
      data_sets.prepare_data(data_sets.SHARD),
      data_sets.read_data(data_sets.SHARD),
      errors,
      True,
    ),
    Reader(
      "shard index",
      data_sets.prepare_data(f"{data_sets.SHARD}.index"),
      data_sets.read_data(f"{data_sets.SHARD}.index"),
      errors,
      True,
    ),
    Reader(
      "shard verified",
      data_sets.prepare_data(data_sets.SHARD),
      data_sets.read_verify(data_sets.SHARD),
      errors,
      True,
    ),
    Reader(
      "array record",
      data_sets.prepare_data(
        "traj3d-train.array_record-00000-of-00001", "array_record"
      ),
      data_sets.read_data("traj3d-train.array_record-00000-of-00001"),
      errors,
      True,
    ),
    Reader(
      "npz verified",
      data_sets.prepare_data("traj3d-train-00000-of-00001.npz", "npz"),
      data_sets.read_verify("traj3d-train-00000-of-00001.npz"),
      errors,
      True,
    ),
    Reader(
      "manifest",
      data_sets.prepare_data("manifest.json"),
      data_sets.read_manifest,
      errors,
      is_json=True,
    ),
    Reader(
      "calibration",
      lambda folder: [documents.prepare_calibration(folder)],
      documents.read_calibration,
      errors,
      is_json=True,
    ),
    Reader("track", documents.prepare_track, documents.read_track, errors),
    Reader("picture", pictures.prepare_pictures, pictures.read_picture, errors),
    Reader("png", pictures.prepare_png, pictures.read_png, (ValueError,)),
    Reader(
      "gif",
      lambda folder: [
        pictures.prepare_animation("GIF"),
        pictures.prepare_animation("GIF", 2, loop=0),
      ],
      pictures.read_animation(".gif"),
      errors,
    ),
    Reader(
      "webp",
      lambda folder: [
        pictures.prepare_animation("WEBP"),
        pictures.prepare_animation("WEBP", lossless=True),
      ],
      pictures.read_animation(".webp"),
      errors,
    ),
    *(
      Reader(
        f"video {name}",
        pictures.prepare_video(name),
        pictures.read_video(name),
        errors,
      )
      for name in ("h264.mp4", "mpeg4.avi", "vp9.webm", "h264.mkv", "mpeg4.mov")
    ),
    Reader("npz", arrays.prepare_npz, arrays.read_npz, (ValueError, OSError)),
    Reader("weights", arrays.prepare_weights, arrays.read_weights, user),
    Reader(
      "scene videos",
      arrays.prepare_scene_videos,
      arrays.read_scene_videos,
      user,
    ),
    *(
      Reader(
        f"report {name.replace('/', ' ')}",
        runs.prepare_report(name),
        runs.read_report(name),
        is_json=name.endswith(".json"),
      )
      for name in (
        "config.json",
        "stages.json",
        "evaluation/scores.json",
        "evaluation/clips.npz",
        "evaluation/paths.npz",
      )
    ),
    *(
      Reader(
        f"compare {name.replace('/', ' ')}",
        runs.prepare_compared(name),
        runs.read_compared(name),
        user,
        is_json=True,
      )
      for name in (
        "config.json",
        "stages.json",
        "evaluation/scores.json",
        "data/manifest.json",
      )
    ),
    Reader(
      "old scores", runs.prepare_old_scores, runs.read_old_scores, is_json=True
    ),
    *(
      Reader(
        name, runs.prepare_status(name), runs.read_status(name), is_json=True
      )
      for name in ("status.json", "stages.json")
    ),
    Reader("metrics", runs.prepare_metrics, runs.read_metrics),
    Reader(
      "run config",
      runs.prepare_run_config,
      runs.read_run_config,
      user,
      is_json=True,
    ),
    Reader(
      "checkpoint record",
      runs.prepare_record_of_checkpoint,
      runs.read_record_of_checkpoint,
      (UserError, DamageError),
      True,
      True,
    ),
    Reader(
      "checkpoint record sealed",
      runs.prepare_record_of_checkpoint,
      runs.read_record_of_checkpoint,
      (UserError, DamageError),
      is_json=True,
      seal=runs.seal_record,
    ),
    Reader(
      "pretrained config",
      networks.prepare_pretrained("config"),
      networks.read_pretrained("config"),
      user,
      is_json=True,
      seal=networks.seal_pretrained,
    ),
    Reader(
      "pretrained weights",
      networks.prepare_pretrained("weights"),
      networks.read_pretrained("weights"),
      user,
      True,
    ),
    Reader("msgpack", networks.prepare_msgpack, networks.read_msgpack, user),
    *(
      Reader(
        f"orbax {name}",
        networks.prepare_orbax(name),
        networks.read_orbax,
        user,
        is_json=True,
      )
      for name in ("_METADATA", ".zarray")
    ),
    Reader(
      "tfds info",
      networks.prepare_tfds,
      networks.read_tfds,
      errors,
      is_json=True,
    ),
    Reader(
      "tfds record",
      networks.prepare_tfds_record,
      networks.read_tfds_record,
      errors,
    ),
    Reader(
      "tokens",
      networks.prepare_tokens,
      networks.read_tokens,
      errors,
      is_json=True,
    ),
  ]
  return {reader.name.replace(" ", "-"): reader for reader in made}


_READERS = {
  name: dataclasses.replace(reader, name=name)
  for name, reader in _make().items()
}
NAMES = tuple(_READERS)
