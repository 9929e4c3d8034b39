"""Converts a Wide ResNet's weights from PyTorch and back, as `.npz` files.

In PyTorch, write one with

    numpy.savez("wrn.npz", **{k: v.numpy() for k, v in network.state_dict().items()})

The names are those of LCAM's authors and of the many programs that share their network
(`block1.layer.0.convShortcut.weight`, ...).
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from models.wide_resnet import WideResNet


def load_torch(path: str | Path) -> WideResNet:
    """Reads a PyTorch Wide ResNet; its size follows from the arrays.

    Args:
      path: an `.npz` or `.safetensors` file of a `state_dict`. A prefix `module.` (of
        DataParallel) and `num_batches_tracked` are passed over. Nothing in it is
        unpickled.

    Returns:
      The network, with float32 parameters and running statistics.

    Raises:
      ValueError: these are not the weights of a Wide ResNet; the message names an array
        that is missing, left over or of another shape. For a file that is damaged, as
        `numpy.load`.
    """
    return from_torch(read_arrays(Path(path)))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` or `.safetensors` file by their names."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} must be an .npz or a .safetensors file.")
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def save_torch(path: str | Path, network: WideResNet) -> None:
    """Writes a network as the `.npz` file of a PyTorch `state_dict`.

    In PyTorch, read it with::

        arrays = numpy.load("wrn.npz")
        network.load_state_dict({k: torch.from_numpy(arrays[k]) for k in arrays})
    """
    np.savez(path, **to_torch(network))


def from_torch(
    arrays: Mapping[str, np.ndarray], dtype: DTypeLike | None = None
) -> WideResNet:
    """Makes a network of a PyTorch `state_dict`'s arrays; see `load_torch`."""
    arrays = {
        name.removeprefix("module."): array
        for name, array in arrays.items()
        if not name.endswith("num_batches_tracked")
    }
    network = nnx.eval_shape(lambda: _of_size(arrays, dtype))
    variables = dict(_variables(network))
    if others := arrays.keys() ^ variables.keys():
        raise ValueError(
            f"these are not the weights of a Wide ResNet: {min(others)} is "
            f"{'left over' if min(others) in arrays else 'missing'}."
        )
    for name, variable in variables.items():
        array = _layout_of_flax(np.asarray(arrays[name]))
        if array.shape != variable.shape:
            expected = _layout_of_torch(np.empty(variable.shape, np.bool_)).shape
            raise ValueError(
                f"{name} must be of the shape {expected}, got {arrays[name].shape}."
            )
        variable.set_value(jnp.asarray(array, jnp.float32))
    return network


def to_torch(network: WideResNet) -> dict[str, np.ndarray]:
    """Returns a network's weights under PyTorch's names, in its layout, as float32.

    Works on anything in the place of the weights, such as gradients.
    """
    return {
        name: _layout_of_torch(np.asarray(variable[...]))
        for name, variable in _variables(network)
    }


def _of_size(arrays: Mapping[str, np.ndarray], dtype: DTypeLike | None) -> WideResNet:
    """An untrained network of the size that the arrays are of."""
    try:
        num_classes, features = arrays["fc.weight"].shape
        channels = arrays["conv1.weight"].shape[1]
    except (KeyError, ValueError, IndexError):
        raise ValueError(
            "these are not the weights of a Wide ResNet: conv1.weight or fc.weight is "
            "missing or of another shape."
        ) from None
    blocks = sum(
        name.startswith("block1.layer.") and name.endswith(".conv1.weight")
        for name in arrays
    )
    return WideResNet(
        6 * blocks + 4,
        features // 64,
        num_classes,
        channels=channels,
        dtype=dtype,
        rngs=nnx.Rngs(0),
    )


def _variables(network: WideResNet) -> Iterator[tuple[str, nnx.Variable]]:
    """Every weight and running statistic with PyTorch's name for it."""
    yield "conv1.weight", network.stem.kernel
    blocks_per_group = len(network.blocks) // 3
    for index, block in enumerate(network.blocks):
        group, layer = divmod(index, blocks_per_group)
        prefix = f"block{group + 1}.layer.{layer}"
        yield from _batch_norm(f"{prefix}.bn1", block.norm1)
        yield f"{prefix}.conv1.weight", block.conv1.kernel
        yield from _batch_norm(f"{prefix}.bn2", block.norm2)
        yield f"{prefix}.conv2.weight", block.conv2.kernel
        if block.project is not None:
            yield f"{prefix}.convShortcut.weight", block.project.kernel
    yield from _batch_norm("bn1", network.norm)
    yield "fc.weight", network.classifier.kernel
    yield "fc.bias", network.classifier.bias


def _batch_norm(prefix: str, norm: nnx.BatchNorm) -> Iterator[tuple[str, nnx.Variable]]:
    yield f"{prefix}.weight", norm.scale
    yield f"{prefix}.bias", norm.bias
    yield f"{prefix}.running_mean", norm.mean
    yield f"{prefix}.running_var", norm.var


def _layout_of_torch(array: np.ndarray) -> np.ndarray:
    """[height, width, in, out] to [out, in, height, width]; [in, out] to [out, in]."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def _layout_of_flax(array: np.ndarray) -> np.ndarray:
    """The way back."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
