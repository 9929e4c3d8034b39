"""A trained network: written into the folder of its run, read back, and exported."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from models import TrainedNetwork, WideResNet
from models.torch_weights import to_torch
from train.engine import networks, optimizers, own
from train.engine.networks import NetworkSpec
from train.engine.own import OwnFunction
from train.engine.variables import merge, pure
from train.errors import InputError
from train.paths import expand
from train.runs import checkpoint
from train.runs.folder import config_as_json
from train.runs.records import check_is_run, has_finished, reading, steps_in
from train.runs.writing import replace
from train.settings.commands import Export
from train.settings.options import Model

NETWORK = "network.json"
SOURCE = "network.py"  # a copy of the file of a user's own network


class RunNetwork(TrainedNetwork):
    """The network of a checkpoint, of a spec, after so many steps of training."""

    def __init__(
        self, spec: NetworkSpec, module: nnx.Module, about: Mapping[str, Any], step: int
    ):
        super().__init__(module, about)
        self.spec, self.step = spec, step


def write_network(
    folder: Path,
    spec: NetworkSpec,
    mean: np.ndarray,
    std: np.ndarray,
    data: Mapping[str, Any],
) -> None:
    """Writes what a run's network is, how its inputs are normalised, and facts of data.

    With a copy of the file of a user's own network, which may change or be moved.
    """
    about = {
        "model": config_as_json(spec.model),
        "input_shape": spec.input_shape,
        "num_outputs": spec.num_outputs,
    }
    about["model"]["network"] = Path(spec.model.network).name  # not where a file was
    if len(spec.input_shape) == 3:  # images
        about |= {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
    about |= {name: fact for name, fact in data.items() if fact}
    if spec.own is not None:
        about |= {"network_sha256": spec.own.sha256, "is_text": spec.own.is_text}
        replace(folder / SOURCE, spec.own.source)
    replace(folder / NETWORK, json.dumps(about, indent=2) + "\n")


def load_run(folder: str | Path, step: int | None = None) -> RunNetwork:
    """The network of a run, in evaluation mode, with its normalisation.

    A network of a user's own is made by `network.py` in the folder, which is executed:
    load such a run only if you trust whoever made it. Without `step` the checkpoint is
    the newest.

    Raises:
      InputError: there is no run or no checkpoint, or one is damaged; or a user's own
        network cannot be made any more.
    """
    folder = expand(Path(folder))
    check_is_run(folder)
    if not (folder / NETWORK).exists():
        raise InputError(
            f"{folder} holds no {NETWORK}: its run has not begun, or is of an older "
            "version of the program. Repeat the run's command."
        )
    again = "Resume the run with --resume, which writes it again."
    with reading(folder / NETWORK, again):
        about = json.loads((folder / NETWORK).read_text())
        spec = _spec_of(about)
    if spec.model.own is not None:
        spec = spec._replace(own=_copied(folder, spec.model.own.function, about))
        own.check(spec.own, spec.input_shape, spec.num_outputs)
    step = _chosen(folder, step)
    trained = checkpoint.restore(folder, step)["state"]
    trained["params"] = _tested(trained["opt_state"], trained["params"])
    state = jax.eval_shape(networks.make_network_init(spec), jax.random.key(0))
    filled = [
        _fill(folder, abstract, trained[name])
        for name, abstract in zip(("params", "batch_stats"), state, strict=True)
    ]
    module = merge(networks.graph_of(spec), *filled)
    return RunNetwork(spec, module, about, step)


def _tested(opt_state: Any, weights: Any) -> Any:
    """The weights to test with; a checkpoint has states as nested dicts and lists."""
    parts = opt_state if isinstance(opt_state, list | tuple) else ()
    if isinstance(opt_state, Mapping):
        if opt_state.keys() == {*optax.contrib.ScheduleFreeState._fields}:
            opt_state = optax.contrib.ScheduleFreeState(**opt_state)
            return optimizers.tested_weights(opt_state, weights)
        parts = opt_state.values()
    for part in parts:
        weights = _tested(part, weights)
    return weights


def _spec_of(about: Mapping[str, Any]) -> NetworkSpec:
    """What a network is made from, by `network.json`; not yet the user's own."""
    model = {
        name: tuple(option) if isinstance(option, list) else option
        for name, option in about["model"].items()
    }
    shape = tuple(about["input_shape"])
    return NetworkSpec(Model(**model), shape, about["num_outputs"])


def _copied(folder: Path, function: str, about: Mapping[str, Any]) -> OwnFunction:
    """A user's own network, by the run's copy of its file."""
    path = folder / SOURCE
    source = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(source).hexdigest() != about.get("network_sha256"):
        raise InputError(
            f"{path}, the run's copy of its network's file, was changed or is missing. "
            "Take it from a copy of the folder, or copy the file that you trained with."
        )
    return OwnFunction(path, function, source, bool(about.get("is_text")))


def _chosen(folder: Path, step: int | None) -> int:
    """The step of the checkpoint that is asked for, or of the newest."""
    steps = steps_in(folder)
    if (step or max(steps, default=None)) in steps:
        return step or steps[-1]
    if steps:
        raise InputError(
            f"--step must be that of a checkpoint in {folder}: "
            f"{', '.join(map(str, steps))}; got {step}."
        )
    if has_finished(folder):
        raise InputError(
            f"{folder} has finished, and kept no checkpoint. Studies and comparisons "
            "keep those of their runs with --keep-checkpoints 1."
        )
    raise InputError(
        f"{folder} has no checkpoint yet. A run saves one at its end, when it is "
        "stopped, and after --checkpoint-minutes."
    )


def _fill(folder: Path, abstract: nnx.State, arrays: Mapping[str, Any]) -> nnx.State:
    """Puts arrays by their names in the place of abstract ones."""
    found = checkpoint.by_path(arrays)
    paths, tree = jax.tree_util.tree_flatten_with_path(pure(abstract))
    shapes = {checkpoint.path_of(keys): leaf.shape for keys, leaf in paths}
    if shapes != {name: np.shape(array) for name, array in found.items()}:
        raise InputError(
            f"the checkpoint in {folder} is of another network than {NETWORK} says: "
            "one of them was changed."
        )
    leaves = [jnp.asarray(found[name]) for name in shapes]
    filled = jax.tree_util.tree_unflatten(tree, leaves)
    return jax.tree.unflatten(jax.tree.structure(abstract), jax.tree.leaves(filled))


def export(config: Export) -> str:
    """Writes weights, running statistics and what `models.load` needs besides.

    Returns what is printed.
    """
    path, network = expand(config.out), load_run(config.folder, config.step)
    if isinstance(network.module, WideResNet):
        arrays, kind = to_torch(network.module), "PyTorch"
    else:
        state = nnx.state(network.module, nnx.Not(nnx.RngState))
        arrays, kind = checkpoint.by_path(pure(nnx.as_pure(state))), "Flax"
    # safetensors writes the memory of a transposed view, and so scrambles it.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = json.dumps(network.about)
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        content = save(arrays, {"network": about})
    else:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        if len(about) > zipfile.ZIP_MAX_COMMENT:
            raise InputError(
                "the names of classes are too long for .npz: name a .safetensors file."
            )
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.comment = about.encode()
        content = buffer.getvalue()
    replace(path, content)
    return (
        f"{path}: {len(arrays)} arrays, "
        f"{sum(array.size for array in arrays.values()):,} numbers, of step "
        f"{network.step}, with the names of {kind}"
    )
