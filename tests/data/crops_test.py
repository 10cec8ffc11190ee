"""Tests of crops: where they lie, what they depend on, and their errors."""

import dataclasses

import numpy as np
import pytest

from magvit3d.config.networks import TokenizerConfig
from magvit3d.config.training import CropConfig
from magvit3d.data.batches import make_batches
from magvit3d.data.crops import Crop, CroppedClips, fit_crop
from magvit3d.data.scene_clips import fold_views
from magvit3d.errors import UserError

_SHAPE = (6, 20, 24)  # Frames, height, width.
_VQVAE = {
  "filters": 4,
  "channel_multipliers": (1, 2, 2),
  "temporal_downsample": (True, False),
  "embedding_dim": 4,
  "codebook_size": 8,
  "num_enc_res_blocks": 1,
  "num_dec_res_blocks": 1,
}  # Strides: 2 frames, 4 pixels.


@dataclasses.dataclass(frozen=True)
class _Clips:
  """Clips that tell where each pixel was; one pixel of each is an object."""

  views: tuple[int, ...] = ()
  count: int = 12

  def __len__(self):
    return self.count

  def __getitem__(self, index):
    place = np.stack(np.indices(_SHAPE), axis=-1).astype(np.uint8)
    masks = np.zeros(_SHAPE, np.uint8)
    if index:  # The first has no object.
      masks[:, 3 + int(index), 5] = 1
    shape = (*self.views, *masks.shape)
    return {
      "frames": np.broadcast_to(place, (*shape, 3)).copy(),
      "masks": np.broadcast_to(masks, shape).copy(),
      "labels": np.int32(index),
      "background": np.zeros((1, 1, 3), np.float32),
    }


def _crops(crop, index, count=200):
  source = CroppedClips(_Clips(), crop)
  rng = np.random.default_rng(0)
  return [source.random_clip(index, rng) for _ in range(count)]


def test_frames_and_masks_are_cut_at_the_same_place():
  for sample in _crops(Crop(2, 8), 4, 20):
    place, masks = sample["frames"], sample["masks"]
    assert place.shape == (2, 8, 8, 3) and masks.shape == (2, 8, 8)
    is_object = (place[..., 1] == 7) & (place[..., 2] == 5)
    np.testing.assert_array_equal(masks > 0, is_object)
    assert np.ptp(place[..., 0]) == 1  # Frames in a row.
    assert sample["labels"] == 4


def test_all_crops_lie_around_the_object_unless_asked_otherwise():
  def share(object_share):
    crops = _crops(Crop(2, 8, object_share), 11, 400)
    return np.mean([sample["masks"].any() for sample in crops])

  assert share(1.0) == 1
  # Row 14 and column 5 are inside for 6 of 13 tops and 6 of 17 lefts. Of 400
  # such shares the deviation is .018, and .025 at a half; four of them:
  anywhere = 6 / 13 * 6 / 17
  assert share(0.0) == pytest.approx(anywhere, abs=0.074)
  assert share(0.5) == pytest.approx(0.5 + anywhere / 2, abs=0.1)


def test_objects_are_off_the_centre_by_up_to_a_quarter():
  rows = [int(sample["frames"][0, 0, 0, 1]) for sample in _crops(Crop(2, 8), 8)]
  assert set(rows) == {11 - 4 + shift for shift in range(-2, 3)}


def test_clips_without_objects_are_cut_anywhere():
  corners = {
    tuple(sample["frames"][0, 0, 0]) for sample in _crops(Crop(2, 8), 0, 2000)
  }
  assert len({corner[0] for corner in corners}) == 5
  assert len({corner[1] for corner in corners}) == 13
  assert len({corner[2] for corner in corners}) == 17


def test_crops_depend_on_seed_and_place_alone():
  source = CroppedClips(_Clips(), Crop(2, 8, 0.5))

  def batches(seed, **options):
    stream = make_batches(
      source, batch_size=4, seed=seed, num_threads=2, **options
    )
    return stream, lambda n: [next(stream)["frames"] for _ in range(n)]

  _, read = batches(3)
  whole = read(7)
  stream, read = batches(3)
  read(2)
  state = stream.get_state()
  resumed, read = batches(3)
  resumed.set_state(state)
  np.testing.assert_array_equal(read(5), whole[2:])
  _, read = batches(3, num_workers=0, shard_index=0, shard_count=1)
  np.testing.assert_array_equal(read(7), whole)
  _, read = batches(4)
  assert not np.array_equal(read(7), whole)
  # A second epoch (3 batches) has other crops of the same clips.
  first = {frames.tobytes() for batch in whole[:3] for frames in batch}
  second = {frames.tobytes() for batch in whole[3:6] for frames in batch}
  assert len(second - first) > 6


def test_hosts_share_the_crops_of_one():
  source = CroppedClips(_Clips(), Crop(2, 8))
  (whole,) = (
    next(make_batches(source, batch_size=8, seed=0, num_threads=1))["frames"],
  )
  parts = [
    next(
      make_batches(
        source,
        batch_size=4,
        seed=0,
        num_threads=1,
        shard_index=host,
        shard_count=2,
      )
    )["frames"]
    for host in range(2)
  ]
  np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_views_of_a_scene_are_cut_each_by_itself():
  source = CroppedClips(_Clips(views=(3,)), Crop(2, 8))
  stream = make_batches(
    source, batch_size=2, seed=0, num_threads=1, transform=fold_views
  )
  batch = next(stream)
  assert batch["frames"].shape == (6, 2, 8, 8, 3)
  assert len({tuple(frames[0, 0, 0]) for frames in batch["frames"]}) > 2


def _fields(**changed):
  return {"num_frames": None, "size": None, "object_share": 1.0} | changed


def test_none_is_the_whole_clip():
  assert (
    fit_crop(CropConfig(**_fields()), (8, 16, 16, 3), TokenizerConfig(**_VQVAE))
    is None
  )
  crop = fit_crop(
    CropConfig(**_fields(size=8)), (8, 16, 16, 3), TokenizerConfig(**_VQVAE)
  )
  assert crop == Crop(8, 8) and crop.shape == (8, 8, 8, 3)


@pytest.mark.parametrize(
  ("changed", "message"),
  [
    ({"size": 20}, r"crop.size=20 must be a multiple of 4.*at most 16"),
    ({"size": 6}, r"crop.size=6 must be a multiple of 4"),
    ({"size": 0}, r"crop.size=0 must be"),
    ({"num_frames": 3}, r"crop.num_frames=3 must be a multiple of 2"),
    ({"num_frames": 10}, r"crop.num_frames=10 .*at most 8"),
    ({"size": 8, "object_share": 1.5}, r"crop.object_share=1.5 is a share"),
  ],
)
def test_what_does_not_fit_is_told(changed, message):
  with pytest.raises(UserError, match=f"config.train_tokenizer.{message}"):
    fit_crop(
      CropConfig(**_fields(**changed)),
      (8, 16, 16, 3),
      TokenizerConfig(**_VQVAE),
    )
