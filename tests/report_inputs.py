"""Work folders as the stages leave them, for tests of the report."""

import json

import numpy as np
from PIL import Image

from data_gen import cameras

FRAMES = 8
SCRIPT = "<script>alert('&')</script>"
CLASSES = [
  f"{shape} {motion}"
  for shape in ("cube", "cylinder", "cone")
  for motion in ("linear", "circular", "helical", "parabolic")
]
PLOT = {
  "title": "Rate and distortion",
  "note": f"Of the first clips {SCRIPT}",
  "x_label": "bits per clip",
  "y_label": "PSNR, dB",
  "series": [
    {
      "name": f"tokenizer {SCRIPT}",
      "x": [192, 384, 768, 1536],
      "y": [18.0, 20.5, float("nan"), 24.0],
      "is_baseline": False,
    },
    {"name": "background only", "x": [0], "y": [16.5], "is_baseline": True},
  ],
}


def make_confusion(names, seed=0):
  """A classifier that is right two times of three."""
  rng = np.random.default_rng(seed)
  counts = rng.integers(0, 3, (len(names), len(names)))
  counts += np.diag(4 * len(names) + rng.integers(0, 9, len(names)))
  return {
    "title": f"Real tokens, {len(names)} classes",
    "note": f"A logistic regression {SCRIPT}",
    "split": "test",
    "n": int(counts.sum()),
    "names": list(names),
    "counts": counts.tolist(),
  }


def make_paths(num_scenes=4, num_frames=FRAMES, seed=0):
  """Arrays of paths.npz: circles, and estimates that leave them by and by."""
  rng = np.random.default_rng(seed)
  names = [
    "predicted", "reconstructed", "true_frames", "constant_velocity",
    "copy_last",
  ]  # fmt: skip
  given = num_frames // 2
  phases = rng.uniform(0, 6, (num_scenes, 1)) + np.linspace(0, 4, num_frames)
  radii = rng.uniform(0.3, 0.8, (num_scenes, 1))
  heights = np.linspace(-0.4, 0.4, num_frames) * np.ones((num_scenes, 1))
  truth = np.stack(
    [radii * np.cos(phases), radii * np.sin(phases), heights], axis=-1
  )
  drift = np.maximum(np.arange(num_frames) - given + 1, 0)[:, None] / num_frames
  scales = np.array([0.4, 0.03, 0.01, 0.6, 0.5])[:, None, None, None]
  positions = truth + scales * drift * rng.normal(
    size=(len(names), num_scenes, 1, 3)
  )
  positions += rng.normal(0, 0.004, positions.shape)
  is_found = np.ones(positions.shape[:3], bool)
  is_found[0, :, -2] = False
  positions[0, :1, -2] = np.nan
  errors = np.linalg.norm(positions - truth, axis=-1)
  rig = cameras.make_default_rig(32)
  return {
    "scene_id": 100 + np.arange(num_scenes),
    "captions": np.array([f"a red cube on a helix {SCRIPT}"] * num_scenes),
    "shape": np.array(["cube", "cone"] * num_scenes)[:num_scenes],
    "motion": np.array(["helical"] * num_scenes),
    "given_frames": np.array(given),
    "truth": truth,
    "intrinsics": np.tile(rig.intrinsics, (num_scenes, 1, 1, 1)),
    "camera_from_world": np.tile(rig.camera_from_world, (num_scenes, 1, 1, 1)),
    "image_size": np.array(32),
    "names": np.array(names),
    "positions": positions,
    "is_found": is_found,
    "ade": np.nanmean(errors[:, :, given:], axis=-1),
  }


