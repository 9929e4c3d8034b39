"""The data set on the devices: padded, in batches for the test, with its statistics."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from train.data import augmentation
from train.data.dataset import Dataset
from train.engine import devices
from train.errors import InputError

# Mean and deviation of ImageNet's pixels: the authors normalise with these
# (py_Figure3_Cifar10.py:17), which torchvision documents for its pretrained models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Share of the device's memory that data may take; weights and activations need theirs.
DATA_SHARE = 0.8

# Training examples of the fixed batch.
FIXED = 256


class DeviceData(NamedTuple):
    """A data set on the device; see `Dataset`."""

    train_inputs: jax.Array  # images are padded for the crop, and flat on a TPU
    train_targets: jax.Array
    test_inputs: jax.Array  # [batches, batch, ...], the last batch filled with zeros
    test_targets: jax.Array  # [batches, batch, ...], the same
    mean: jax.Array  # float32 [channels], of pixels in [0, 1]; [1] without images
    std: jax.Array  # float32 [channels]; the same
    # [256, ...] or fewer training examples, without augmentation.
    fixed_inputs: jax.Array | None = None
    fixed_targets: jax.Array | None = None


@functools.lru_cache(maxsize=4)  # the runs of a study share their data
def make_data(
    dataset: Dataset,
    normalize: str,
    crop_padding: int,
    eval_batch_size: int,
    num_devices: int,
) -> DeviceData:
    """Pads images, works out their normalisation, and gives all to each device."""
    inputs, size = dataset.train_inputs, len(dataset.train_inputs)
    mean, std = np.zeros(1), np.ones(1)
    if dataset.kind == "images":
        mean, std = _normalization(normalize, inputs)
        inputs = augmentation.pad(inputs, crop_padding)
        if jax.default_backend() == "tpu":
            inputs = augmentation.flatten(inputs)
    fixed = np.arange(min(FIXED, size)) * size // min(FIXED, size)  # evenly spaced
    data = DeviceData(
        train_inputs=inputs,
        train_targets=dataset.train_targets,
        test_inputs=batches(dataset.test_inputs, eval_batch_size),
        test_targets=batches(dataset.test_targets, eval_batch_size),
        mean=np.asarray(mean, np.float32),
        std=np.asarray(std, np.float32),
        fixed_inputs=dataset.train_inputs[fixed],
        fixed_targets=dataset.train_targets[fixed],
    )
    _check_fits(data, num_devices)
    return devices.put(data, num_devices)


def _check_fits(data: DeviceData, num_devices: int) -> None:
    """Refuses data that leave too little memory, and says how much would fit."""
    # On a CPU JAX does not say how many bytes it may use. Each device has all data.
    stats = [x.memory_stats() or {} for x in jax.local_devices()[:num_devices]]
    memory = min(each.get("bytes_limit", np.inf) for each in stats)
    train = data.train_inputs.nbytes + data.train_targets.nbytes
    rest = sum(array.nbytes for array in data) - train
    if train + rest <= DATA_SHARE * memory:
        return
    size = len(data.train_inputs)
    advice = "The test set alone is too large: use fewer test examples."
    if (fitting := int((DATA_SHARE * memory - rest) / train * size)) > 0:
        advice = (
            f"About {fitting:,} of the {size:,} training examples would fit: "
            f"--every {-(-size // fitting)} takes as many."
        )
    raise InputError(
        f"the data take {(train + rest) / 1e9:.2g} GB of the device's "
        f"{memory / 1e9:.2g} GB of memory, of which data may take {DATA_SHARE:.0%}. "
        f"{advice}"
    )


def batches(examples: np.ndarray, size: int) -> np.ndarray:
    """Cuts examples into batches, [batches, size, ...], the last filled with zeros."""
    fill = np.zeros_like(examples, shape=(-len(examples) % size, *examples.shape[1:]))
    return np.concatenate([examples, fill]).reshape(-1, size, *examples.shape[1:])


def _normalization(kind: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, [channels]."""
    channels = images.shape[-1]
    if kind == "none":
        return np.zeros(channels), np.ones(channels)
    if kind == "train":
        return pixel_statistics(images)
    if channels != 3:
        raise InputError(
            "--normalize imagenet needs images of 3 channels, these have "
            f"{channels}: use --normalize train."
        )
    return np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)


def pixel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation per channel of pixels in [0, 1], float64 [channels].

    Exact, from the counts of the 256 values: no copy of the images as floats. The
    deviation of a constant channel is given as 1.
    """
    values = np.arange(256) / 255
    channels = np.moveaxis(images, -1, 0)
    counts = np.stack([np.bincount(each.ravel(), minlength=256) for each in channels])
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.sum(share * (values - mean[:, np.newaxis]) ** 2, axis=1))
    return mean, np.where(std > 0, std, 1.0)
