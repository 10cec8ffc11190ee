"""Rays of cameras, and what the transformer makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_gen.rendering import cameras as rigs
from magvit3d.models.bert import Bert
from magvit3d.models.cameras import RayEmbed, plucker_rays

_SIZE, _GRID = 24, (3, 4)  # Pixels; cells.
_PREFIX, _TIMES, _VIEWS = 2, 2, 3


def _cameras():
  positions = np.array([[2.0, 0.3, 1.0], [-1.0, 1.5, 0.4], [0.2, -2.2, 0.1]])
  poses = [rigs.look_at(position, np.zeros(3)) for position in positions]
  intrinsics = rigs.make_intrinsics(_SIZE, rigs.VERTICAL_FIELD_OF_VIEW)
  intrinsics[0, 2] += 1.7  # No symmetry hides a mistake.
  return (
    np.stack([intrinsics] * _VIEWS).astype(np.float32),
    np.stack(poses).astype(np.float32),
  )


@pytest.fixture(scope="module")
def rays():
  intrinsics, poses = _cameras()
  arguments = jnp.asarray(intrinsics[None]), jnp.asarray(poses[None])
  found = plucker_rays(*arguments, _GRID, _SIZE)
  return np.asarray(found)[0]


@pytest.mark.parametrize("depth_m", [0.5, 3.0])
def test_points_of_a_ray_are_seen_in_the_centre_of_its_cell(rays, depth_m):
  """Projected as `data_gen.rendering.cameras` says; float32 at a few metres."""
  intrinsics, poses = _cameras()
  for view in range(_VIEWS):
    direction, moment = rays[view, ..., :3], rays[view, ..., 3:]
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1, rtol=1e-6)
    # The point of a line that is nearest to the origin is d x m.
    nearest = np.cross(direction, moment)
    centre = -poses[view, :, :3].T @ poses[view, :, 3]
    along = np.sum((centre - nearest) * direction, axis=-1, keepdims=True)
    np.testing.assert_allclose(
      nearest + along * direction,
      np.broadcast_to(centre, (*_GRID, 3)),
      atol=1e-5,
    )
    point = centre + depth_m * direction
    seen = point @ poses[view, :, :3].T + poses[view, :, 3]
    pixel = seen @ intrinsics[view].T
    x, y = pixel[..., 0] / pixel[..., 2], pixel[..., 1] / pixel[..., 2]
    # 24 pixels are 3 rows of 8 and 4 columns of 6, and pixel 0 has its centre
    # at 0: cells 0 cover [-0.5, 7.5] and [-0.5, 5.5].
    columns, rows = np.meshgrid([2.5, 8.5, 14.5, 20.5], [3.5, 11.5, 19.5])
    np.testing.assert_allclose(x, columns, atol=1e-4)
    np.testing.assert_allclose(y, rows, atol=1e-4)


def test_all_cells_of_all_cameras_have_rays_of_their_own(rays):
  flat = rays.reshape(-1, 6)
  distances = np.abs(flat[:, None] - flat[None]).max(-1)
  assert distances[~np.eye(len(flat), dtype=bool)].min() > 1e-2


def _bert(**fields):
  return Bert(
    **dict(
      vocab_size=12,
      hidden_size=16,
      num_layers=2,
      num_heads=2,
      mlp_dim=32,
      max_position_embeddings=_PREFIX + _TIMES * _GRID[0] * _GRID[1],
      prefix_length=_PREFIX,
      kernel_init_stddev=0.3,
    )
    | fields
  )


def _ids():
  count = _PREFIX + _VIEWS * _TIMES * _GRID[0] * _GRID[1]
  return jax.random.randint(jax.random.key(0), (1, count), 0, 11)


def _in_order(flat, order):
  """Puts the views of a sequence (1, n, ...) into another order."""
  views = flat[:, _PREFIX:].reshape(1, _VIEWS, -1, *flat.shape[2:])
  views = views[:, np.asarray(order)].reshape(1, -1, *flat.shape[2:])
  return jnp.concatenate([flat[:, :_PREFIX], views], axis=1)


@pytest.mark.parametrize("kind", ["rays", "view"])
def test_views_in_another_order_with_their_cameras_give_logits_in_that_order(
  rays, kind
):
  model = _bert(camera_embedding=kind, num_cameras=5)
  numbers = np.array([[0, 3, 4]])
  cameras = jnp.asarray(rays[None] if kind == "rays" else numbers)
  variables = jax.jit(model.init)(jax.random.key(1), _ids(), None, cameras)
  run = jax.jit(model.apply)
  order = [2, 0, 1]
  logits = run(variables, _ids(), None, cameras)
  moved = run(variables, _in_order(_ids(), order), None, cameras[:, order])
  expected = _in_order(logits, order)
  # Attention sums in another order: float32, logits of about 1.
  np.testing.assert_allclose(moved, expected, atol=2e-5)
  # Cameras left behind make a difference, in the prefix too.
  left = run(variables, _in_order(_ids(), order), None, cameras)
  assert np.abs(left - expected)[:, :_PREFIX].max() > 1e-3
  assert np.abs(left - expected)[:, _PREFIX:].max() > 1e-2


def test_views_without_an_embedding_could_not_be_told_apart():
  """Positions are counted within a view."""
  model = _bert()
  variables = jax.jit(model.init)(jax.random.key(1), _ids())
  run = jax.jit(model.apply)
  logits = run(variables, _ids())
  moved = run(variables, _in_order(_ids(), [2, 0, 1]))
  np.testing.assert_allclose(moved, _in_order(logits, [2, 0, 1]), atol=2e-5)
  order = np.arange(_ids().shape[1])
  order[[3, 4]] = [4, 3]  # Within a view they are not alike.
  assert (
    np.abs(run(variables, _ids()[:, order]) - logits[:, order]).max() > 1e-2
  )


def test_a_camera_that_was_never_seen_has_an_embedding_too(rays):
  model = _bert(camera_embedding="rays")
  variables = jax.jit(model.init)(
    jax.random.key(1), _ids(), None, jnp.asarray(rays[None])
  )
  more = np.concatenate([rays, rays[:1] + 0.1])[None]
  ids = jnp.concatenate([_ids(), _ids()[:, _PREFIX : _PREFIX + 24]], axis=1)
  logits = jax.jit(model.apply)(variables, ids, None, jnp.asarray(more))
  assert logits.shape == (1, ids.shape[1], 12)
  views = logits[0, _PREFIX:].reshape(4, 24, 12)
  assert np.abs(views[3] - views[0]).max() > 1e-2  # The tokens are the same.


def test_the_prefix_has_no_camera_and_tokens_get_what_their_ray_gives(rays):
  """By gradients: which outputs of the embedding a ray reaches."""
  width = 4
  embed = RayEmbed(width, jax.nn.initializers.normal(0.5), jnp.float32)
  variables = embed.init(jax.random.key(0), jnp.asarray(rays[None]))

  def total(rays):
    return jnp.sum(embed.apply(variables, rays)[0, 1, 0, 2, 3])

  gradient = np.abs(jax.grad(total)(jnp.asarray(rays[None])))[0].sum(-1)
  assert gradient[1, 2, 3] > 0
  gradient[1, 2, 3] = 0
  np.testing.assert_array_equal(gradient, 0)


def test_one_view_without_cameras_has_upstreams_parameters_only():
  ids = _ids()[:, : _PREFIX + 24]
  shapes = jax.eval_shape(_bert().init, jax.random.key(0), ids)["params"]
  assert set(shapes) == {
    "BertEmbed_0",
    "BertLayer_0",
    "BertLayer_1",
    "BertMlmLayer_0",
  }
  assert set(shapes["BertEmbed_0"]) == {
    "word_embeddings",
    "position_embeddings",
    "embeddings_ln",
  }


@pytest.mark.variants
@pytest.mark.parametrize(
  "fields", [{"remat": True}, {"attention_implementation": "xla"}]
)
def test_how_attention_is_computed_changes_no_number(fields):
  ids = _ids()
  plain, other = _bert(dropout_rate=0.2), _bert(dropout_rate=0.2, **fields)
  variables = jax.jit(plain.init)(jax.random.key(1), ids)
  again = jax.eval_shape(other.init, jax.random.key(1), ids)
  assert jax.tree.structure(variables) == jax.tree.structure(again)

  def gradients(model):
    def loss(variables):
      rngs = {"dropout": jax.random.key(3)}
      logits = model.apply(variables, ids, train=True, rngs=rngs)
      return jnp.mean(jax.nn.log_softmax(logits)[..., 0])

    return jax.jit(jax.value_and_grad(loss))(variables)

  (value, grads), (value_2, grads_2) = gradients(plain), gradients(other)
  np.testing.assert_allclose(value, value_2, rtol=1e-6)
  # Entries are sums of 74 positions' terms, each rounded to 6e-8 of its size.
  # Of a key's bias, which moves all scores alike, the terms cancel.
  usual = np.median([np.abs(a).max() for a in jax.tree.leaves(grads)])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(
      a, b, atol=1e-5 * max(np.abs(a).max(), usual)
    ),
    grads,
    grads_2,
  )