def make_gallery(rng, size, frames, names=tuple(CLASSES), num_views=3):
  """Arrays of clips.npz: three clips a class, the first of scenes in paths."""
  ranks = ["best", "median", "worst"]
  real = make_clips(rng, len(names) * 3, num_views, size=size, frames=frames)
  real = np.concatenate(list(np.moveaxis(real, 1, 0)), axis=3)
  noise = rng.normal(0, 8, real.shape)
  ade = np.sort(rng.uniform(0.01, 0.3, (len(names), 3))).ravel()
  ade[-1] = np.nan
  return {
    "gallery/real": real,
    "gallery/predicted": np.clip(real + noise, 0, 255).astype(np.uint8),
    "gallery/class_names": np.repeat(np.array(names), 3),
    "gallery/rank": np.array(ranks * len(names)),
    "gallery/ade": ade,
    "gallery/scene_id": 100 + np.arange(len(names) * 3),
    "gallery/given_frames": np.array(frames // 2),
  }


def make_motions(rng, size, frames):
  """Arrays of clips.npz: a pair of each motion, of the scenes in paths."""
  names = ("linear", "helical", "parabolic", "zigzag")
  real = make_clips(rng, len(names), size=size, frames=frames)
  noise = rng.normal(0, 8, real.shape)
  return {
    "motions/real": real,
    "motions/predicted": np.clip(real + noise, 0, 255).astype(np.uint8),
    "motions/names": np.array(names),
    "motions/captions": np.array([f"cube_{name}" for name in names]),
    "motions/ade": np.linspace(0.01, 0.3, len(names)),
    "motions/scene_id": 100 + np.arange(len(names)),
    "motions/given_frames": np.array(frames // 2),
  }


def make_clips(rng, *lead, size=32, frames=FRAMES):
  """A square that moves over a plain background: (*lead, t, size, size, 3)."""
  clips = np.full((*lead, frames, size, size, 3), (226, 230, 235), np.uint8)
  for index in np.ndindex(*lead):
    color = rng.integers(0, 200, 3)
    side = size // 4
    start, end = rng.integers(0, size - side, (2, 2))
    for frame, share in enumerate(np.linspace(0, 1, frames)):
      y, x = np.round(start + share * (end - start)).astype(int)
      clips[(*index, frame)][y : y + side, x : x + side] = color
  return clips


def make_workdir(workdir, num_clips=3, size=32, frames=FRAMES):
  rng = np.random.default_rng(0)

  def noisy(clips):
    noise = rng.normal(0, 8, clips.shape)
    return np.clip(clips + noise, 0, 255).astype(np.uint8)

  def write(name, value):
    path = workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

  write(
    "config.json",
    {
      "experiment_name": "traj3d",
      "note": SCRIPT,
      "data": {"batch_size": 64, "image_size": size},
    },
  )
  write(
    "stages.json",
    {
      "data": {
        "status": "done",
        "seconds": 12.3,
        "started": "2026-11-20T20:00",
      },
      "tokenizer": {"status": "done", "seconds": 7500, "started": "21:00"},
      "transformer": {"status": "failed", "seconds": 90, "reason": SCRIPT},
      "report": {"status": "running"},
    },
  )
  write(
    "evaluation/scores.json",
    {
      "tables": [
        {
          "title": "Reconstruction",
          "note": f"Foreground: the mask dilated by 2 {SCRIPT}",
          "split": "test",
          "n": 1000,
          "columns": ["clips", "PSNR (dB)", "SSIM", "foreground PSNR (dB)"],
          "rows": [
            ["tokenizer", 34.56789, 0.9812, 24.3],
            ["background only", 25.1, 0.93, float("nan")],
            ["copy of the first frame", 27.3, 0.95, None],
          ],
        },
        {
          "title": "3D trajectory error",
          "note": "",
          "split": "test",
          "n": 1000,
          "columns": ["ADE (m)", "FDE (m)"],
          "rows": [
            [f"prediction {SCRIPT}", 0.0123, 0.034],
            ["true frames", 0.0021, 0.0022],
            ["constant velocity", 0.151, 0.34],
          ],
        },
      ],
      "checks": [
        {
          "name": "Foreground PSNR of the reconstruction",
          "value": 24.3,
          "threshold": 22,
          "comparison": ">=",
          "passed": True,
          "unit": "dB",
        },
        {
          "name": f"Token error {SCRIPT}",
          "value": float("nan"),
          "threshold": 0.5,
          "comparison": "<=",
          "passed": False,
          "unit": "",
        },
      ],
      "confusions": [make_confusion(CLASSES), make_confusion(["cube", "cone"])],
      "plots": [PLOT],
      "run": {
        "devices": "2 x CPU",
        "parameters": {"tokenizer": 1234567, "transformer": 7654321},
        "code_version": "abc1234",
        "date": "2026-11-20 22:00",
      },
    },
  )
  for stage, keys in {
    "tokenizer": ("g_loss", "d_loss", "code_perplexity", "reconstruction_loss"),
    "transformer": ("loss", "accuracy", "learning_rate", "steps_per_second"),
  }.items():
    lines = []
    for step in range(10, 2010, 10):
      record = {"step": step, "time": 1e9 + step}
      for key in keys:
        record[f"train/{key}"] = 30 * np.exp(-step / 300) + rng.uniform(
          0.1, 0.3
        )
      if step == 50:
        record[f"train/{keys[0]}"] = float("nan")
      if step % 200 == 0:
        score = 20 + step / 300
        record |= {"validation/psnr": score, "validation/accuracy": 0.3}
      lines.append(json.dumps(record))
    path = workdir / stage / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, '{"step": 2010, "train/lo']))
  real = make_clips(rng, num_clips, size=size, frames=frames)
  samples = make_clips(rng, 12, 4, size=size, frames=frames)
  captions = np.array([f"a green cone on a helix {SCRIPT}"] * num_clips)
  copied = real[:, np.minimum(np.arange(frames), frames // 4 - 1)]
  np.savez_compressed(
    workdir / "evaluation" / "clips.npz",
    **{
      "reconstruction/real": real,
      "reconstruction/reconstructed": noisy(real),
      "reconstruction/captions": captions,
      "prediction/real": real,
      "prediction/reconstructed": noisy(real),
      "prediction/predicted": noisy(real),
      "prediction/copy_last": copied,
      "prediction/captions": captions,
      "prediction/given_frames": frames // 4,
      "samples/frames": noisy(samples),
      "samples/class_names": np.array(CLASSES),
      "samples/real": samples[:, 0],
      **make_gallery(rng, size, frames),
      **make_motions(rng, size, frames),
    },
  )
  paths = make_paths(num_frames=frames)
  np.savez_compressed(workdir / "evaluation" / "paths.npz", **paths)
  (workdir / "data").mkdir()
  preview = real[0].transpose(1, 0, 2, 3).reshape(size, -1, 3)
  Image.fromarray(preview).save(workdir / "data" / "preview.png")
