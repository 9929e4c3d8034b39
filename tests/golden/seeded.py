"""Weights, images and projections from a seed: the same for torch and for the tests.

NumPy only. `RandomState`, because its stream of numbers is frozen for good.
"""

import zlib
from collections.abc import Mapping

import numpy as np


def _rng(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Returns float32 arrays for the names and shapes of a torch `state_dict`.

    None is what a network starts from: a batch norm that only passes through, or a
    running mean of zero, would hide a mistake.
    """
    arrays = {}
    for name, shape in shapes.items():
        rng = _rng(name)
        if len(shape) == 4:  # kaiming normal over fan-out
            scale = np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
            array = rng.normal(scale=scale, size=shape)
        elif len(shape) == 2:
            array = rng.uniform(-1, 1, shape) / np.sqrt(shape[1])
        elif name.endswith((".running_var", "bn1.weight", "bn2.weight")):
            array = rng.uniform(0.5, 1.5, shape)
        else:
            array = rng.normal(scale=0.1, size=shape)
        arrays[name] = array.astype(np.float32)
    return arrays


def batch(size: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns normalised images, float32 [size, 3, 32, 32], and int64 labels [size]."""
    rng = _rng("batch")
    images = rng.normal(size=(size, 3, 32, 32)).astype(np.float32)
    return images, rng.randint(0, num_classes, size)


def data_set(size: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 [size, 32, 32, 3] that can be learned, and int64 labels [size]."""
    rng = _rng("data set")
    labels = rng.randint(0, num_classes, size)
    patterns = rng.uniform(60, 190, (num_classes, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    noise = rng.normal(scale=60, size=(size, 32, 32, 3))
    return np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8), labels


def projections(name: str, array: np.ndarray, count: int = 3) -> np.ndarray:
    """Returns inner products with random arrays, float64 [count], and last the norm.

    An error of relative size e in the array shows as about e of the norm in each
    product: a few numbers stand for millions.
    """
    rng = _rng("projections of " + name)
    flat = np.asarray(array, np.float64).ravel()
    products = [flat @ rng.normal(size=flat.size) for _ in range(count)]
    return np.array([*products, np.linalg.norm(flat)])
