"""Tasks on scenes of several views: what is given, and where it goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import MASKGVT, TRANSFORMER, VQVAE

from magvit3d.config.run import RunConfig
from magvit3d.models.cameras import Cameras
from magvit3d.tokens import vocabulary
from magvit3d.tokens.masked_model import TokenModel

_VIEWS, _FRAMES, _SIZE = 3, 8, 8
_GRID = (4, 4, 4)
_TASKS = dict(
  frame_interpolation=dict(weight=1.0, cond_frames=2),
  frame_prediction=dict(weight=1.0, cond_frames=3),
  frame_prediction_1=dict(weight=1.0, cond_frames=1),
  full_generation=dict(weight=1.0, class_conditional=True),
  inpainting_c=dict(weight=1.0),
  inpainting_dv=dict(weight=1.0),
  outpainting_c=dict(weight=1.0),
  outpainting_dv=dict(weight=1.0),
  outpainting_h=dict(weight=1.0),
  outpainting_v=dict(weight=1.0),
  view_frame_prediction=dict(weight=1.0, cond_frames=2, num_given_views=1),
  view_prediction=dict(weight=1.0, num_given_views=2),
)
_NAMES = sorted(_TASKS)
_GIVEN = {"view_prediction": 2, "view_frame_prediction": 1}


def _config(**maskgvt):
  return dict(
    seed=0,
    dtype="float32",
    vqvae=dict(VQVAE),
    transformer=dict(
      TRANSFORMER, num_views=_VIEWS, camera_embedding="view", dropout_rate=0.0
    ),
    tasks=_TASKS,
    maskgvt=dict(MASKGVT, **maskgvt),
  )


@pytest.fixture(scope="module")
def model():
  return TokenModel(
    RunConfig.from_dict(_config()), _FRAMES, 12, _GRID, num_cameras=_VIEWS
  )


@pytest.fixture(scope="module")
def params(model):
  init = jax.jit(model.transformer.init)
  return init(jax.random.key(0), *model.init_arguments())["params"]


def _cameras(count=2):
  eye = jnp.broadcast_to(jnp.eye(3), (count, _VIEWS, 3, 3))
  return Cameras(
    views=jnp.tile(jnp.arange(_VIEWS), (count, 1)),
    intrinsics=eye,
    camera_from_world=jnp.pad(eye, [(0, 0)] * 3 + [(0, 1)]),
  )


def _is_given(name, count=2):
  """None for tasks that give no view; different views in the two scenes."""
  if name not in _GIVEN:
    return None
  first = np.array([[1, 1, 0], [0, 1, 1]], bool)
  second = np.array([[0, 1, 0], [0, 0, 1]], bool)
  return jnp.asarray(first if _GIVEN[name] == 2 else second)[:count]


def _expected_latents(name):
  """(2, v, t, h, w): where the condition says something, by hand."""
  view = np.zeros(_GRID, bool)
  middle = slice(1, 3)
  if name == "frame_prediction":
    view[:2] = True  # 3 frames are in 2 latent frames.
  elif name in ("frame_prediction_1", "view_frame_prediction"):
    view[:1] = True
  elif name == "frame_interpolation":
    view[[0, 3]] = True
  elif name == "outpainting_h":
    view[:, middle] = True
  elif name == "outpainting_v":
    view[:, :, middle] = True
  elif name == "outpainting_c":
    view[:, middle, middle] = True
  elif name == "inpainting_c":
    view[:] = True
    view[:, middle, middle] = False
  elif name in ("outpainting_dv", "inpainting_dv"):
    # Starts 0, 2/3, 4/3, 2 of a window of 2 of 4, rounded.
    for time, start in enumerate((0, 1, 1, 2)):
      view[time, :, start : start + 2] = True
    if name == "inpainting_dv":
      view[:, [0, 3]] = False
      view = ~view
  mask = np.broadcast_to(view, (2, _VIEWS, *_GRID)).copy()
  if name in _GIVEN:
    mask[np.asarray(_is_given(name))] = True
  return mask


@pytest.mark.parametrize("name", _NAMES)
def test_condition_tokens_reach_just_the_tokens_that_the_task_gives(
  model, name
):
  """By differences, as ids are whole numbers: all tokens are hidden."""
  index = _NAMES.index(name)
  is_given = _is_given(name)
  tokens = jnp.full((2, *model.grid_shape), 2)
  score = jnp.zeros(tokens.shape)
  shown = [
    model.mask(
      tokens, jnp.full(tokens.shape, code), index, score, 1.0, is_given
    )
    for code in (5, 6)
  ]
  reached = np.asarray(shown[0].masked_inputs != shown[1].masked_inputs)
  kept = np.zeros(reached.shape, bool)
  if is_given is not None:
    kept = np.repeat(np.asarray(is_given), _GRID[0], axis=1)
    kept = np.broadcast_to(kept[..., None, None], reached.shape)
  expected = _expected_latents(name).reshape(reached.shape)
  np.testing.assert_array_equal(reached, expected & ~kept)
  # Given views show their own tokens, everything else MASK.
  inputs = np.asarray(shown[0].masked_inputs)
  np.testing.assert_array_equal(inputs[kept], 2)
  np.testing.assert_array_equal(inputs[~expected], vocabulary.MASK)
  np.testing.assert_array_equal(shown[0].segment_ids, expected & ~kept)
  # No loss where a token is given exactly.
  np.testing.assert_array_equal(shown[0].weights, ~kept)
  np.testing.assert_array_equal(shown[0].targets, 2)


@pytest.mark.parametrize("name", _NAMES)
def test_pixels_reach_the_condition_from_what_is_given_alone(model, name):
  """By gradients, in each view by itself."""
  clips = jnp.zeros((1, _VIEWS, _FRAMES, _SIZE, _SIZE, 3))

  def shown(clips):
    return model.condition_video(clips, _NAMES.index(name))

  # The total of the shown clips of view 1.
  gradient = jax.grad(lambda clips: jnp.sum(shown(clips)[:, 1]))(clips)
  reach = np.asarray(gradient[0] != 0)
  assert reach.shape == clips.shape[1:]
  assert not reach[[0, 2]].any()
  expected = np.zeros((_FRAMES, _SIZE, _SIZE, 3), bool)
  middle = slice(2, 6)
  counts = {"frame_prediction": 3, "frame_prediction_1": 1}
  counts["view_frame_prediction"] = 2
  if name in ("full_generation", "view_prediction"):
    expected[:] = True  # Nothing is taken away: what is shown, the mask says.
  elif name in counts:
    expected[: counts[name]] = True
  elif name == "frame_interpolation":
    expected[[0, 1, -2, -1]] = True
  elif name == "outpainting_h":
    expected[:, middle] = True
  elif name == "outpainting_v":
    expected[:, :, middle] = True
  elif name == "outpainting_c":
    expected[:, middle, middle] = True
  elif name == "inpainting_c":
    expected[:] = True
    expected[:, middle, middle] = False
  else:
    for time in range(_FRAMES):
      start = round(time * 4 / 7)
      expected[time, :, start : start + 4] = True
    if name == "inpainting_dv":
      expected[:, [0, 1, 6, 7]] = False
      expected = ~expected
  np.testing.assert_array_equal(reach[1], expected)


@pytest.mark.parametrize("name", list(_GIVEN))
@pytest.mark.parametrize("mode", ["cond->input", "input->input"])
def test_decoding_never_changes_given_views(params, name, mode):
  model = TokenModel(
    RunConfig.from_dict(_config(condition_mode=mode)),
    _FRAMES,
    12,
    _GRID,
    num_cameras=_VIEWS,
  )
  is_given = _is_given(name)
  rng = np.random.default_rng(0)
  cond_tokens = jnp.asarray(rng.integers(0, 8, (2, *model.grid_shape)))
  steps = jax.jit(model.generate, static_argnums=2)(
    params,
    jax.random.key(0),
    _NAMES.index(name),
    jnp.zeros(2, jnp.int32),
    cond_tokens,
    cameras=_cameras(),
    is_given=is_given,
  )
  kept = np.repeat(np.asarray(is_given), _GRID[0], axis=1)
  for tokens, is_unknown in zip(steps.tokens, steps.is_unknown, strict=True):
    np.testing.assert_array_equal(
      np.asarray(tokens)[kept], np.asarray(cond_tokens)[kept]
    )
    assert not np.asarray(is_unknown)[kept].any()
  made = np.asarray(steps.tokens[-1])[~kept]
  assert (made != np.asarray(cond_tokens)[~kept]).any()
  if mode == "input->input" and name == "view_frame_prediction":
    given = _expected_latents(name).reshape(cond_tokens.shape)
    np.testing.assert_array_equal(
      np.asarray(steps.tokens[-1])[given], np.asarray(cond_tokens)[given]
    )


def test_scenes_have_as_many_given_views_as_the_task_says(model):
  draw = jax.jit(model.draw_given_views, static_argnums=1)
  for index, name in enumerate(_NAMES):
    drawn = np.asarray(draw(jax.random.key(index), 3000, index))
    count = _GIVEN.get(name, 0)
    np.testing.assert_array_equal(drawn.sum(axis=1), count)
    # Each view as often: 5 deviations of a share of 3000.
    share = count / _VIEWS
    limit = 5 * np.sqrt(share * (1 - share) / 3000)
    np.testing.assert_allclose(drawn.mean(axis=0), share, atol=limit + 1e-9)


def test_other_numbers_of_views_can_be_generated(model, params):
  """Of a rig of three, two are asked for."""
  cameras = jax.tree.map(lambda x: x[:, :2], _cameras())
  steps = jax.jit(model.generate, static_argnums=2)(
    params,
    jax.random.key(0),
    _NAMES.index("frame_prediction"),
    jnp.zeros(2, jnp.int32),
    jnp.zeros((2, 8, 4, 4), jnp.int32),
    cameras=cameras,
  )
  assert steps.tokens[-1].shape == (2, 8, 4, 4)


def test_cameras_that_are_missing_are_an_error(model, params):
  ids, *_ = model.init_arguments()
  with pytest.raises(ValueError, match="camera_embedding='view' needs the cam"):
    model._logits(params, ids, None, None)


def _broken(**changes):
  config = _config()
  for section, fields in changes.items():
    config[section] = dict(config[section], **fields)
  return TokenModel(
    RunConfig.from_dict(config), _FRAMES, 12, _GRID, num_cameras=_VIEWS
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"transformer": {"camera_embedding": None}},
      "needs transformer.camera_em",
    ),
    ({"transformer": {"num_views": 1}}, "sequences have 1 view"),
    (
      {"tasks": {"view_prediction": {"num_given_views": 3}}},
      "tasks.view_prediction: num_given_views=3 must be from 1 to 2",
    ),
    (
      {"tasks": {"view_prediction": {"cond_frames": 3}}},
      "no field cond_frames",
    ),
    ({"tasks": {"views": {}}}, "tasks.views is unknown.* view_prediction"),
  ],
)
def test_fields_that_do_not_go_together_are_errors(changes, message):
  with pytest.raises(ValueError, match=message):
    _broken(**changes)
