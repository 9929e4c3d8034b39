"""The networks of the program, made from options and the shape of the data."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models import MLP, Transformer, WideResNet
from train.data.dataset import Dataset
from train.engine import own
from train.engine.own import OwnNetwork
from train.engine.variables import pure, split
from train.settings.options import Model
from train.settings.own import parse_network


class NetworkSpec(NamedTuple):
    """What a network is made from. Hashable.

    Attributes:
      model: its options; `network` is set.
      input_shape: of an example.
      num_outputs: classes; 1 for numbers.
      own: where a network of the user's own comes from; None for the program's.
    """

    model: Model
    input_shape: tuple[int, ...]
    num_outputs: int
    own: OwnNetwork | None = None

    @property
    def is_text(self) -> bool:
        """Whether the inputs are texts."""
        if self.own is not None:
            return self.own.is_text
        return self.model.network == "transformer"


def make_network_spec(model: Model, dataset: Dataset) -> NetworkSpec:
    """Chooses the network by the data, where the options do not.

    Raises:
      InputError: the network asked for does not take such inputs; or it is the user's
        own, and cannot be trained.
    """
    model = model.for_kind(dataset.kind)
    input_shape = dataset.train_inputs.shape[1:]
    spec = NetworkSpec(model, input_shape, dataset.num_classes or 1)
    if model.own is not None:
        spec = spec._replace(
            own=own.find_own(model.own, is_text=dataset.kind == "tokens")
        )
        own.check(spec.own, input_shape, spec.num_outputs)
    return spec


def check_own(text: str | None) -> None:
    """Makes sure that a user's own network can be loaded, before the data are.

    Args:
      text: what `--network` is given.

    Raises:
      InputError: it cannot.
    """
    if text is not None and (asked := parse_network(text)) is not None:
        own.find_own(asked)


def make_network(spec: NetworkSpec, key: jax.Array) -> nnx.Module:
    """Makes a network with fresh weights; call it with inputs and `train`."""
    if spec.own is not None:
        return own.make(spec.own, spec.input_shape, spec.num_outputs, key)
    model, rngs = spec.model, nnx.Rngs(key)
    match model.network:
        case "wide_resnet":
            return WideResNet(
                model.depth,
                model.widen,
                spec.num_outputs,
                channels=spec.input_shape[-1],
                dtype=jnp.dtype(model.dtype),
                rngs=rngs,
            )
        case "mlp":
            num_inputs = int(np.prod(spec.input_shape))
            return MLP(num_inputs, model.hidden, spec.num_outputs, rngs=rngs)
        case _:
            return Transformer(
                spec.num_outputs,
                spec.input_shape[0],
                width=model.width,
                layers=model.layers,
                heads=model.heads,
                dtype=jnp.dtype(model.dtype),
                rngs=rngs,
            )


def describe(spec: NetworkSpec) -> str:
    """A network's name, as papers write it; of the user's own, with its file's sum."""
    if (mine := spec.own) is not None:
        return f"{mine.function} of {mine.path.name} ({mine.sha256[:8]})"
    model = spec.model
    match model.network:
        case "wide_resnet":
            return f"WRN-{model.depth}-{model.widen} in {model.dtype}"
        case "mlp":
            units = (int(np.prod(spec.input_shape)), *model.hidden, spec.num_outputs)
            return f"MLP {'-'.join(map(str, units))}"
        case _:
            return (
                f"transformer of {model.layers} layers, width {model.width}, "
                f"{model.heads} heads, context {spec.input_shape[0]}"
            )


def make_network_init(
    spec: NetworkSpec,
) -> Callable[[jax.Array], tuple[nnx.State, nnx.State]]:
    """Returns `init(key) -> (params, batch_stats)`."""

    def init(key: jax.Array) -> tuple[nnx.State, nnx.State]:
        _, params, batch_stats = split(make_network(spec, key))
        return params, batch_stats

    return init


def num_parameters(spec: NetworkSpec) -> int:
    """The number of trained weights, counted without making them."""
    params, _ = jax.eval_shape(make_network_init(spec), jax.random.key(0))
    return sum(math.prod(array.shape) for array in jax.tree.leaves(params))


def num_predictions(spec: NetworkSpec, shape: tuple[int, ...]) -> int | None:
    """How many classes a network predicts for inputs of a shape; None for numbers."""
    if spec.num_outputs == 1:
        return None
    return math.prod(shape[:2]) if spec.is_text else shape[0]


def array_names(spec: NetworkSpec) -> list[str]:
    """Names of the arrays of trained weights, in the order of the tree's leaves."""
    params, _ = jax.eval_shape(make_network_init(spec), jax.random.key(0))
    paths = jax.tree_util.tree_leaves_with_path(pure(params))
    return ["/".join(str(key.key) for key in path) for path, _ in paths]


def graph_of(spec: NetworkSpec) -> nnx.GraphDef:
    """The network without its arrays, for `nnx.merge`; makes none."""
    return nnx.graphdef(nnx.eval_shape(lambda: make_network(spec, jax.random.key(0))))
