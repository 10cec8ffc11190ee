"""Makes a folder of shards one that TensorFlow Datasets reads.

`tfds.builder_from_directory(DIR)` needs `dataset_info.json`, `features.json`
and the names of the labels. They are plain JSON and text, written here without
TFDS or TensorFlow. Images are sequences of T frames for each camera in turn
(V*T entries), flows byte strings, as in the records; features are stored in
their own types, so depths and flows still want their scale (the manifest's
`features` has it).
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from data_gen import schema
from data_gen.records import shards
from data_gen.records.features import Feature

FILE_FORMATS = ("tfrecord", "array_record")
_DESCRIPTION = (
  "Clips of solids in motion from several calibrated cameras, rendered by "
  "data_gen of magvit3d; manifest.json says how."
)
_FOOTAGE_DESCRIPTION = (
  "Clips from several calibrated cameras, packed by data_gen of magvit3d; "
  "manifest.json says how."
)
_FILE_NAMES = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_MODULE = "tensorflow_datasets.core.features"
_LABEL_NAMES = {
  schema.SHAPE: "shape_names",
  schema.MOTION: "motion_names",
  schema.CLASS: "class_names",
}


def write(folder: pathlib.Path, manifest: Mapping[str, Any]) -> None:
  """Writes the files beside the shards.

  Args:
    folder: Of the data set.
    manifest: Complete, with its splits.
  """
  for key, names in _LABEL_NAMES.items():
    if not manifest[names]:  # Footage has no shapes and motions.
      continue
    text = "".join(f"{name}\n" for name in manifest[names])
    path = folder / f"{key}.labels.txt"
    shards.write_atomically(path, text.encode())
  _write_json(folder / "features.json", make_features(manifest))
  _write_json(folder / "dataset_info.json", make_info(manifest))


def make_info(manifest: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the content of `dataset_info.json`; numbers of 64 bits as text."""
  splits = []
  for name, split in manifest["splits"].items():
    lengths = [str(shard["num_scenes"]) for shard in split["shards"]]
    num_bytes = sum(shard["bytes"] for shard in split["shards"])
    splits.append(
      {
        "name": name,
        "shardLengths": lengths,
        "numBytes": str(num_bytes),
        "filepathTemplate": _FILE_NAMES,
      }
    )
  is_footage = manifest["dataset"] == schema.FOOTAGE
  return {
    "name": manifest["dataset"],
    "version": f"{manifest['format_version']}.0.0",
    "description": _FOOTAGE_DESCRIPTION if is_footage else _DESCRIPTION,
    "fileFormat": manifest["file_format"],
    "splits": splits,
  }


def make_features(manifest: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the content of `features.json`; "a/b" is "b" in the dict "a"."""
  tree: dict[str, Any] = {}
  for key, content in manifest["features"].items():
    *parents, name = key.split("/")
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    if key in _LABEL_NAMES and manifest[_LABEL_NAMES[key]]:
      count = len(manifest[_LABEL_NAMES[key]])
      node[name] = _connector(
        "class_label_feature.ClassLabel", classLabel={"numClasses": str(count)}
      )
    else:
      node[name] = _describe(Feature.from_json(content))
  described = _describe_dict(tree)
  return {
    "type": described["pythonClassName"],
    "content": described["featuresDict"],
    "proto_cls": "tensorflow_datasets.FeaturesDict",
  }


def _describe_dict(tree: dict[str, Any]) -> dict[str, Any]:
  features = {
    key: node if "pythonClassName" in node else _describe_dict(node)
    for key, node in tree.items()
  }
  return _connector(
    "features_dict.FeaturesDict", featuresDict={"features": features}
  )


def _describe(feature: Feature) -> dict[str, Any]:
  if feature.encoding == "text":
    return _connector("text_feature.Text", text={})
  if feature.encoding == "numbers":
    return _tensor(feature.dtype, feature.shape)
  if feature.encoding == "raw":
    return _sequence(_tensor("string", ()), feature.num_images)
  height, width, *channels = feature.image_shape
  image = _connector(
    "image_feature.Image",
    image={
      "shape": _dimensions((height, width, *(channels or [1]))),
      "dtype": feature.dtype,
      "encodingFormat": "png",
    },
  )
  return _sequence(image, feature.num_images)


def _sequence(feature: dict[str, Any], length: int) -> dict[str, Any]:
  return _connector(
    "sequence_feature.Sequence",
    sequence={"feature": feature, "length": str(length)},
  )


def _tensor(dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
  return _connector(
    "tensor_feature.Tensor",
    tensor={"shape": _dimensions(shape), "dtype": dtype, "encoding": "none"},
  )


def _dimensions(shape: tuple[int, ...]) -> dict[str, Any]:
  return {"dimensions": [str(size) for size in shape]} if shape else {}


def _connector(class_name: str, **content: Any) -> dict[str, Any]:
  return {"pythonClassName": f"{_MODULE}.{class_name}", **content}


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
  text = json.dumps(content, indent=2, sort_keys=True) + "\n"
  shards.write_atomically(path, text.encode())
