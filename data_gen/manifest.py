"""The manifest: what a data set holds, and how it was made.

While a data set is being made, `manifest.partial.json` holds its options, so
that nobody continues it with other ones.
"""

import importlib.metadata
import json
import pathlib

import numpy as np

from data_gen import schema
from data_gen.files import json_files
from data_gen.footage.footage import Footage
from data_gen.records import manifest_types, npz, shards
from data_gen.records.features import make_features
from data_gen.scene_makers import SceneSet, class_of_scene
from data_gen.scenes import violations

PARTIAL_NAME = "manifest.partial.json"


def make_header(options: SceneSet) -> dict:
  """Returns what is known before anything is rendered."""
  is_npz = options.file_format == "npz"
  features = npz.make_arrays(options) if is_npz else make_features(options)
  header = {
    "dataset": options.preset,
    "format_version": schema.FORMAT_VERSION,
    "code_version": _code_version(),
    "seed": options.seed,
    "arguments": options.arguments(),
    "file_format": options.file_format,
    "shape_names": list(options.shapes),
    "motion_names": list(options.motions),
    "class_names": list(options.class_names),
    "num_views": options.num_views,
    "num_frames": options.num_frames,
    "image_size": options.image_size,
    "features": {key: feature.to_json() for key, feature in features.items()},
  }
  if options.has_violations:
    header["violation_kinds"] = list(violations.KINDS)
  if isinstance(options, Footage):
    header["has_masks"] = options.has_masks
  return header


def _code_version() -> str:
  try:
    return importlib.metadata.version("magvit3d")
  except importlib.metadata.PackageNotFoundError:
    return "not installed"


def describe_split(options: SceneSet, split: str, folder: pathlib.Path) -> dict:
  """Returns the counts of a split, and size and SHA-256 of its shards."""
  num_scenes = options.num_scenes(split)
  labels = [class_of_scene(options, split, i) for i in range(num_scenes)]
  counts = np.bincount(labels, minlength=len(options.class_names))
  described = []
  for shard in range(options.num_shards(split)):
    path = folder / options.shard_name(split, shard)
    described.append(
      {
        "name": path.name,
        "num_scenes": len(options.shard_scenes(split, shard)),
        "bytes": path.stat().st_size,
        "sha256": shards.sha256(path),
      }
    )
  return {
    "num_scenes": num_scenes,
    "class_counts": dict(
      zip(options.class_names, counts.tolist(), strict=True)
    ),
    "shards": described,
  }


def read(path: pathlib.Path, kind: type = manifest_types.Header) -> dict | None:
  """Returns a manifest, or None if there is none.

  Args:
    path: Of the manifest.
    kind: What it must hold: `Manifest` if it is complete.

  Raises:
    ValueError: The file is damaged.
  """
  try:
    return json_files.read(path, kind)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise OSError(f"{path} cannot be read ({error.strerror}).") from error
  except ValueError as error:
    raise ValueError(
      f"{path} is damaged ({error}). Delete its folder and make the data set "
      "anew, or name another --output_dir."
    ) from error


def write(path: pathlib.Path, content: dict) -> None:
  """Writes a manifest, atomically."""
  text = json.dumps(content, indent=2) + "\n"
  shards.write_atomically(path, text.encode())


def check_same_options(path: pathlib.Path, found: dict, wanted: dict) -> None:
  """Compares the options in a manifest with those of this run.

  Raises:
    ValueError: They differ; the message says where.
  """
  kinds = (found["dataset"], wanted["dataset"])
  if schema.FOOTAGE in kinds and len(set(kinds)) > 1:
    raise ValueError(
      f"{path.parent} holds another data set, {found['dataset']}: use another "
      "--output_dir, or delete that folder."
    )
  old, new = dict(found["arguments"]), dict(wanted["arguments"])
  old_files, new_files = old.pop("files", {}), new.pop("files", {})
  differences = [
    f"--{name} is {new.get(name)} now, and was {old.get(name)}"
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name)
  ]
  differences += [
    f"the file {name} is another"
    for name in sorted(old_files.keys() | new_files.keys())
    if old_files.get(name) != new_files.get(name)
  ]
  if found["format_version"] != wanted["format_version"]:
    differences.append(
      f"the format is version {wanted['format_version']} now, and was "
      f"{found['format_version']}"
    )
  if differences:
    raise ValueError(
      f"{path.parent} holds a data set made with other options: "
      f"{'; '.join(differences)}. Use the old options, another --output_dir, "
      "or delete that folder."
    )
