"""Tests of the animated strips of clips."""

import base64
import io

import numpy as np
from PIL import Image

from magvit3d.media import animations


def _open(uri):
  return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_strip_shows_its_clips_side_by_side_and_unchanged():
  rng = np.random.default_rng(3)
  clips = list(rng.integers(0, 256, (3, 5, 8, 10, 3)).astype(np.uint8))
  frames = animations.strip_frames(clips)
  image = _open(animations.animation_uri(frames))
  for index in range(5):
    image.seek(index)
    shown = np.asarray(image.convert("RGB"))
    for column, clip in enumerate(clips):
      left = 1 + column * 14
      np.testing.assert_array_equal(
        shown[1:9, left : left + 10], clip[index], strict=True
      )


def test_predicted_frames_have_another_border_than_given_ones():
  clips = [np.zeros((4, 8, 8, 3), np.uint8)] * 2
  frames = animations.strip_frames(
    clips, given_frames=3, predicted_columns=(1,)
  )
  real, predicted = frames[:, 0, 0], frames[:, 0, 12]
  assert (real == animations.GIVEN_COLOR).all()
  assert (predicted[:3] == animations.GIVEN_COLOR).all()
  assert (predicted[3:] == animations.PREDICTED_COLOR).all()


def test_still_clips_keep_all_their_frames():
  clips = [np.zeros((16, 32, 32, 3), np.uint8)] * 2
  uri = animations.animation_uri(animations.strip_frames(clips))
  assert _open(uri).n_frames == 16
