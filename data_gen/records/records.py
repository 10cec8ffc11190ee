"""A scene as the bytes of one record, and back: a tf.train.Example."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from data_gen.errors import DataError
from data_gen.files import png
from data_gen.records import examples
from data_gen.records.features import Feature

_MOST_TEXT_BYTES = 2**20


def encode_scene(
  scene: Mapping[str, Any], features: Mapping[str, Feature]
) -> bytes:
  """Serializes a scene.

  Args:
    scene: A value for each feature: arrays of its shape (images in their
      stored type, as `scenes.make_scene` gives them), numbers, or text.
    features: By key.

  Raises:
    ValueError: A value has another shape than its feature.
  """
  return examples.encode_example(
    {
      key: _encode(key, scene[key], feature)
      for key, feature in features.items()
    }
  )


def decode_scene(
  record: bytes,
  features: Mapping[str, Feature],
  keys: Iterable[str] | None = None,
  view: int | None = None,
) -> dict[str, np.ndarray | int | float | str]:
  """Reads what `encode_scene` wrote.

  Args:
    record: The bytes.
    features: By key.
    keys: Those to decode; all by default.
    view: If given, images come of this camera only, without the axis of the
      views.

  Returns:
    Arrays of the features' shapes and types; those with a scale as float32 in
    the feature's unit; int, float and str where there is no axis.

  Raises:
    DataError: The record does not hold these features.
  """
  try:
    wanted = tuple(features if keys is None else keys)
    found = examples.decode_example(record, wanted)
    return {key: _decode(found[key], features[key], view) for key in wanted}
  except KeyError as error:
    raise DataError(f"A record does not fit the manifest: {error}.") from error
  except ValueError as error:
    text = str(error).rstrip(".")
    raise DataError(f"A record does not fit the manifest: {text}.") from error


def _encode(key, value, feature):
  if feature.encoding == "text":
    return [value.encode()]
  value = np.asarray(value)
  if value.shape != feature.shape:
    raise ValueError(f"{key} is {value.shape}, expected is {feature.shape}.")
  if feature.encoding == "numbers":
    return value.astype(feature.dtype).reshape(-1)
  images = value.reshape(-1, *feature.image_shape)
  if feature.encoding == "png":
    return png.encode_pngs(images)
  little_endian = np.dtype(feature.dtype).newbyteorder("<")
  return [image.astype(little_endian).tobytes() for image in images]


def _decode(value, feature, view):
  is_list = isinstance(value, list)
  if is_list == (feature.encoding == "numbers"):
    raise ValueError(f"it has no {feature.encoding} where these are expected")
  if feature.encoding == "text":
    if len(value) != 1 or len(value[0]) > _MOST_TEXT_BYTES:
      raise ValueError("it has no text where one is expected")
    return bytes(value[0]).decode()
  if feature.encoding == "numbers":
    if value.dtype != feature.dtype:
      raise ValueError(f"it has {value.dtype}, not {feature.dtype}")
    value = value.reshape(feature.shape)
    return value if feature.shape else value.item()
  if len(value) != feature.num_images:
    raise ValueError(f"{len(value)} images, not {feature.num_images}")
  shape = feature.shape
  if view is not None:
    per_view = len(value) // shape[0]
    value, shape = value[view * per_view : (view + 1) * per_view], shape[1:]
  images = np.empty((len(value), *feature.image_shape), feature.dtype)
  for image, data in zip(images, value, strict=True):
    if feature.encoding == "png":
      png.decode_png(data, image)
    else:
      image[:] = np.frombuffer(
        data, np.dtype(feature.dtype).newbyteorder("<")
      ).reshape(image.shape)
  images = images.reshape(shape)
  if feature.scale != 1:
    return images.astype(np.float32) * np.float32(feature.scale)
  return images
