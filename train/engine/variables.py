"""Takes networks apart into trees of arrays, and puts them together again."""

import jax
from flax import nnx


def split(network: nnx.Module) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """Takes a network apart: graph, weights, and all that it carries besides.

    That is running statistics, and of a network of one's own any other variable, such
    as the state of its random numbers. Keys are numbers there: those can be saved.
    """
    graph, params, keys, rest = nnx.split(network, nnx.Param, nnx.RngKey, ...)
    keys = jax.tree.map(jax.random.key_data, keys)
    return graph, nnx.as_pure(params), nnx.as_pure(nnx.merge_state(rest, keys))


def merge(graph: nnx.GraphDef, params: nnx.State, rest: nnx.State) -> nnx.Module:
    """A new network of what `split` gave; changing it changes nothing else.

    NNX refuses to change variables made outside of a function that is differentiated.
    """
    network = nnx.merge(graph, params, rest, copy=True)
    keys = nnx.state(network, nnx.RngKey)
    nnx.update(network, jax.tree.map(jax.random.wrap_key_data, keys))
    return network


pure = nnx.to_pure_dict  # a network's arrays as nested dicts, without Flax's types
