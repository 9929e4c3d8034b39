"""Writes a trained network's arrays into a file that others read."""

import io

import numpy as np
from flax import nnx

from models import WideResNet
from models.torch_weights import to_torch
from train.engine.variables import pure
from train.runs.checkpoint import by_path
from train.runs.trained import load_run
from train.runs.writing import check_output, replace
from train.settings.commands import Export


def export(config: Export) -> str:
    """Writes weights and running statistics; returns what is printed."""
    path = check_output("OUT", config.out, config.overwrite)
    network = load_run(config.folder, config.step)
    if isinstance(network.module, WideResNet):
        arrays, kind = to_torch(network.module), "PyTorch"
    else:
        state = nnx.state(network.module, nnx.Not(nnx.RngState))
        arrays, kind = by_path(pure(nnx.as_pure(state))), "Flax"
    # safetensors writes the memory of a transposed view, and so scrambles it.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if path.suffix == ".safetensors":
        from safetensors.numpy import save

        content = save(arrays)
    else:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()
    replace(path, content)
    return (
        f"{path}: {len(arrays)} arrays, "
        f"{sum(array.size for array in arrays.values()):,} numbers, of step "
        f"{network.step}, with the names of {kind}"
    )
