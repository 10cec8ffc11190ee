"""Trained networks as a user calls them, on NumPy arrays.

  from magvit3d.api import Magvit

  m = Magvit.from_run("runs/traj3d")
  clips = m.generate(shape="cone", motion="helical", num=4)

Videos are uint8 in [0, 255] or floats in [0, 1]: one clip (t, h, w, 3), or a
batch (b, t, h, w, 3) of any size. Results have the same type and rank. Wrong
arguments raise `magvit3d.errors.UserError`.
"""

import functools
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from data_gen.files import user_paths
from magvit3d.errors import UserError
from magvit3d.inference import (
  camera_rigs,
  class_choices,
  finished_run,
  sampling,
  user_scenes,
  user_videos,
)
from magvit3d.inference.clip_networks import ClipNetworks
from magvit3d.inference.sampling import Sample, TaskSampler
from magvit3d.inference.trained import TrainedNetworks
from magvit3d.inference.user_scenes import Scenes
from magvit3d.parallel import sharding
from magvit3d.parallel.number_types import in_own_types
from magvit3d.pretrained import files, hub, shipped
from magvit3d.tokens.tasks import VIEW_KINDS

BATCH_SIZE = 8


class Magvit:
  """A tokenizer, with the transformer on its tokens where it was trained.

  Attributes:
    trained: Parameters, and what they belong to.
    networks: The same, as functions of arrays.

  Args:
    trained: Networks.
    batch_size: Clips that are worked on at a time, over all devices. What is
      computed of a clip does not depend on how many others come with it.
  """

  @in_own_types
  def __init__(self, trained: TrainedNetworks, *, batch_size: int = BATCH_SIZE):
    sampling.check_count("batch_size", batch_size)
    self.trained = trained
    self.networks = ClipNetworks(trained, batch_size)

  @classmethod
  @in_own_types
  def from_run(
    cls, workdir: str | os.PathLike, *, batch_size: int = BATCH_SIZE
  ) -> "Magvit":
    """Takes the newest checkpoints of a run of configs/traj3d.py.

    The run's data may be gone. Nothing in the folder is changed.
    """
    place = sharding.replicated(sharding.make_mesh())
    folder = user_paths.read(workdir)
    return cls(finished_run.load(folder, place), batch_size=batch_size)

  @classmethod
  @in_own_types
  def from_pretrained(
    cls,
    name: str | os.PathLike,
    *,
    batch_size: int = BATCH_SIZE,
    revision: str | None = None,
  ) -> "Magvit":
    """Reads networks by name, or from a folder that `save_pretrained` wrote.

    Args:
      name: One of `pretrained()`; or a folder; or, where there is none,
        user/model on the Hugging Face Hub. A folder that is called as one of
        `pretrained()` is ./NAME.
      batch_size: See `Magvit`.
      revision: Branch, tag or commit on the hub; None is the newest.
    """
    place = sharding.replicated(sharding.make_mesh())
    if str(name) in shipped.names():
      return cls(shipped.load(str(name), place), batch_size=batch_size)
    folder = user_paths.read(name)
    if not folder.exists():
      if not hub.is_name(str(name)):
        raise shipped.unknown(str(name))
      with hub.downloaded(str(name), revision) as folder:
        return cls(files.load(folder, place), batch_size=batch_size)
    return cls(files.load(folder, place), batch_size=batch_size)

  @in_own_types
  def save_pretrained(
    self,
    folder: str | os.PathLike,
    *,
    dtype: str = "float32",
    license: str | None = None,
  ) -> None:
    """Writes what `from_pretrained` reads, and a card, README.md.

    An earlier export in the folder is replaced in one step; anything else in
    it is an error.

    Args:
      folder: New, or with an earlier export.
      dtype: Of the parameters in the file: "float32", or "float16", half of it.
      license: Of the parameters, for the card, such as "apache-2.0".
    """
    path = user_paths.read(folder)
    files.save(self.trained, path, dtype, license=license)

  @in_own_types
  def push_to_hub(
    self,
    repo_id: str,
    *,
    dtype: str = "float32",
    license: str | None = None,
    private: bool = True,
    message: str = "Networks of magvit3d",
  ) -> str:
    """Writes the same to the Hugging Face Hub; returns the commit's address.

    Args:
      repo_id: user/model; made if there is none.
      dtype: As of `save_pretrained`.
      license: The same.
      private: Whether a new one is seen by its owners alone.
      message: Of the commit.
    """
    with tempfile.TemporaryDirectory(prefix="magvit3d_hub_") as folder:
      path = pathlib.Path(folder)
      files.save(self.trained, path, dtype, license=license, title=repo_id)
      return hub.upload(path, repo_id, private, message)

  # What it knows.

  @property
  def clip_shape(self) -> tuple[int, int, int, int]:
    """Shape of a clip, (t, h, w, 3)."""
    return self.trained.clip_shape

  @property
  def latent_shape(self) -> tuple[int, int, int]:
    """Shape of a clip's tokens, (t', h', w')."""
    t, h, w = self.trained.model.latent_shape
    return t, h, w

  @property
  def codebook_size(self) -> int:
    """Number of codes, k; tokens are in [0, k)."""
    return self.trained.model.vocabulary.codebook_size

  @property
  def class_names(self) -> tuple[str, ...]:
    """Names of the classes, by label."""
    return self.trained.class_names

  @property
  def task_names(self) -> tuple[str, ...]:
    """Tasks that the transformer has learnt."""
    return self.sampler.task_names

  @functools.cached_property
  def sampler(self) -> TaskSampler:
    """Its tasks; an error where there is no transformer."""
    return TaskSampler(self.trained, self.networks)

  # Tokenizer.

  @in_own_types
  def tokenize(self, video: Any) -> np.ndarray:
    """Returns the tokens of a video, int32 (t', h', w') or (b, t', h', w')."""
    videos = user_videos.read_videos(video, self.clip_shape)
    return videos.like_given(self.networks.encode(videos.clips))

  @in_own_types
  def detokenize(self, tokens: Any, *, dtype: Any = np.uint8) -> np.ndarray:
    """Returns the video of tokens (t', h', w') or (b, t', h', w').

    Args:
      tokens: Integers in [0, `codebook_size`).
      dtype: uint8, or a type of floats.
    """
    grids, is_single = user_videos.read_tokens(
      tokens, self.latent_shape, self.codebook_size
    )
    pixels = user_videos.to_pixels(self.networks.decode(grids), dtype)
    return pixels[0] if is_single else pixels

  @in_own_types
  def reconstruct(self, video: Any) -> np.ndarray:
    """Returns what is left of a video after its way through the tokens."""
    videos = user_videos.read_videos(video, self.clip_shape)
    clips = self.networks.decode(self.networks.encode(videos.clips))
    pixels = user_videos.to_pixels(clips, videos.pixels.dtype)
    return videos.like_given(pixels)

  # Transformer.

  @in_own_types
  def generate(
    self,
    shape: str | None = None,
    motion: str | None = None,
    num: int = 4,
    seed: int = 0,
    *,
    cameras: Any = None,
    dtype: Any = np.uint8,
  ) -> np.ndarray:
    """Returns new clips, (num, t, h, w, 3), or scenes, (num, v, t, h, w, 3).

    Args:
      shape: Of the object; footage has its class names here. None: any.
      motion: Of the object. None: any.
      num: Clips, or scenes.
      seed: The same one gives the same clips.
      cameras: Of a transformer of several views; see `predict_views`.
      dtype: uint8, or a type of floats.

    Where the class is left open, a run whose full generation is told no class
    leaves it to the network; other runs are told random ones that fit.
    """
    task, labels = self.choose_classes(shape, motion, num, seed)
    rig = user_scenes.read_rig_of(self.trained, cameras)
    sample = self.sampler.sample(
      task, None, labels, seed, cameras=rig and rig.of_scenes(num)
    )
    clips = self.networks.decode(sample.tokens)
    pixels = user_videos.to_pixels(clips, dtype)
    if rig is not None:
      pixels = pixels.reshape(num, rig.num_views, *self.clip_shape)
    return pixels

  def choose_classes(
    self, shape: str | None, motion: str | None, num: int, seed: int
  ) -> tuple[int, np.ndarray]:
    """Returns the task that generates, by number, and the clips' classes."""
    sampler = self.sampler
    labels = self.choose_labels(shape, motion, num, seed)
    is_open = shape is None and motion is None
    task = sampler.find("full_generation", with_class=False)
    if is_open and task is not None:
      return task, np.full(num, sampler.no_class, np.int32)
    task = sampler.find("full_generation", with_class=True)
    if task is None:
      advice = "which task.class_conditional=True teaches"
      what = f"generation of a class, {advice}" if not is_open else "it"
      raise UserError(
        "generate needs the task full_generation, and this run has not learnt "
        f"{what}. Its tasks are {', '.join(sampler.task_names)}."
      )
    return task, labels

  def choose_labels(
    self, shape: str | None, motion: str | None, num: int, seed: int
  ) -> np.ndarray:
    """Draws `num` classes of a shape and a motion, either of which is open."""
    sampling.check_count("num", num)
    sampling.check_seed(seed)
    found = class_choices.matching_labels(self.class_names, shape, motion)
    return np.random.default_rng(seed).choice(found, num)

  @in_own_types
  def predict(
    self,
    video: Any,
    given_frames: int | None = None,
    seed: int = 0,
    *,
    cameras: Any = None,
    given_views: Sequence[int] = (),
    shape: str | None = None,
    motion: str | None = None,
  ) -> np.ndarray:
    """Returns a video whose first frames are given, and the others predicted.

    Args:
      video: Clips; of these at least the first `given_frames`. For a
        transformer of several views scenes, (v, t, h, w, 3) or (n, v, t, h, w,
        3).
      given_frames: Frames that the network sees, which are returned as they
        are. None: as many as the run's task was trained with; other numbers
        are beyond what it was trained for.
      seed: The same one gives the same frames.
      cameras: Of a transformer of several views; see `predict_views`.
      given_views: Numbers of views of which all frames are given, and returned
        as they are: the task is view_frame_prediction then.
      shape: Told to a run whose task knows classes.
      motion: The same.
    """
    views = camera_rigs.view_numbers(given_views)
    kind = "view_frame_prediction" if views else "frame_prediction"
    task = self._find(kind, "predict")
    count = given_frames
    if count is None:
      count = self.sampler.trained_frames(task)
    sampling.check_count("given_frames", count)
    if count >= self.clip_shape[0]:
      raise UserError(
        f"given_frames={given_frames} must be from 1 to "
        f"{self.clip_shape[0] - 1}, as clips have {self.clip_shape[0]} frames."
      )
    scenes = user_scenes.read_scenes(
      self.trained,
      video,
      cameras,
      least_frames=None if views else count,
    )
    if views:
      views = scenes.check_given_views(views)
    labels = self._labels(shape, motion, scenes.count)
    sample = self.sampler.sample(
      task, scenes.clips, labels, seed, count, scenes.cameras, views
    )
    is_given = np.arange(self.clip_shape[0]) < count
    is_given = scenes.of_views(views)[:, None] | is_given
    return self._result(sample, scenes, is_given[..., None, None])

  @in_own_types
  def predict_views(
    self,
    video: Any,
    cameras: Any = None,
    given_views: Sequence[int] = (0,),
    seed: int = 0,
    *,
    shape: str | None = None,
    motion: str | None = None,
  ) -> np.ndarray:
    """Returns what all cameras see of a scene, from what some of them saw.

    Args:
      video: Clips of the given views, (k, t, h, w, 3) or (n, k, t, h, w, 3).
      cameras: Of all v views: `data_gen.rendering.cameras.Cameras`, or another
        object with `intrinsics` (v, 3, 3), pixels, and `camera_from_world`
        (v, 3, 4), metres; with an axis n before them, each scene has its own.
        None: the rig that all scenes of the run's data share.
      given_views: Numbers of the cameras that the clips are of, k of them.
      seed: The same one gives the same clips.
      shape: Told to a run whose view_prediction knows classes.
      motion: The same.

    Returns:
      (v, t, h, w, 3) or (n, v, t, h, w, 3); given views as they were.
    """
    task = self._find("view_prediction", "predict_views")
    views = camera_rigs.view_numbers(given_views)
    given = user_scenes.read_scenes(
      self.trained, video, cameras, given_views=views
    )
    views = given.check_given_views(views)
    labels = self._labels(shape, motion, given.count)
    scenes = given.with_all_views(views)
    sample = self.sampler.sample(
      task,
      scenes.clips,
      labels,
      seed,
      cameras=scenes.cameras,
      given_views=views,
    )
    is_given = scenes.of_views(views)[:, None, None, None]
    return self._result(sample, scenes, is_given)

  @in_own_types
  def inpaint(
    self,
    video: Any,
    mask: Any,
    seed: int = 0,
    *,
    cameras: Any = None,
    shape: str | None = None,
    motion: str | None = None,
  ) -> np.ndarray:
    """Returns a video with some of its pixels filled in, the others as given.

    How it is done: `TaskSampler.fill`.

    Args:
      video: Clips, or scenes for a transformer of several views; what is at the
        pixels to fill in is not looked at.
      mask: Bool, as the video but for the 3 colours, or as one clip or scene of
        it, for all; True at the pixels to fill in.
      seed: The same one gives the same pixels.
      cameras: Of a transformer of several views; see `predict_views`.
      shape: Told to a run whose task knows classes.
      motion: The same.
    """
    video = user_videos.without_holes(video, mask)
    scenes = user_scenes.read_scenes(self.trained, video, cameras)
    is_hole = scenes.read_mask(mask)
    labels = self._labels(shape, motion, scenes.count)
    sample = self.sampler.fill(
      scenes.clips, is_hole, labels, seed, scenes.cameras
    )
    return self._result(sample, scenes, ~is_hole)

  @in_own_types
  def surprise(
    self,
    video: Any,
    cameras: Any = None,
    *,
    past_alone: bool = False,
    num_draws: int | None = None,
    seed: int = 0,
    shape: str | None = None,
    motion: str | None = None,
  ) -> np.ndarray:
    """Returns how unexpected each latent frame is, in bits: float32 (t',).

    A frame's tokens are hidden, in all views, and cost what the network gives
    them too little probability, see `magvit3d.tokens.surprise`. A batch of
    clips or scenes has (b, t').

    Args:
      video: Clips; for a transformer of several views scenes, see `predict`.
      cameras: Of a transformer of several views; see `predict_views`.
      past_alone: Whether later frames are hidden too; the bits of all frames
        are then those of the clip. Else a frame is told all others.
      num_draws: None: tokens of a frame count as independent. A number: the
        mean of so many draws of the bound of masked diffusion
        (https://arxiv.org/abs/2406.04329), which takes as many times longer.
      seed: Of these; the same one hides the same tokens.
      shape: Told to a run whose generation knows classes.
      motion: The same.
    """
    scenes = user_scenes.read_scenes(self.trained, video, cameras)
    bits = self.sampler.frame_bits(
      scenes.clips,
      self._labels(shape, motion, scenes.count),
      seed,
      scenes.cameras,
      past_alone=past_alone,
      num_draws=num_draws,
    )
    return scenes.videos.like_given(bits)

  def _find(self, kind: str, what: str) -> int:
    """The task of a kind."""
    task = self.sampler.find(kind)
    if task is None:
      by = " by configs/traj3d_multiview.py" if kind in VIEW_KINDS else ""
      raise UserError(
        f"{what} needs the task {kind}, which is learnt{by} where config.tasks "
        f"has it; this run has learnt {', '.join(self.task_names)}."
      )
    return task

  def _result(
    self,
    sample: Sample,
    scenes: Scenes,
    is_given: Bool[np.ndarray, " b #t #h #w"],
  ) -> np.ndarray:
    """What was made, with given pixels as they were given."""
    given = scenes.videos.pixels
    clips = self.networks.decode(sample.tokens)
    pixels = user_videos.to_pixels(clips, given.dtype)
    t = given.shape[1]  # Frames that are to be predicted may be missing.
    pixels[:, :t] = np.where(is_given[:, :t, ..., None], given, pixels[:, :t])
    return scenes.like_given(pixels)

  def _labels(
    self, shape: str | None, motion: str | None, count: int
  ) -> np.ndarray:
    """The one class that a user named, or none."""
    if shape is None and motion is None:
      return np.full(count, len(self.class_names), np.int32)
    found = class_choices.matching_labels(self.class_names, shape, motion)
    if len(found) > 1:
      raise UserError(
        f"shape={shape!r} and motion={motion!r} leave the class open; name "
        f"both, of one of {', '.join(self.class_names)}."
      )
    return np.full(count, found[0], np.int32)


def pretrained() -> dict[str, str]:
  """Returns the models that come with the package: a line of each, by name."""
  return shipped.summaries()
