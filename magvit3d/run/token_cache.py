"""Tokens of the training split, made once by the frozen tokenizer.

They are written shard by shard, see `data.token_records`; a run that is
interrupted goes on with the shards that miss. `manifest.partial.json` says what
these belong to until all are there.
"""

import collections
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import PyTree

from data_gen import schema
from data_gen.errors import DataError
from data_gen.records import shards
from data_gen.records.records import encode_scene
from data_gen.records.tfrecord import TFRecordSource
from magvit3d.checkpoints import identity
from magvit3d.data import token_records
from magvit3d.data.clips import ClipSource, load_clips
from magvit3d.data.token_records import MANIFEST_NAME, TokenSource
from magvit3d.errors import UserError
from magvit3d.evaluation.transformer_scores import make_tokenize
from magvit3d.files import work_folder
from magvit3d.monitoring import stage_progress
from magvit3d.parallel import processes
from magvit3d.tokens.masked_model import TokenModel

PARTIAL_NAME = "manifest.partial.json"
_BATCHES_PER_SHARD = 64
_CAMERA_KEYS = (schema.INTRINSICS, schema.CAMERA_FROM_WORLD)


def load_or_make(
  folder: pathlib.Path,
  source: ClipSource,
  model: TokenModel,
  tokenizer_params: PyTree,
  *,
  key: str,
  batch_size: int,
  mesh: Mesh,
) -> TokenSource:
  """Returns the tokens of all clips of `source`, in its order.

  All processes call it and compute together; the first one writes.

  Args:
    folder: Keeps them; nothing else is in it.
    source: Clips.
    model: Says how to tokenize them.
    tokenizer_params: Frozen generator parameters.
    key: Names tokenizer, data and tasks; tokens kept under another one are
      made again.
    batch_size: Clips at a time.
    mesh: Devices.

  Raises:
    UserError: The folder cannot be written.
    DataError: Clips are damaged.
  """
  features = token_records.make_features(
    model.latent_shape, len(model.tasks), model.vocabulary.codebook_size
  )
  header = {
    "schema_version": token_records.SCHEMA_VERSION,
    "key": key,
    "tokenizer": identity.fingerprint(tokenizer_params),
    "num_clips": len(source),
    "clips_per_shard": _BATCHES_PER_SHARD * batch_size,
    "features": {name: feature.to_json() for name, feature in features.items()},
  }
  writer = _Writer(folder, header)
  try:
    missing = writer.begin()
    tokenize = make_tokenize(model, batch_size, mesh)
    for number in missing:
      encoded = _encoded_clips(
        source,
        writer.clips_of(number),
        lambda clips: tokenize(tokenizer_params, clips),
        features,
        batch_size,
      )
      writer.write(number, encoded)
    writer.end()
  except OSError as error:
    raise UserError(
      f"{folder} cannot be written ({error}). Free some space and run "
      "the same command again: it continues. Or tokenize in every step: "
      "--config.tokenizer_cache=False."
    ) from error
  return TokenSource(folder, key)


def files(folder: pathlib.Path) -> list[pathlib.Path]:
  """Returns the files of tokens in a folder, if any are complete."""
  if not (folder / MANIFEST_NAME).is_file():
    return []
  return [folder / MANIFEST_NAME, *folder.glob("tokens-*.tfrecord")]


def _encoded_clips(
  source: ClipSource,
  numbers: range,
  tokenize: Callable[[Mapping[str, np.ndarray]], Any],
  features: Mapping[str, Any],
  batch_size: int,
) -> Iterator[bytes]:
  """Tokenizes some clips, a batch at a time, as records."""
  for start in range(numbers.start, numbers.stop, batch_size):
    stage_progress.note(start, len(source))
    batch = range(start, min(start + batch_size, numbers.stop))
    found = tokenize(load_clips(source, batch, keys=("frames", "labels")))
    for row, number in enumerate(batch):
      scene, camera = divmod(number, source.scenes.num_views)
      rig = source.scenes.scene(scene, _CAMERA_KEYS)
      clip = {
        "tokens": found.tokens[row],
        "cond_tokens": found.cond_tokens[row],
        "label": found.labels[row],
        "scene": scene,
        "camera": camera,
      }
      clip |= {key: rig[key][camera] for key in _CAMERA_KEYS}
      yield encode_scene(clip, features)


