"""Writes a trained network's arrays into a file that others read."""

import io
from pathlib import Path

import numpy as np
from flax import nnx

from models import WideResNet
from models.torch_weights import to_torch
from train.engine.variables import pure
from train.runs.checkpoint import by_path
from train.runs.trained import TrainedNetwork, load_run
from train.runs.writing import check_output, replace
from train.settings.commands import Export


def export(config: Export) -> str:
    """Writes the file; returns what is printed.

    Raises:
      InputError: the run or the file cannot be used.
    """
    path = check_output("OUT", config.out, config.overwrite)
    network = load_run(config.folder, config.step)
    arrays = _arrays(network)
    replace(path, _encode(path, arrays))
    numbers = sum(array.size for array in arrays.values())
    is_torch = isinstance(network.module, WideResNet)
    return (
        f"{path}: {len(arrays)} arrays, {numbers:,} numbers, of step {network.step}, "
        f"with the names of {'PyTorch' if is_torch else 'Flax'}"
    )


def _arrays(network: TrainedNetwork) -> dict[str, np.ndarray]:
    """Weights and running statistics, each array in one piece.

    safetensors writes the memory of a transposed view, and so scrambles it.
    """
    if isinstance(network.module, WideResNet):
        arrays = to_torch(network.module)
    else:
        state = nnx.state(network.module, nnx.Not(nnx.RngState))
        arrays = by_path(pure(nnx.as_pure(state)))
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _encode(path: Path, arrays: dict[str, np.ndarray]) -> bytes:
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        return save(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
