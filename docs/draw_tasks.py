"""Draws docs/tasks.png: what each task shows, and which tokens it hides.

  python docs/draw_tasks.py [OUTPUT]

Everything is computed by the code that trains: a scene is rendered, and the
tasks of a config with all of them are asked for condition clips and masks.
"""

import dataclasses
import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from configs import traj3d_multiview
from data_gen.generate import generate
from data_gen.records.scene_source import SceneSource
from data_gen.scenes.options import DatasetOptions
from magvit3d.config.run import RunConfig
from magvit3d.tokens import masking, vocabulary
from magvit3d.tokens.masked_model import TokenModel
from magvit3d.tokens.tasks import BAIR_TASKS

matplotlib.use("Agg")
from matplotlib import patches
from matplotlib import pyplot as plt

_OUTPUT = pathlib.Path(__file__).parent / "tasks.png"
_RATIO = 0.6  # Of the tokens that may be hidden.
_SHOWN_FRAMES = (0, 5, 10, 15)
_GAP_PX = 1
_COLORS = {
  "given exactly, never hidden": (0.20, 0.55, 0.35),
  "not hidden": (0.45, 0.68, 0.90),
  "hidden, shows the condition's token": (0.95, 0.70, 0.25),
  "hidden, shows MASK": (0.25, 0.25, 0.28),
}


def make_model() -> TokenModel:
  """Returns a model with COMMIT's tasks and those of several views."""
  config = traj3d_multiview.get_config("tiny").to_dict()
  config["vqvae"]["codebook_size"] = 1000
  frames = {"cond_frames": 8}
  tasks = dict.fromkeys(BAIR_TASKS) | {
    "frame_prediction": frames,
    "frame_interpolation": {"cond_frames": 4},
    "full_generation": {"class_conditional": True},
    "view_prediction": {"num_given_views": 1},
    "view_frame_prediction": frames | {"num_given_views": 1},
  }
  config["tasks"] = tasks
  return TokenModel(
    RunConfig.from_dict(config), 16, 12, (4, 8, 8), num_cameras=3, image_size=64
  )


def render_scene() -> np.ndarray:
  """Returns the clips of a scene, (1, v, t, h, w, 3) in [0, 1]."""
  with tempfile.TemporaryDirectory() as folder:
    options = DatasetOptions(
      output_dir=folder,
      num_train=12,
      num_validation=0,
      num_test=0,
      image_size=64,
      size_min=4.0,
      size_max=5.0,
      path_scale_min=0.7,
      path_scale_max=0.8,
      num_workers=1,
      preview=0,
    )
    generate(options, log=lambda line: None)
    frames = SceneSource(folder, "train").scene(0, ["frames"])["frames"]
  return frames[None].astype(np.float32) / 255


def token_classes(model: TokenModel, index: int, mask_type: str) -> np.ndarray:
  """Returns which of `_COLORS` each token has, int (v, t, h, w)."""
  task = model.tasks[index]
  is_given = None
  if task.num_given_views:
    is_given = jnp.arange(model.num_views)[None] < task.num_given_views
  model.settings = dataclasses.replace(model.settings, mask_type=mask_type)
  score = model.make_scores(jax.random.key(3), 1, index, is_given)
  tokens = jnp.zeros((1, *model.grid_shape), jnp.int32)
  masked = model.mask(tokens, tokens + 1, index, score, _RATIO, is_given)
  maskable = masking.is_maskable(
    model.cond_mask(index, is_given),
    task.mask_mode,
    tokens.shape,
    model.kept(is_given),
  )
  shown = np.asarray(masked.masked_inputs)
  classes = np.where(shown == vocabulary.MASK, 3, 1)
  classes = np.where(np.asarray(masked.segment_ids) == 1, 2, classes)
  classes = np.where(maskable, classes, 0)
  return classes.reshape(model.num_views, *model.latent_shape)


def _row(images: np.ndarray) -> np.ndarray:
  """Puts (n, h, w, 3) beside one another, with white between them."""
  padded = np.pad(
    images, [(0, 0), (0, 0), (0, _GAP_PX), (0, 0)], constant_values=1.0
  )
  return np.concatenate(list(padded), axis=1)


def _draw_grid(axes, classes: np.ndarray) -> None:
  colors = np.array(list(_COLORS.values()))[classes]
  enlarged = np.kron(colors, np.ones((1, 1, 4, 4, 1)))
  enlarged[..., ::4, :, :] = enlarged[..., ::4, :] = 1.0  # Lines of the grid.
  axes.imshow(np.concatenate([_row(view) for view in enlarged], axis=1))


def _draw_condition(axes, model: TokenModel, index: int, clips) -> None:
  shown = np.array(model.condition_video(jnp.asarray(clips), index)[0])
  task = model.tasks[index]
  if not task.is_conditional:
    shown = np.full_like(shown, 0.85)
  elif task.num_given_views:
    shown[: task.num_given_views] = clips[0, : task.num_given_views]
    if task.condition is None:
      shown[task.num_given_views :] = 0.85
  rows = [_row(view[list(_SHOWN_FRAMES)]) for view in shown]
  axes.imshow(np.concatenate(rows, axis=1), interpolation="nearest")


def draw(output: pathlib.Path) -> None:
  """Writes the picture."""
  model, clips = make_model(), render_scene()
  names = [task.name for task in model.tasks]
  generation = names.index("full_generation")
  rows = [(name, i, "random") for i, name in enumerate(names)] + [
    (f"masks by {kind}", generation, kind)
    for kind in ("block", "tube", "frame", "view")
  ]
  model.settings = dataclasses.replace(
    model.settings, mask_block_shape=(1, 2, 2)
  )
  figure, axes = plt.subplots(
    len(rows), 2, figsize=(15, 0.72 * len(rows)), dpi=90
  )
  for (name, index, mask_type), (left, right) in zip(rows, axes, strict=True):
    _draw_condition(left, model, index, clips)
    _draw_grid(right, token_classes(model, index, mask_type))
    left.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for panel in (left, right):
      panel.set_xticks([])
      panel.set_yticks([])
      panel.set_frame_on(False)
  axes[0, 0].set_title(
    "what the task shows: 3 cameras, frames 1, 6, 11, 16", fontsize=10
  )
  axes[0, 1].set_title(
    f"tokens: 3 cameras x 4 times, {_RATIO:.0%} of those that may be hidden",
    fontsize=10,
  )
  legend = [
    patches.Patch(color=color, label=label) for label, color in _COLORS.items()
  ]
  figure.legend(handles=legend, loc="lower center", ncol=4, frameon=False)
  figure.subplots_adjust(
    left=0.13, right=0.995, top=0.97, bottom=0.04, wspace=0.02, hspace=0.12
  )
  figure.savefig(output)


if __name__ == "__main__":
  draw(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else _OUTPUT)
