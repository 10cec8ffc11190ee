"""Tokens of a data set as records for other trainers, checked by decoding.

A folder has one folder a split, with the records of `data.token_records`, and
`dataset.json`, which is there once all splits are:

  splits           clips and result of the check, by split
  tokenizer        SHA-256 of its parameters
  codebook_size, latent_shape, clip_shape, frame_stride
  class_names      of the data set, by `label` of a record
  tasks            what `cond_tokens` of a record are of, in order
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
from absl import logging

from data_gen.errors import DataError
from data_gen.files import folder_lock, json_files
from data_gen.records.scene_source import read_manifest
from magvit3d.api import Magvit
from magvit3d.checkpoints import identity
from magvit3d.data import token_records
from magvit3d.data.clips import ClipSource, load_clips, spread_indices
from magvit3d.data.token_records import TokenSource
from magvit3d.errors import UserError
from magvit3d.evaluation import image_metrics, tokenizer_scores
from magvit3d.evaluation.transformer_scores import make_tokenize
from magvit3d.exports import real_clips
from magvit3d.files import write_errors
from magvit3d.parallel import sharding
from magvit3d.run import record, token_cache

_NUM_CHECKED = 32  # Clips of a split.
# Other programs of the same network may decide ties in another way.
_LEAST_EQUAL = 0.99
SUMMARY_NAME = "dataset.json"


@dataclasses.dataclass(frozen=True)
class Check:
  """What came of reading tokens back, for some clips of a split.

  Attributes:
    num_clips: Clips that were looked at.
    equal_share: Of their tokens, equal to those made anew of the same clips.
    scores: PSNR and others against the real clips, by what is compared.
  """

  num_clips: int
  equal_share: float
  scores: dict[str, dict[str, float | None]]

  def lines(self) -> list[str]:
    """Returns what is printed."""
    lines = [
      f"  {self.num_clips} clips read back: {100 * self.equal_share:.2f}% of "
      "the tokens are those made anew"
    ]
    for name, scores in self.scores.items():
      foreground = scores["foreground_psnr"]
      of_object = "" if foreground is None else f", object {foreground:.2f} dB"
      lines.append(f"  {name:<26} PSNR {scores['psnr']:.2f} dB{of_object}")
    return lines


def export(
  magvit: Magvit,
  data: pathlib.Path,
  output: pathlib.Path,
  splits: Sequence[str] = (),
) -> dict[str, Check]:
  """Tokenizes a data set; goes on where an interrupted call stopped.

  Args:
    magvit: Its tokenizer, and its tasks' conditions.
    data: Data set.
    output: Folder to write, or to go on with.
    splits: Their names; none: all.

  Returns:
    Results of the checks, by split.

  Raises:
    UserError: Something does not fit, or the disk is full.
    DataError: Clips or tokens are damaged.
  """
  manifest = read_manifest(data)
  unknown = sorted(set(splits) - set(manifest["splits"]))
  if unknown:
    raise UserError(
      f"--splits: {data} has no {', '.join(unknown)}; it has "
      f"{', '.join(manifest['splits'])}."
    )
  chosen = splits or [
    name for name, split in manifest["splits"].items() if split["num_scenes"]
  ]
  sources = {
    name: real_clips.open_clips(data, name, magvit.trained) for name in chosen
  }
  empty = [name for name, source in sources.items() if not len(source)]
  if empty:
    raise UserError(
      f"--splits: {data} has no clips in {', '.join(empty)}. Leave it out."
    )
  keys = {name: _key(magvit, manifest["splits"][name]) for name in chosen}
  facts = _facts(magvit, tuple(manifest["class_names"]))
  with _owned(output):
    _check_output(output, keys, facts)
    checks = {}
    for name, source in sources.items():
      tokens = _tokenize(magvit, source, output / name, keys[name])
      checks[name] = _check(magvit, source, tokens)
      if checks[name].equal_share < _LEAST_EQUAL:
        raise DataError(
          f"The tokens in {output / name} are not those of the clips: only "
          f"{100 * checks[name].equal_share:.2f}% agree with tokens made anew. "
          "Delete the folder and run the same command again."
        )
    _write_summary(output, facts, sources, checks)
  return checks


@contextlib.contextmanager
def _owned(output: pathlib.Path) -> Iterator[None]:
  """Makes the folder, this process's own meanwhile."""
  if output.exists() and not output.is_dir():
    raise UserError(f"--output={output} is a file; name a folder.")
  with contextlib.ExitStack() as stack:
    try:
      output.mkdir(parents=True, exist_ok=True)
      lock = folder_lock.held(output / folder_lock.LOCK_NAME, logging.info)
      stack.enter_context(lock)
    except folder_lock.InUseError as error:
      raise UserError(
        f"--output={output} is in use by {error.owner or 'another process'}. "
        "Wait until it has ended, or name another folder."
      ) from error
    except OSError as error:
      raise write_errors.WriteError(output, error) from error
    yield


