"""What can be told of a config before anything is built."""

import pathlib
from collections.abc import Mapping
from typing import Any

from data_gen import schema
from magvit3d.data.frame_window import FrameWindow, fit_window
from magvit3d.errors import UserError
from magvit3d.monitoring.options import MonitoringOptions

STAGES = ("data", "tokenizer", "transformer", "evaluate", "report")
_FILE_FORMATS = ("tfrecord", "array_record")  # That training reads.
_SAMPLES = ("view", "scene")
_DTYPES = ("float32", "bfloat16")
_COUNTS = (
  "num_steps",
  "log_every_steps",
  "validate_every_steps",
  "checkpoint_every_steps",
  "gradient_accumulation_steps",
)


def chosen_stages(text: str) -> list[str]:
  """Returns the stages that a comma-separated text names, in their order."""
  names = [name.strip() for name in text.split(",") if name.strip()]
  unknown = [name for name in names if name not in STAGES]
  if unknown or not names:
    raise UserError(
      f"--config.stages={text!r}: {', '.join(unknown) or 'nothing'} is no "
      f"stage; the stages are {','.join(STAGES)}."
    )
  return [name for name in STAGES if name in names]


def check_fields(config: Mapping[str, Any]) -> None:
  """Raises UserError for values that would be met late or not at all."""
  choices = {
    "dtype": (config["dtype"], _DTYPES),
    "data.file_format": (config["data"]["file_format"], _FILE_FORMATS),
    "input.sample": (config["input"]["sample"], _SAMPLES),
    "evaluation.split": (config["evaluation"]["split"], schema.SPLITS),
    "vqgan.gradient_penalty": (
      config["vqgan"]["gradient_penalty"],
      ("r1", "none"),
    ),
  }
  for field, (value, known) in choices.items():
    if value not in known:
      raise UserError(
        f"config.{field}={value!r} is unknown; use one of {', '.join(known)}."
      )
  hidden_size = config["transformer"]["hidden_size"]
  num_heads = config["transformer"]["num_heads"]
  if num_heads < 1 or hidden_size % num_heads:
    raise UserError(
      f"config.transformer.num_heads={num_heads} does not divide "
      f"config.transformer.hidden_size={hidden_size}. Change either."
    )
  for section in ("train_tokenizer", "train_transformer"):
    for field in _COUNTS:
      value = config[section][field]
      if value is not None and value < 1:
        raise UserError(
          f"config.{section}.{field}={value} counts steps; use 1 or more."
        )
  _check_evaluation(config["evaluation"])
  _check_split(config["evaluation"]["split"], config["data"])
  MonitoringOptions.from_config(config["monitoring"])
  check_reading(config)
  check_skipping(config)
  _check_samples(config)


def _check_evaluation(settings: Mapping[str, Any]) -> None:
  """Checks now what would be met when training is over."""
  for field in (
    "num_clips",
    "num_probe_scenes",
    "num_probe_steps",
    "num_classifier_samples",
    "num_classifier_steps",
    "num_samples_per_class",
    "num_shown_samples_per_class",
  ):
    least = 0 if field == "num_probe_scenes" else 1
    if settings[field] < least:
      raise UserError(
        f"config.evaluation.{field}={settings[field]} must be {least} or more."
      )
  shares = settings["token_budgets"]
  if not all(0 <= share <= 1 for share in shares):
    raise UserError(
      f"config.evaluation.token_budgets={tuple(shares)} are shares of a clip's "
      "tokens; use numbers from 0 to 1."
    )
  for field in ("i3d_weights", "c3d_weights", "lpips_weights"):
    for path in (settings[field] or "").split(","):
      if path and not pathlib.Path(path).is_file():
        raise UserError(
          f"config.evaluation.{field}={settings[field]}: {path} is no file. "
          "Name one with weights (docs/video_metrics.md), or leave it out: "
          "the metric is then not computed."
        )


def _check_split(split: str, data: Mapping[str, Any]) -> None:
  """Raises UserError if the run will not make the scenes to score on."""
  field = f"num_{split}"
  if not data["data_dir"] and not data.get(field, 1):
    raise UserError(
      f"config.evaluation.split={split!r}, but config.data.{field}=0 makes no "
      "such scenes. Ask for some, or score on another split."
    )


def check_skipping(config: Mapping[str, Any]) -> None:
  """Raises UserError for a number of steps that cannot be."""
  if config["max_skipped_steps"] < 0:
    raise UserError(
      f"config.max_skipped_steps={config['max_skipped_steps']} must be 0 or "
      "more; 0 fails at the first step that is not finite."
    )


def check_reading(config: Mapping[str, Any]) -> None:
  """Raises UserError for numbers of threads and processes that cannot be."""
  for field in ("num_reading_threads", "num_reading_workers"):
    if config[field] < 0:
      raise UserError(
        f"config.{field}={config[field]} must be 0 or more; 0 is for none "
        "besides the main one."
      )


def _check_samples(config: Mapping[str, Any]) -> None:
  """Checks what can be told of samples before there are scenes."""
  samples = config["input"]
  window = clip_window(config["data"], samples)
  is_of_scene = samples["sample"] == "scene"
  if samples["num_views"] is not None and not is_of_scene:
    raise UserError(
      f"config.input.num_views={samples['num_views']} goes with "
      "config.input.sample='scene'; a 'view' is of one camera."
    )
  is_cached = config["tokenizer_cache"]
  if is_cached and (is_of_scene or window.num_starts > 1):
    raise UserError(
      "config.tokenizer_cache=True keeps the tokens of each clip once, but "
      "config.input asks for other samples (sample, num_frames, "
      "frame_stride). Use --config.tokenizer_cache=False."
    )


def check_whole_scenes(field: str, batch_size: int, num_views: int) -> None:
  """Raises UserError if a batch does not divide into samples of `num_views`.

  Args:
    field: Name of `batch_size` in the config.
    batch_size: Clips.
    num_views: Of a sample.
  """
  if batch_size % num_views:
    raise UserError(
      f"config.{field}={batch_size} counts clips, and samples of scenes have "
      f"{num_views} (config.input, config.transformer.num_views). Use a "
      "multiple of that."
    )


def clip_window(
  data: Mapping[str, Any], samples: Mapping[str, Any]
) -> FrameWindow:
  """Returns which frames of the scenes the clips have.

  Args:
    data: `config.data`.
    samples: `config.input`.

  Raises:
    UserError: They do not fit.
  """
  if data["num_frames"] < 1:
    raise UserError(
      f"config.data.num_frames={data['num_frames']} must be at least 1."
    )
  return fit_window(
    data["num_frames"], samples["num_frames"], samples["frame_stride"]
  )
