"""Batches that do not fit are refused before the first step."""

import numpy as np
import pytest

from magvit3d.errors import UserError
from magvit3d.training import batch_checks

_SHAPE = (4, 8, 8, 3)


def _clips(**changes):
  frames = np.zeros((2, *_SHAPE), np.uint8)
  return {"frames": frames, "masks": frames[..., 0]} | changes


def test_clips_that_fit_pass():
  batch_checks.check_frames(_clips(), _SHAPE)
  batch_checks.check_frames(_clips())


@pytest.mark.parametrize(
  ("batch", "message"),
  [
    (_clips(frames=np.zeros((2, 5, 8, 8, 3), np.uint8)), "5 x 8 x 8 x 3, but"),
    (_clips(frames=np.full((2, *_SHAPE), 1.5)), r"float64 in \[1.5, 1.5\]"),
    (_clips(frames=np.zeros((2, *_SHAPE), np.int8)), "int8 in"),
    (_clips(masks=np.zeros((2, 4, 4, 4), np.uint8)), "Masks .* 4 x 4 x 4, but"),
  ],
)
def test_clips_that_do_not_fit_are_refused(batch, message):
  with pytest.raises(UserError, match=message):
    batch_checks.check_frames(batch, _SHAPE)


def test_tokens_and_labels_that_fit_pass():
  tokens = np.arange(8).reshape(1, 2, 2, 2)
  batch = {"tokens": tokens, "cond_tokens": tokens[:, None]}
  batch_checks.check_tokens(batch, (2, 2, 2), 8)
  batch_checks.check_labels({"labels": np.array([0, 2])}, 3)
  batch_checks.check_labels({"labels": np.array([7])}, 0)


@pytest.mark.parametrize("name", ["tokens", "cond_tokens"])
@pytest.mark.parametrize(
  ("tokens", "message"),
  [
    (np.full((1, 2, 2, 2), 8), r"codebook_size are 8, .* in \[0, 7\]"),
    (np.full((1, 2, 2, 2), -1), r"in \[-1, -1\]"),
    (np.zeros((1, 2, 2, 3), int), "are 2 x 2 x 3, but"),
  ],
)
def test_tokens_that_do_not_fit_are_refused(name, tokens, message):
  with pytest.raises(UserError, match=message) as error:
    batch_checks.check_tokens({name: tokens}, (2, 2, 2), 8)
  assert str(error.value).startswith(name)


def test_label_that_is_no_class_is_refused():
  with pytest.raises(UserError, match=r"labels .* \[0, 3\], but the classes"):
    batch_checks.check_labels({"labels": np.array([0, 3])}, 3)
