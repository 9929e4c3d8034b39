"""The networks of the program, made from options and the shape of the data."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from models import MLP, Transformer, WideResNet
from train.data.dataset import Dataset
from train.engine import own
from train.engine.own import OwnFunction
from train.engine.variables import pure, split
from train.settings.options import Model


class NetworkSpec(NamedTuple):
    """What a network is made from. Hashable."""

    model: Model  # its `network` is set
    input_shape: tuple[int, ...]  # of an example
    num_outputs: int  # classes; 1 for numbers
    own: OwnFunction | None = None  # None for the program's

    @property
    def is_text(self) -> bool:
        """Whether the inputs are texts."""
        if self.own is not None:
            return self.own.is_text
        return self.model.network == "transformer"


def make_network_spec(model: Model, dataset: Dataset) -> NetworkSpec:
    """Chooses the network by the data, where the options do not, and checks it."""
    model = model.for_kind(dataset.kind)
    input_shape = dataset.train_inputs.shape[1:]
    spec = NetworkSpec(model, input_shape, dataset.num_classes or 1)
    if model.own is not None:
        mine = own.find_own(model.own, is_text=dataset.kind == "tokens")
        own.check(mine, input_shape, spec.num_outputs)
        spec = spec._replace(own=mine)
    return spec


def make_network(spec: NetworkSpec, key: jax.Array) -> nnx.Module:
    """Makes a network with fresh weights; call it with inputs and `train`."""
    model, shape, outputs, mine = spec
    if mine is not None:
        return own.make(mine, shape, outputs, key)
    rngs, dtype = nnx.Rngs(key), jnp.dtype(model.dtype)
    match model.network:
        case "wide_resnet":
            sizes = (model.depth, model.widen, outputs)
            return WideResNet(*sizes, channels=shape[-1], dtype=dtype, rngs=rngs)
        case "mlp":
            return MLP(math.prod(shape), model.hidden, outputs, rngs=rngs)
        case _:
            sizes = {"width": model.width, "layers": model.layers, "heads": model.heads}
            return Transformer(outputs, *shape, **sizes, dtype=dtype, rngs=rngs)


def describe(spec: NetworkSpec) -> str:
    """A network's name, as papers write it; of the user's own, with its file's sum."""
    model, shape, outputs, mine = spec
    if mine is not None:
        return f"{mine.function} of {mine.path.name} ({mine.sha256[:8]})"
    match model.network:
        case "wide_resnet":
            return f"WRN-{model.depth}-{model.widen} in {model.dtype}"
        case "mlp":
            units = (math.prod(shape), *model.hidden, outputs)
            return f"MLP {'-'.join(map(str, units))}"
        case _:
            return (
                f"transformer of {model.layers} layers, width {model.width}, "
                f"{model.heads} heads, context {shape[0]}"
            )


def make_network_init(spec: NetworkSpec) -> Callable[[jax.Array], Any]:
    """Returns `init(key) -> (params, batch_stats)`."""
    return lambda key: split(make_network(spec, key))[1:]


def facts_of(spec: NetworkSpec, test_size: int) -> dict[str, Any]:
    """What a run notes of its network; nothing is made.

    `arrays` are the names of trained weights, in the order of the tree's leaves.
    `num_test_predictions` is the number of classes predicted in a test of so many
    examples; None for numbers.
    """
    params, _ = jax.eval_shape(make_network_init(spec), jax.random.key(0))
    leaves = jax.tree_util.tree_leaves_with_path(pure(params))
    predictions = test_size * (spec.input_shape[0] if spec.is_text else 1)
    return {
        "network": describe(spec),
        "arrays": ["/".join(str(key.key) for key in path) for path, _ in leaves],
        "num_parameters": sum(math.prod(leaf.shape) for _, leaf in leaves),
        "num_test_predictions": predictions if spec.num_outputs > 1 else None,
    }


def graph_of(spec: NetworkSpec) -> nnx.GraphDef:
    """The network without its arrays, for `nnx.merge`; makes none."""
    return nnx.graphdef(nnx.eval_shape(lambda: make_network(spec, jax.random.key(0))))
