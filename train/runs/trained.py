"""A trained network, read back from the folder of its run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from train.data import augmentation
from train.engine import networks, own
from train.engine.networks import NetworkSpec
from train.engine.own import OwnNetwork
from train.engine.variables import merge, pure
from train.errors import InputError
from train.paths import expand
from train.runs import checkpoint
from train.runs.folder import config_as_json
from train.runs.records import DAMAGED, FINISHED, steps_in
from train.runs.writing import replace
from train.settings.options import Model

NETWORK = "network.json"
SOURCE = "network.py"  # a copy of the file of a user's own network


class TrainedNetwork:
    """A network with the weights of a checkpoint, in evaluation mode. Callable.

    Attributes:
      spec: what it is made from.
      module: the Flax module.
      mean: float32 [channels], of pixels in [0, 1]; None if the inputs are no images.
      std: float32 [channels]; the same.
      step: training steps taken.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        module: nnx.Module,
        mean: np.ndarray | None,
        std: np.ndarray | None,
        step: int,
    ):
        self.spec, self.module, self.step = spec, module, step
        self.mean, self.std = mean, std
        graph, state = nnx.split(module)
        self._state = state
        self._outputs = jax.jit(
            lambda state, inputs: nnx.merge(graph, state)(
                self._normalized(inputs), train=False
            )
        )

    def __call__(self, inputs: np.ndarray) -> jax.Array:
        """The network's outputs.

        Args:
          inputs: as in the run's data set, [batch, ...]. Images are uint8, and are
            normalised here as in training.

        Returns:
          float32, logits [batch, classes]; for a regression [batch, 1]; for text
          [batch, length, classes].

        Raises:
          ValueError: the inputs are of another shape, or images not uint8.
        """
        inputs = np.asarray(inputs)
        shape = inputs.shape[1:]
        if shape != self.spec.input_shape or not len(inputs):
            raise ValueError(
                f"inputs must be [batch, {', '.join(map(str, self.spec.input_shape))}],"
                f" got the shape {inputs.shape}."
            )
        if self.mean is not None and inputs.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8, from 0 to 255, got {inputs.dtype}. Pixels from "
                "0 to 1 become that by numpy.uint8(255 * x)."
            )
        return self._outputs(self._state, inputs)

    def _normalized(self, inputs: jax.Array) -> jax.Array:
        if self.mean is None:
            return inputs
        return augmentation.normalize(
            inputs, jnp.asarray(self.mean), jnp.asarray(self.std)
        )


