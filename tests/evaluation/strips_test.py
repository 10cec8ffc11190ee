"""Pictures of what networks make of clips."""

import numpy as np
from PIL import Image

from magvit3d.evaluation import strips
from magvit3d.monitoring.metric_writers import MetricWriters


def test_a_row_shows_the_clip_and_what_was_made_of_it():
  rng = np.random.default_rng(0)
  real = rng.integers(0, 256, (3, 4, 40, 40, 3)).astype(np.uint8)
  made = rng.uniform(size=real.shape).astype(np.float32)
  frames = strips.rows_of(real, made)
  assert frames.dtype == np.uint8 and len(frames) == 4
  row_height = frames.shape[1] // 3
  for clip in range(3):
    row = frames[:, clip * row_height : (clip + 1) * row_height]
    # Borders are a pixel wide at 40 pixels, gaps are of two.
    np.testing.assert_array_equal(row[:, 1:41, 1:41], real[clip])
    np.testing.assert_array_equal(
      row[:, 1:41, 45:85], np.rint(made[clip] * 255).astype(np.uint8)
    )


def test_samples_are_an_animation_and_a_picture_in_tensorboard(tmp_path):
  frames = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 3))
  frames = frames.astype(np.uint8)
  writers = MetricWriters(tmp_path, "tokenizer", 0)
  writers.write_samples(150, 1.0, frames)
  writers.close()
  with Image.open(tmp_path / "tokenizer/samples/0000150.webp") as animation:
    assert animation.n_frames == 5 and animation.size == (12, 8)
    animation.seek(3)
    np.testing.assert_array_equal(
      np.asarray(animation.convert("RGB")), frames[3]
    )
  (events,) = (tmp_path / "tokenizer/tensorboard").glob("*tfevents*")
  assert b"samples" in events.read_bytes()