class _Writer:
  """Shards and manifest in a folder.

  All processes have one and call the same methods in the same order; that of
  the first process touches the folder.

  Args:
    folder: Of the shards.
    header: Of the manifest: all but the shards.
  """

  def __init__(self, folder: pathlib.Path, header: Mapping[str, Any]):
    self._folder = folder
    self._header = dict(header)
    size = header["clips_per_shard"]
    self._num_shards = -(-header["num_clips"] // size)

  def clips_of(self, number: int) -> range:
    """Returns the clips of a shard."""
    size = self._header["clips_per_shard"]
    return range(
      number * size, min((number + 1) * size, self._header["num_clips"])
    )

  def _path(self, number: int) -> pathlib.Path:
    name = f"tokens-{number:05d}-of-{self._num_shards:05d}.tfrecord"
    return self._folder / name

  def begin(self) -> list[int]:
    """Returns the numbers of the shards to make; clears what is outdated."""
    is_missing = np.zeros(self._num_shards, bool)
    if processes.is_main() and not self._is_complete():
      if not self._is_begun():
        self._clear()
      work_folder.make_folder(self._folder)
      shards.remove_temporary_files(self._folder)
      self._write_json(PARTIAL_NAME, self._header)
      (self._folder / MANIFEST_NAME).unlink(missing_ok=True)
      for number in range(self._num_shards):
        is_missing[number] = not self._is_good(number)
    is_missing = multihost_utils.broadcast_one_to_all(is_missing)
    return np.flatnonzero(is_missing).tolist()

  def write(self, number: int, encoded: Iterator[bytes]) -> None:
    """Writes a shard; the other processes compute it too."""
    if processes.is_main():
      shards.write_shard(self._path(number), encoded)
      done = self.clips_of(number).stop
      logging.info("Tokenized %d/%d clips.", done, self._header["num_clips"])
    else:
      collections.deque(encoded, maxlen=0)

  def end(self) -> None:
    """Writes the manifest, once all shards are there."""
    is_new = not (self._folder / MANIFEST_NAME).exists()
    if processes.is_main() and is_new:
      described = [self._describe(number) for number in range(self._num_shards)]
      self._write_json(MANIFEST_NAME, self._header | {"shards": described})
      (self._folder / PARTIAL_NAME).unlink()
    processes.wait_for_all("tokens")

  def _describe(self, number: int) -> dict[str, Any]:
    path = self._path(number)
    return {
      "name": path.name,
      "num_clips": len(self.clips_of(number)),
      "bytes": path.stat().st_size,
      "sha256": shards.sha256(path),
    }

  def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"
    shards.write_atomically(self._folder / name, text.encode())

  def _is_complete(self) -> bool:
    """Whether the same tokens are there, in whatever shards."""
    manifest = token_records.read_manifest(self._folder / MANIFEST_NAME)
    described = manifest.pop("shards", None)
    manifest["clips_per_shard"] = self._header["clips_per_shard"]
    return (described is not None and manifest == self._header) and all(
      token_records.is_there(self._folder, shard) for shard in described
    )

  def _is_begun(self) -> bool:
    """Whether the shards there belong to what is to be made; says if not."""
    if not self._folder.exists():
      return False
    found = token_records.read_manifest(
      self._folder / MANIFEST_NAME
    ) or token_records.read_manifest(self._folder / PARTIAL_NAME)
    found.pop("shards", None)
    if found == self._header:
      return True
    if found.get("tokenizer") != self._header["tokenizer"]:
      reason = "of another tokenizer"
    elif found.get("key") != self._header["key"]:
      reason = "of other data or tasks"
    else:
      reason = "in other shards"
    if not found:
      reason = "without a manifest that can be read"
    logging.info("Tokens in %s are %s: made again.", self._folder, reason)
    return False

  def _clear(self) -> None:
    for name in (MANIFEST_NAME, PARTIAL_NAME):
      (self._folder / name).unlink(missing_ok=True)
    for path in self._folder.glob("tokens-*"):
      path.unlink()

  def _is_good(self, number: int) -> bool:
    """Reads all of a shard."""
    path = self._path(number)
    if not path.exists():
      return False
    try:
      for _ in TFRecordSource([path], advice="It is made again."):
        pass
    except DataError as error:
      logging.warning("%s", error)
      return False
    return True
