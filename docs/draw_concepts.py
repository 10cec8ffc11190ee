"""Draws the pictures of docs/concepts.md: concept_*.png.

  python -m docs.draw_concepts [FOLDER]

The code that trains and predicts computes all of it: a model that comes with
the package, new scenes by the options of its data, its tokens, crops, masks and
decoding steps, and the cameras of the records.
"""

import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from magvit3d.api import Magvit
from magvit3d.data.crops import Crop
from magvit3d.exports import fresh_scenes
from magvit3d.tokens import vocabulary

matplotlib.use("Agg")
from matplotlib import patches
from matplotlib import pyplot as plt

_FOLDER = pathlib.Path(__file__).parent
_MODEL = "traj3d-small"
_SEED = 5
_COLORS = ("#e45756", "#54a24b", "#4c78a8", "#f2a53c", "#b279a2")
_MASK = (0.16, 0.17, 0.20)


class _Drawer:
  """A model, a scene of it, and where pictures go."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.magvit = Magvit.from_pretrained(_MODEL)
    with tempfile.TemporaryDirectory() as data:
      trained = self.magvit.trained
      held_out = fresh_scenes.render(trained, pathlib.Path(data), 12, _SEED)
    names = held_out.class_names
    labels = [names[label] for label in held_out.samples["labels"]]
    scene = labels.index("cone_helical")
    self.scene = {key: v[scene] for key, v in held_out.samples.items()}
    self.clip = self.scene["frames"][1]  # Of the second camera.
    self.tokens = self.magvit.tokenize(self.clip)
    # A colour for each code, which says nothing but that they differ.
    rng = np.random.default_rng(0)
    hues = rng.permutation(self.magvit.codebook_size)
    self.colors = plt.get_cmap("turbo")(hues / len(hues))[:, :3]

  def picture(self, tokens: np.ndarray) -> np.ndarray:
    """Token ids (..., h, w) as colours; MASK is dark."""
    shown = self.colors[np.maximum(tokens, 0)]
    return np.where((tokens == vocabulary.MASK)[..., None], _MASK, shown)

  def rows(
    self, name: str, rows: list[tuple[str, np.ndarray]], note=""
  ) -> None:
    """Writes a picture: each row a title and some images (n, h, w, 3)."""
    count = max(len(images) for _, images in rows)
    figure, axes = plt.subplots(
      len(rows), count, figsize=(1.5 * count + 1.6, 1.56 * len(rows) + 0.3)
    )
    for (title, images), line in zip(rows, np.atleast_2d(axes), strict=True):
      for axis, image in zip(line, images, strict=False):
        axis.imshow(image, interpolation="nearest")
        if len(image) <= 16:  # A grid of tokens.
          axis.set_xticks(np.arange(len(image) + 1) - 0.5)
          axis.set_yticks(np.arange(len(image) + 1) - 0.5)
          axis.grid(color="white", linewidth=0.7)
      for axis in line:
        axis.tick_params(length=0, labelbottom=False, labelleft=False)
        axis.set_frame_on(False)
      for axis in line[len(images) :]:
        axis.set_axis_off()
      line[0].set_ylabel(
        title, rotation=0, ha="right", va="center", fontsize=10, labelpad=10
      )
    figure.suptitle(note, fontsize=10, y=0.02, va="bottom")
    figure.subplots_adjust(
      left=1.55 / (1.5 * count + 1.6),
      right=0.99,
      top=0.99,
      bottom=0.07 if note else 0.01,
      wspace=0.05,
      hspace=0.05,
    )
    self.save(name, figure)

  def save(self, name: str, figure) -> None:
    figure.savefig(self.folder / f"concept_{name}.png", dpi=100)
    plt.close(figure)

  # What is drawn.

  def tokenizer(self) -> None:
    """A clip, its tokens, and what is left of it."""
    again = self.magvit.reconstruct(self.clip)
    t = len(self.clip) // len(self.tokens)
    shown = slice(t // 2, None, t)
    h, w = self.clip.shape[1:3]
    self.rows(
      "tokenizer",
      [
        (f"clip\n{len(self.clip)} x {h} x {w}", self.clip[shown]),
        (
          "tokens\n" + " x ".join(map(str, self.tokens.shape)),
          self.picture(self.tokens),
        ),
        ("from the tokens", again[shown]),
      ],
    )

  def commit(self) -> None:
    """What COMMIT shows the transformer of frame prediction."""
    model = self.magvit.trained.model
    names = [task.name for task in model.tasks]
    index = names.index("frame_prediction")
    clips = jnp.asarray(self.clip[None] / np.float32(255))
    shown = np.asarray(model.tasks[index].condition_video(clips))
    given = self.magvit.tokenize(shown[0])
    score = model.make_scores(jax.random.key(1), 1, index, None)
    masked = model.mask(
      jnp.asarray(self.tokens[None]),
      jnp.asarray(given[None]),
      index,
      score,
      0.7,
      None,
    )
    seen = np.asarray(masked.masked_inputs).reshape(self.tokens.shape)
    t = len(self.clip) // len(self.tokens)
    frames = slice(t // 2, None, t)
    self.rows(
      "commit",
      [
        ("clip", self.clip[frames]),
        ("its tokens", self.picture(self.tokens)),
        ("what is given:\n8 frames, the\nlast repeated", shown[0][frames]),
        ("tokens of that", self.picture(given)),
        ("what the\ntransformer sees", self.picture(seen)),
      ],
    )

  def decoding(self) -> None:
    """A clip of a class comes out of nothing, step by step."""
    magvit, model = self.magvit, self.magvit.trained.model
    task, labels = magvit.choose_classes("cone", "helical", 1, 0)
    steps = jax.jit(model.generate, static_argnums=2)(
      magvit.trained.transformer_params,
      jax.random.key(2),
      task,
      jnp.asarray(labels),
      jnp.zeros((1, *magvit.latent_shape), jnp.int32),
    )
    tokens, unknown = np.asarray(steps.tokens), np.asarray(steps.is_unknown)
    chosen = [0, 2, 5, 8, 10, len(tokens) - 1]
    time = 2  # Of the token grid; the frame in its middle.
    frame = time * (magvit.clip_shape[0] // magvit.latent_shape[0]) + 2
    known = np.where(unknown, vocabulary.MASK, tokens)
    known[-1] = tokens[-1]
    clips = magvit.detokenize(tokens[:, 0])
    self.rows(
      "decoding",
      [
        ("kept so far", self.picture(known[chosen, 0, time])),
        ("all, as they are\nguessed now", clips[chosen, frame]),
      ],
      "after steps "
      + ", ".join(str(step + 1) for step in chosen)
      + f" of {len(tokens)}: one of {magvit.latent_shape[0]} times of the "
      "grid, and a frame of it",
    )

  def crops(self) -> None:
    """Where the crops of a clip lie."""
    masks = self.scene["masks"][1]
    crop = Crop(8, 32)
    rng = np.random.default_rng(3)
    places = [crop.draw(masks, rng) for _ in range(3)]
    figure, axes = plt.subplots(2, 8, figsize=(13, 3.5))
    for axis in axes.flat:
      axis.set_axis_off()
    for t, axis in enumerate(axes[0]):
      axis.imshow(self.clip[2 * t])
      axis.set_title(f"frame {2 * t + 1}", fontsize=9)
      for color, (frames, rows, columns) in zip(_COLORS, places, strict=False):
        if frames.start <= 2 * t < frames.stop:
          corner = (columns.start, rows.start)
          axis.add_patch(
            patches.Rectangle(corner, 32, 32, fill=False, color=color, lw=2)
          )
    for i, (color, place) in enumerate(zip(_COLORS, places, strict=False)):
      frames = self.clip[place]
      for j, axis in enumerate(axes[1, 2 * i : 2 * i + 2]):
        axis.set_axis_on()
        axis.imshow(frames[7 * j])
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(f"crop {i + 1}, frame {7 * j + 1} of 8", fontsize=9)
        for spine in axis.spines.values():
          spine.set(color=color, linewidth=2)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.02)
    self.save("crops", figure)

  def views(self) -> None:
    """Where the cameras stand, and what they see."""
    figure = plt.figure(figsize=(13, 4.6))
    space = figure.add_axes((-0.06, 0, 0.5, 1), projection="3d")
    path = self.scene["trajectory"]
    space.plot(*path.T, color="black", lw=2)
    space.scatter(*path[-1], color="black", s=30)
    poses = self.scene["camera_from_world"]
    size = self.clip.shape[1]
    for color, pose, matrix in zip(
      _COLORS, poses, self.scene["intrinsics"], strict=False
    ):
      rotation, shift = pose[:, :3], pose[:, 3]
      corners = np.array(
        [(0, 0, 1), (size, 0, 1), (size, size, 1), (0, size, 1), (0, 0, 1)]
      )
      rays = np.linalg.solve(matrix, corners.T).T * 0.6
      place = -rotation.T @ shift
      ends = (rays - shift) @ rotation
      space.plot(*ends.T, color=color, lw=1.5)
      for end in ends[:4]:
        space.plot(*np.stack([place, end]).T, color=color, lw=1)
      space.scatter(*place, color=color, s=30)
    space.set(xlabel="x, m", ylabel="y, m", zlabel="z, m", aspect="equal")
    space.set(xticks=(-2, -1, 0, 1, 2), yticks=(0, 1, 2), zticks=(0, 0.5, 1))
    space.view_init(elev=28, azim=-62)
    times = (0, 5, 10, 15)
    for i, (color, clip) in enumerate(
      zip(_COLORS, self.scene["frames"], strict=False)
    ):
      for j, t in enumerate(times):
        axis = figure.add_axes(
          (0.46 + 0.133 * j, 0.64 - 0.315 * i, 0.125, 0.30)
        )
        axis.imshow(clip[t])
        axis.set_xticks([])
        axis.set_yticks([])
        if i == 0:
          axis.set_title(f"frame {t + 1}", fontsize=9)
        for spine in axis.spines.values():
          spine.set(color=color, linewidth=2)
    self.save("views", figure)


def draw(folder: pathlib.Path = _FOLDER) -> None:
  """Writes the pictures."""
  drawer = _Drawer(folder)
  drawer.tokenizer()
  drawer.crops()
  drawer.commit()
  drawer.views()
  drawer.decoding()


if __name__ == "__main__":
  draw(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else _FOLDER)
