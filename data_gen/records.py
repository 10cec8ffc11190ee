"""A scene as the bytes of one record: a tf.train.Example with PNG frames."""

import numpy as np

from data_gen import examples, png, schema
from data_gen.scenes import Scene


def encode_scene(scene: Scene) -> bytes:
  """Serializes a scene with the feature keys of `data_gen.schema`."""
  return examples.encode_example(
    {
      schema.FRAMES: _encode_images(scene.frames),
      schema.MASKS: _encode_images(scene.masks),
      schema.SHAPE: _integer(scene.shape),
      schema.MOTION: _integer(scene.motion),
      schema.CLASS: _integer(schema.class_index(scene.shape, scene.motion)),
      schema.SCENE_ID: _integer(scene.scene_id),
      schema.SEED: _integer(scene.seed),
      schema.TRAJECTORY: scene.trajectory,
      schema.TRAJECTORY_CLEAN: scene.trajectory_clean,
      schema.ORIENTATION: scene.orientation,
      schema.SIZE: np.array([scene.size]),
      schema.COLOR: scene.color,
      schema.BACKGROUND: scene.background,
      schema.INTRINSICS: scene.intrinsics,
      schema.CAMERA_FROM_WORLD: scene.camera_from_world,
      schema.CAPTION: [scene.caption.encode()],
    }
  )


def _encode_images(images: np.ndarray) -> list[bytes]:
  """Encodes images (V, T, H, W[, 3]), view-major."""
  return png.encode_pngs(images.reshape(-1, *images.shape[2:]))


def _integer(value: int) -> np.ndarray:
  return np.array([value], np.int64)
