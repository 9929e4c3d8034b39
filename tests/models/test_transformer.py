from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models import Transformer


@pytest.fixture(scope="module")
def network():
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})  # soon
    def make():
        return nnx.split(
            Transformer(11, 6, width=8, layers=2, heads=2, rngs=nnx.Rngs(0))
        )

    return nnx.merge(*make())


@partial(jax.jit, static_argnames="train")
def logits_of(network, tokens, train=False):
    return network(tokens, train=train)


TOKENS = np.random.default_rng(0).integers(0, 11, (3, 6)).astype(np.int32)


def test_logits_depend_on_this_token_and_those_before_it(network):
    changed = TOKENS.copy()
    changed[:, 3] = (changed[:, 3] + 1) % 11
    before = np.asarray(logits_of(network, TOKENS))
    after = np.asarray(logits_of(network, changed))
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert (np.abs(before[:, 3:] - after[:, 3:]).max(axis=(0, 2)) > 1e-4).all()


def test_order_of_the_tokens_before_matters(network):
    first = np.array([[1, 2, 3]], np.int32)
    second = np.array([[2, 1, 3]], np.int32)
    last = [np.asarray(logits_of(network, x))[0, -1] for x in (first, second)]
    assert np.abs(last[0] - last[1]).max() > 1e-4


def test_examples_do_not_see_each_other(network):
    whole = logits_of(network, TOKENS, train=True)
    alone = logits_of(network, TOKENS[1:2], train=True)
    np.testing.assert_allclose(whole[1:2], alone, rtol=1e-4, atol=1e-6)


def test_parameters_are_counted_by_hand_and_all_have_gradients(network):
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    assert not jax.tree.leaves(rest)  # no dropout, no cache: nothing else to keep

    def loss(params):
        logits = nnx.merge(graph, params, rest, copy=True)(TOKENS, train=True)
        return jnp.mean(jax.nn.log_softmax(logits)[..., 0])

    by_path = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params))
    grads = [grad for _, grad in by_path]
    # A block: 2 norms of 2 x 8; attention 4 x (64 + 8); layers 8 x 32 + 32, 32 x 8 + 8.
    block = 32 + 4 * 72 + 288 + 264
    expected = 11 * 8 + 6 * 8 + 2 * block + 16 + 8 * 11 + 11
    assert sum(grad.size for grad in grads) == expected
    for path, grad in by_path:
        # A bias of the keys adds the same to all scores of a token: softmax drops it.
        name = jax.tree_util.keystr(path)
        assert ("key" in name and "bias" in name) or np.abs(grad).max() > 1e-5, name


def test_logits_are_float32_whatever_it_computes_in():
    def logits():
        rngs = nnx.Rngs(0)
        network = Transformer(11, 6, width=8, heads=2, dtype=jnp.bfloat16, rngs=rngs)
        return network(TOKENS, train=True)

    assert jax.eval_shape(logits).dtype == jnp.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [({"width": 9}, "multiple of the heads"), ({"layers": 0}, "must be at least 1")],
)
def test_sizes_that_make_no_transformer_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Transformer(11, 6, **options, rngs=nnx.Rngs(0))
