"""A trained network: written into the folder of its run, read back, and exported."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from models import TrainedNetwork, WideResNet
from models.torch_weights import to_torch
from models.trained import filled
from train.engine import devices, networks, optimizers, own
from train.engine.networks import NetworkSpec
from train.engine.own import OwnFunction
from train.engine.variables import merge, pure
from train.errors import InputError
from train.paths import expand
from train.runs import checkpoint, records
from train.runs.folder import config_as_json
from train.runs.records import NETWORK, check_is_run, read_network, reading
from train.runs.writing import replace
from train.settings.commands import Export
from train.settings.options import Model

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


def load_run(folder: str | Path, step: int | str | None = None) -> RunNetwork:
    """The network of a run, in evaluation mode, with its normalisation.

    A network of a user's own is made by `network.py` in the folder, which is executed:
    load such a run only if you trust whoever made it. Without `step` the checkpoint is
    the newest; with "best" it is that of the lowest validation error.

    Raises:
      InputError: there is no run or no checkpoint, or one is damaged; or a user's own
        network cannot be made any more.
    """
    folder = expand(Path(folder))
    check_is_run(folder)
    about = read_network(folder)
    with reading(folder / NETWORK, records.AGAIN):
        spec = _spec_of(about)
    if spec.model.own is not None:
        spec = spec._replace(own=_copied(folder, spec.model.own.function, about))
        own.check(spec.own, spec.input_shape, spec.num_outputs)
    step = records.chosen_step(folder, step)
    trained = checkpoint.restore(folder, step)["state"]
    trained["params"] = _tested(trained["opt_state"], trained["params"])
    state = jax.eval_shape(networks.make_network_init(spec), jax.random.key(0))
    saved = [checkpoint.by_path(trained[name]) for name in ("params", "batch_stats")]
    with reading(folder / NETWORK, records.AGAIN):
        module = merge(networks.graph_of(spec), *map(filled, state, saved))
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
    return NetworkSpec(Model(**model), about["input_shape"], about["num_outputs"])


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


def export(config: Export) -> str:
    """Writes weights, running statistics and what `models.load` needs besides.

    Returns what is printed.
    """
    devices.start_jax(config)
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
                "the names of classes or columns are too long for .npz: name a "
                ".safetensors file."
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
