"""Trained networks, as the files of `python -m train export` hold them."""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.mlp import MLP
from models.tables import encode
from models.torch_weights import from_torch, read_arrays
from models.transformer import Transformer


class TrainedNetwork:
    """A network with its weights, in evaluation mode. Callable.

    Attributes:
      module: the network itself.
      about: what it was made from, and how its inputs are prepared; JSON.
      input_shape: of an example.
      mean: float32 [channels], of pixels in [0, 1]; None but for images.
      std: likewise, their standard deviation.
      class_names: where the data have names for classes.
    """

    def __init__(self, module: nnx.Module, about: Mapping[str, Any]):
        self.module, self.about = module, about
        self.input_shape = tuple(about["input_shape"])
        self.mean, self.std = (
            np.array(about[name], np.float32) if name in about else None
            for name in ("mean", "std")
        )
        self.class_names = tuple(about.get("class_names", ()))
        graph, self._state = nnx.split(module)
        self._outputs = jax.jit(
            lambda state, inputs: nnx.merge(graph, state)(
                self._normalized(inputs), train=False
            )
        )

    def __call__(self, inputs: Any) -> jax.Array | np.ndarray:
        """The network's outputs.

        Args:
          inputs: as in the run's data set, [batch, ...]. Images are uint8, and are
            normalised here as in training; those of one channel may lack its axis.
            Rows of a table are a pandas DataFrame or a dict of columns.

        Returns:
          float32, logits [batch, classes]; for a regression [batch, 1], in the units
          of its target if they are known; for text [batch, length, classes].

        Raises:
          ValueError: the inputs are of another shape or type, or lack a column.
        """
        table = self.about.get("table", {})
        if "columns" in table and not isinstance(inputs, np.ndarray | jax.Array | list):
            inputs = encode(inputs, table["columns"])
        inputs = np.asarray(inputs)
        if self.mean is not None and (*inputs.shape[1:], 1) == self.input_shape:
            inputs = inputs[..., np.newaxis]
        if inputs.shape[1:] != self.input_shape or not len(inputs):
            raise ValueError(
                f"inputs must be [batch, {', '.join(map(str, self.input_shape))}],"
                f" got the shape {inputs.shape}."
            )
        if self.mean is not None and inputs.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8, from 0 to 255, got {inputs.dtype}. Pixels from "
                "0 to 1 become that by numpy.uint8(255 * x)."
            )
        outputs = self._outputs(self._state, inputs)
        if "std" not in table:
            return outputs
        return np.asarray(outputs, float) * table["std"] + table["mean"]

    def _normalized(self, inputs: jax.Array) -> jax.Array:
        if self.mean is None:
            return inputs
        mean, std = (jnp.reshape(a, (1, 1, 1, -1)) for a in (self.mean, self.std))
        return (inputs.astype(jnp.float32) / 255 - mean) / std


def load(
    path: str | Path, make: Callable[..., nnx.Module] | None = None
) -> TrainedNetwork:
    """Reads a file that `python -m train export` wrote.

    Args:
      path: of the file, .safetensors or .npz. Nothing in it is executed.
      make: for a network of your own, the function that `--network` named. It is called
        as `make(input_shape, num_outputs, rngs=rngs)`.

    Raises:
      ValueError: the file is none of those, or of another network than `make` makes.
    """
    path = Path(path)
    arrays, about = read_arrays(path), _about(path)
    model, num_outputs = about["model"], about["num_outputs"]
    shape, rngs = tuple(about["input_shape"]), nnx.Rngs(0)
    if make is not None:
        module = make(shape, num_outputs, rngs=rngs)
    elif model["network"] == "wide_resnet":
        return TrainedNetwork(from_torch(arrays, dtype=model["dtype"]), about)
    elif model["network"] == "mlp":
        numbers = int(np.prod(shape))
        module = MLP(numbers, model["hidden"], num_outputs, rngs=rngs)
    elif model["network"] == "transformer":
        sizes = {name: model[name] for name in ("width", "layers", "heads", "dtype")}
        module = Transformer(num_outputs, *shape, **sizes, rngs=rngs)
    else:
        name = model["network"].rpartition(":")[2]
        raise ValueError(f"{path} is of a network of your own: give make={name}.")
    nnx.update(module, filled(nnx.state(module, nnx.Not(nnx.RngState)), arrays))
    return TrainedNetwork(module, about)


def _about(path: Path) -> dict[str, Any]:
    """What `python -m train export` wrote beside the arrays of a file."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get("network")
    else:
        with zipfile.ZipFile(path) as file:
            text = file.comment
    if not text:
        raise ValueError(
            f"{path} does not say of which network it is: export it again. A file of "
            "PyTorch's Wide ResNet is read by load_torch."
        )
    return json.loads(text)


def filled(state: nnx.State, arrays: Mapping[str, np.ndarray]) -> nnx.State:
    """A state with these arrays in the place of its own: they have the names of Flax.

    Raises:
      ValueError: names or shapes differ.
    """
    leaves = {
        "/".join(map(str, path)): (path, leaf.shape)
        for path, leaf in nnx.to_flat_state(state)
    }
    shapes = {name: shape for name, (_, shape) in leaves.items()}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise ValueError("the file is of another network: names or shapes differ.")
    return nnx.from_flat_state(
        [(path, jnp.asarray(arrays[name])) for name, (path, _) in leaves.items()]
    )
