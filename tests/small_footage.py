"""Small calibrated footage for tests: rendered scenes as lossless videos."""

import json

import numpy as np
import pytest
from PIL import Image

from data_gen import schema
from data_gen.footage import FootageOptions
from data_gen.options import DatasetOptions
from data_gen.scenes import make_scene

NUM_FRAMES, WIDTH, HEIGHT = 8, 192, 144
_TOP = (WIDTH - HEIGHT) // 2
NAMES = ("first", "second", "third")


def render(index=0, **changes):
  """Renders a scene as WIDTH x HEIGHT images, with intrinsics to match."""
  values = {
    "image_size": WIDTH,
    "num_frames": NUM_FRAMES,
    "size_min": 3.0,
    "size_max": 3.0,
    "path_scale_min": 0.5,
    "path_scale_max": 0.5,
    "ground_plane": True,
    "num_train": 12,
    "num_validation": 0,
    "num_test": 0,
    "output_dir": "unused",
  }
  scene = make_scene(DatasetOptions(**(values | changes)), "train", index)
  for key in (schema.FRAMES, schema.MASKS):
    scene[key] = scene[key][:, :, _TOP : _TOP + HEIGHT]
  scene[schema.BACKGROUND_FRAMES] = scene[schema.BACKGROUND_FRAMES][
    :, _TOP : _TOP + HEIGHT
  ]
  scene[schema.INTRINSICS] = scene[schema.INTRINSICS].copy()
  scene[schema.INTRINSICS][:, 1, 2] -= _TOP
  return scene


def write_video(path, frames):
  """Writes uint8 (t, h, w, 3) without loss."""
  av = pytest.importorskip("av")
  with av.open(str(path), "w") as container:
    stream = container.add_stream("ffv1", rate=25)
    stream.width, stream.height = frames.shape[2], frames.shape[1]
    stream.pix_fmt = "bgr0"
    for frame in frames:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
    container.mux(stream.encode())
  return path


def write_masks(folder, masks):
  """Writes uint8 (t, h, w) as frame0.png and so on."""
  folder.mkdir()
  for number, mask in enumerate(masks):
    Image.fromarray(mask).save(folder / f"frame{number}.png")


def write_recording(folder, scene, name, split, with_masks=True):
  """Writes the files of a scene, and returns its entry for the JSON."""
  cameras = []
  for view, frames in enumerate(scene[schema.FRAMES]):
    write_video(folder / f"{name}{view}.mkv", frames)
    camera = {
      "video": f"{name}{view}.mkv",
      "intrinsics": scene[schema.INTRINSICS][view].tolist(),
      "camera_from_world": scene[schema.CAMERA_FROM_WORLD][view].tolist(),
    }
    if with_masks:
      write_masks(folder / f"{name}{view}", scene[schema.MASKS][view])
      camera["masks"] = f"{name}{view}"
    cameras.append(camera)
  return {
    "name": name,
    "split": split,
    "cameras": cameras,
    "track": scene[schema.TRAJECTORY].tolist(),
  }


def write_json(folder, content):
  path = folder / "rig.json"
  path.write_text(json.dumps(content))
  return path


def write_footage(folder, with_masks=True, num_frames=NUM_FRAMES):
  """Writes three recordings, one for each split; returns the JSON's content."""
  content = {
    "recordings": [
      write_recording(
        folder, render(i, num_frames=num_frames), name, split, with_masks
      )
      for i, (name, split) in enumerate(
        zip(NAMES, ("train", "validation", "test"), strict=True)
      )
    ]
  }
  write_json(folder, content)
  return content


def make_options(folder, output_dir, **changes):
  values = {"num_frames": 4, "image_size": 48, "num_workers": 1}
  return FootageOptions(
    calibration=str(folder / "rig.json"),
    output_dir=str(output_dir),
    **(values | changes),
  )


def project(points, intrinsics, camera_from_world):
  """Projects world points (..., 3) to pixels (..., 2)."""
  homogeneous = np.concatenate([points, np.ones_like(points[..., :1])], -1)
  found = homogeneous @ (intrinsics @ camera_from_world).T
  return found[..., :2] / found[..., 2:]