def _key(magvit: Magvit, split: dict[str, Any]) -> str:
  trained = magvit.trained
  cut = {"frames": trained.num_frames, "stride": trained.frame_stride}
  return identity.token_key(
    trained.config.given, cut, {"train": split}, trained.tokenizer_params
  )


def _facts(magvit: Magvit, class_names: Sequence[str]) -> dict[str, Any]:
  """What dataset.json says of all splits alike."""
  trained = magvit.trained
  return {
    "tokenizer": identity.fingerprint(trained.tokenizer_params),
    "codebook_size": magvit.codebook_size,
    "latent_shape": list(magvit.latent_shape),
    "clip_shape": list(magvit.clip_shape),
    "frame_stride": trained.frame_stride,
    "class_names": list(class_names),
    "tasks": [task.name for task in trained.model.tasks],
  }


def _check_output(
  output: pathlib.Path, keys: dict[str, str], facts: dict[str, Any]
) -> None:
  """Raises UserError where tokens of something else would be lost, or named."""
  for name, key in keys.items():
    folder = output / name
    if not folder.exists() or not any(folder.iterdir()):
      continue
    found = token_records.read_manifest(
      folder / token_records.MANIFEST_NAME
    ) or token_records.read_manifest(folder / token_cache.PARTIAL_NAME)
    if found.get("key") != key:
      raise UserError(
        f"{folder} holds something else than these tokens, such as those of "
        "another tokenizer or data set. Name another --output, or delete it."
      )
  summary = _read_summary(output / SUMMARY_NAME)
  others = summary.get("splits", {}).keys() - keys.keys()
  differing = [name for name in facts if summary.get(name) != facts[name]]
  if others and differing:
    raise UserError(
      f"{output / SUMMARY_NAME} would no longer be true of "
      f"{', '.join(sorted(others))}: {', '.join(differing)} would be another. "
      "Name another --output, or delete the folder."
    )


def _tokenize(
  magvit: Magvit, source: ClipSource, folder: pathlib.Path, key: str
) -> TokenSource:
  try:
    return token_cache.load_or_make(
      folder,
      source,
      magvit.trained.model,
      magvit.trained.tokenizer_params,
      key=key,
      batch_size=magvit.networks.batch_size,
      mesh=sharding.make_mesh(),
    )
  except UserError as error:
    if not isinstance(error.__cause__, OSError):
      raise
    raise UserError(
      f"{folder} cannot be written ({error.__cause__}). Free some space and "
      "run the same command again: it continues."
    ) from error


def _check(magvit: Magvit, source: ClipSource, tokens: TokenSource) -> Check:
  """Decodes some of the tokens that were written."""
  indices = spread_indices(source, _NUM_CHECKED)
  clips = load_clips(source, indices)
  tokenize = make_tokenize(
    magvit.trained.model, magvit.networks.batch_size, sharding.make_mesh()
  )
  anew = tokenize(magvit.trained.tokenizer_params, clips).tokens
  read = np.stack([tokens[index]["tokens"] for index in indices])
  real = clips["frames"].astype(np.float32) / 255
  shown = {
    "tokens read back": magvit.networks.decode(read),
    "tokenizer's reconstruction": magvit.networks.decode(anew),
    "background only": image_metrics.background_only(
      clips["background"], real.shape
    ),
  }
  scores = {
    name: tokenizer_scores.image_scores(video, real, clips["masks"])
    for name, video in shown.items()
  }
  return Check(len(indices), float(np.mean(read == anew)), scores)


def _write_summary(
  output: pathlib.Path,
  facts: dict[str, Any],
  sources: dict[str, ClipSource],
  checks: dict[str, Check],
) -> None:
  splits = _read_summary(output / SUMMARY_NAME).get("splits", {})
  splits |= {
    name: {"num_clips": len(source), "check": dataclasses.asdict(checks[name])}
    for name, source in sources.items()
  }
  record.write_json(output / SUMMARY_NAME, {"splits": splits, **facts})


class _Summary(TypedDict):
  """What must be in an earlier dataset.json."""

  splits: dict[str, Any]


def _read_summary(path: pathlib.Path) -> dict[str, Any]:
  """An earlier summary; nothing if it cannot be read."""
  try:
    return json_files.read(path, _Summary)
  except (OSError, json_files.JsonError):
    return {}