def write_network(
    folder: Path, spec: NetworkSpec, mean: np.ndarray, std: np.ndarray
) -> None:
    """Writes what a run's network is, and how its inputs are normalised.

    With a copy of the file of a user's own network, which may change or be moved.

    Raises:
      InputError: the disk does not take it.
    """
    about = {
        "model": config_as_json(spec.model),
        "input_shape": spec.input_shape,
        "num_outputs": spec.num_outputs,
    }
    if len(spec.input_shape) == 3:  # images
        about |= {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
    if spec.own is not None:
        about |= {"network_sha256": spec.own.sha256, "is_text": spec.own.is_text}
        replace(folder / SOURCE, spec.own.source)
    replace(folder / NETWORK, json.dumps(about, indent=2) + "\n")


def load_run(folder: str | Path, step: int | None = None) -> TrainedNetwork:
    """The network of a run, in evaluation mode, with its normalisation.

    A network of a user's own is made by `network.py` in the folder, which is executed:
    load such a run only if you trust whoever made it.

    Args:
      folder: of the run.
      step: steps taken at the checkpoint; None for the newest.

    Raises:
      InputError: there is no run or no checkpoint, or one is damaged; or a user's own
        network cannot be made any more.
    """
    folder = expand(Path(folder))
    spec, mean, std = _read_network(folder)
    if spec.own is not None:
        own.check(spec.own, spec.input_shape, spec.num_outputs)
    step, params, batch_stats = _read_arrays(folder, step)
    graph = networks.graph_of(spec)
    state = jax.eval_shape(networks.make_network_init(spec), jax.random.key(0))
    filled = [
        _fill(folder, abstract, arrays)
        for abstract, arrays in zip(state, (params, batch_stats), strict=True)
    ]
    return TrainedNetwork(spec, merge(graph, *filled), mean, std, step)


def _read_network(
    folder: Path,
) -> tuple[NetworkSpec, np.ndarray | None, np.ndarray | None]:
    if not (folder / "config.json").exists():
        raise InputError(
            f"{folder} holds no run: name the folder of a run, which has a config.json."
            " The command `python -m train runs` lists the runs below a folder."
        )
    path = folder / NETWORK
    try:
        about = json.loads(path.read_text())
        model = {
            name: tuple(option) if isinstance(option, list) else option
            for name, option in about["model"].items()
        }
        shape = tuple(int(side) for side in about["input_shape"])
        spec = NetworkSpec(Model(**model), shape, int(about["num_outputs"]))
        if spec.model.own is not None:
            copy = _read_own(folder, spec.model.own.function, about)
            spec = spec._replace(own=copy)
        mean, std = (
            np.array(about[name], np.float32) if name in about else None
            for name in ("mean", "std")
        )
        is_whole = spec.model.network is not None and (mean is None) == (std is None)
        if not is_whole or (mean is not None and mean.shape != std.shape):
            raise ValueError
    except FileNotFoundError:
        if (folder / "runs").is_dir():
            raise InputError(
                f"{folder} is the folder of a comparison or a study: name one of its "
                f"runs. The command `python -m train runs {folder}` lists them."
            ) from None
        raise InputError(
            f"{folder} holds no {NETWORK}: its run has not begun, or is of an older "
            "version of the program. Repeat the run's command."
        ) from None
    except _ChangedError as error:
        raise InputError(str(error)) from None
    except (OSError, InputError, *DAMAGED):
        raise InputError(
            f"cannot read {path}: it was changed or damaged. Resume the run with "
            "--resume, which writes it again."
        ) from None
    return spec, mean, std


class _ChangedError(Exception):
    """The copy of a network's file is not that of the run."""


def _read_own(folder: Path, function: str, about: Mapping[str, Any]) -> OwnNetwork:
    path = folder / SOURCE
    source = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(source).hexdigest() != about["network_sha256"]:
        raise _ChangedError(
            f"{path}, the run's copy of its network's file, was changed or is missing. "
            "Take it from a copy of the folder, or copy the file that you trained with."
        )
    return OwnNetwork(path, function, source, bool(about["is_text"]))


def _read_arrays(
    folder: Path, step: int | None
) -> tuple[int, Mapping[str, Any], Mapping[str, Any]]:
    steps = steps_in(folder)
    if not steps and (folder / FINISHED).exists():
        raise InputError(
            f"{folder} has finished, and kept no checkpoint. Studies and comparisons "
            "keep those of their runs with --keep-checkpoints 1."
        )
    if not steps:
        raise InputError(
            f"{folder} has no checkpoint yet. A run saves one at its end, when it is "
            "stopped, and after --checkpoint-minutes."
        )
    if step is not None and step not in steps:
        raise InputError(
            f"--step must be that of a checkpoint in {folder}: "
            f"{', '.join(map(str, steps))}; got {step}."
        )
    step = step or steps[-1]
    return step, *checkpoint.read_network(folder, step)


def _fill(folder: Path, abstract: nnx.State, arrays: Mapping[str, Any]) -> nnx.State:
    """Puts arrays by their names in the place of abstract ones."""
    found = checkpoint.by_path(arrays)
    paths, tree = jax.tree_util.tree_flatten_with_path(pure(abstract))
    names = [checkpoint.path_of(keys) for keys, _ in paths]
    shapes = {name: leaf.shape for name, (_, leaf) in zip(names, paths, strict=True)}
    if shapes != {name: np.shape(array) for name, array in found.items()}:
        raise InputError(
            f"the checkpoint in {folder} is of another network than {NETWORK} says: "
            "one of them was changed."
        )
    leaves = [jnp.asarray(found[name]) for name in names]
    filled = jax.tree_util.tree_unflatten(tree, leaves)
    return jax.tree.unflatten(jax.tree.structure(abstract), jax.tree.leaves(filled))
