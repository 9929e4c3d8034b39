"""Keeps the training examples on the device, or sends each call's from the host."""

import functools
import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from train import notes
from train.data import augmentation
from train.data.dataset import Dataset
from train.engine import devices
from train.engine.spec import Call, Spec
from train.engine.types import DeviceData, EpochPlan
from train.errors import InputError

# Mean and deviation of ImageNet's pixels: the authors normalise with these
# (py_Figure3_Cifar10.py:17), which torchvision documents for its pretrained models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Share of the device's memory that data may take; weights and activations need theirs.
DATA_SHARE = 0.5

# Training examples of the fixed batch.
FIXED = 256


class Feed(NamedTuple):
    """The data of a run, as its compiled calls take them.

    Attributes:
      data: what stays on the device. Without training examples if the host sends them.
      host: the data set whose training examples the host sends; None if none.
      crop_padding: pixels on each side of those.
      num_devices: among which they are split.
    """

    data: DeviceData
    host: Dataset | None
    crop_padding: int
    num_devices: int

    def calls(
        self, calls: Iterable[Call], plan: EpochPlan, spec: Spec
    ) -> Iterator[tuple[Call, DeviceData, EpochPlan]]:
        """Yields an epoch's calls, each with its data and plan.

        The host copies the examples of a call when that is asked for: ask while the
        device is at work on the call before.

        Args:
          calls: of the epoch, all or some; each is asked for when its turn comes.
          plan: of the epoch.
          spec: the sizes.
        """
        if self.host is None:
            yield from ((call, self.data, plan) for call in calls)
            return
        order = np.asarray(plan.order)
        nothing = np.zeros(0, np.int32)
        padding = self.crop_padding if self.host.is_images else 0
        for call in calls:
            start = call.first * spec.batch_size
            rows = order[start : start + call.num_steps * call.batch_size]
            rows = rows.reshape(call.num_steps, call.batch_size)
            send = partial(self._send, rows=rows, room=spec.room(call))
            sent = self.data._replace(
                train_inputs=send(self.host.train_inputs, padding=padding),
                train_targets=send(self.host.train_targets),
            )
            yield call, sent, plan._replace(order=nothing)

    def _send(
        self, examples: np.ndarray, *, rows: np.ndarray, room: int, padding: int = 0
    ) -> jax.Array:
        """Gives each device of this process its examples, [room, batch, ...].

        Those of steps that the call does not take are zeros.
        """

        def part(index: tuple[slice, ...]) -> np.ndarray:
            chosen = examples[rows[:, index[1]]]
            if padding:
                chosen = augmentation.pad(chosen, padding)
            if len(chosen) == room:
                return chosen
            sent = np.zeros((room, *chosen.shape[1:]), chosen.dtype)
            sent[: len(chosen)] = chosen
            return sent

        shape = _padded(examples.shape, padding) if padding else examples.shape
        return jax.make_array_from_callback(
            (room, rows.shape[1], *shape[1:]),
            batch_sharding(self.num_devices, rows.shape[1]),
            part,
        )


def batch_sharding(num_devices: int, batch_size: int) -> jax.sharding.NamedSharding:
    """Where the host sends batches, [steps, batch, ...]: to each device its part.

    A batch that does not divide goes to every device whole.
    """
    if batch_size % num_devices:
        return devices.everywhere(num_devices)
    return devices.split(num_devices, 1)


def is_too_large(dataset: Dataset, crop_padding: int) -> bool:
    """Whether the data leave the device too little memory, as far as it tells.

    Raises:
      InputError: the test set alone does.
    """
    limit = _device_memory()
    if limit is None:
        return False
    share = DATA_SHARE * limit
    test = dataset.test_inputs.nbytes + dataset.test_targets.nbytes
    if test > share:
        raise InputError(
            f"the test set takes {test / 1e9:.1f} GB, more than half of the device's "
            f"{limit / 1e9:.1f} GB of memory: use fewer test examples."
        )
    return test + train_bytes(dataset, crop_padding) > share


def _device_memory() -> int | None:
    """Bytes that JAX may use of the device's memory; None where it does not say."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def train_bytes(dataset: Dataset, crop_padding: int) -> int:
    """Bytes of the training examples on the device, images with their padding."""
    shape = _padded_shape(dataset, crop_padding)
    inputs = math.prod(shape) * dataset.train_inputs.itemsize
    return inputs + dataset.train_targets.nbytes


def _padded_shape(dataset: Dataset, crop_padding: int) -> tuple[int, ...]:
    shape = dataset.train_inputs.shape
    return _padded(shape, crop_padding) if dataset.is_images else shape


def _padded(shape: tuple[int, ...], padding: int) -> tuple[int, ...]:
    size, height, width, channels = shape
    return size, height + 2 * padding, width + 2 * padding, channels


def make_feed(dataset: Dataset, spec: Spec, normalize: str) -> Feed:
    """Pads images, works out their normalisation, and moves data to the device.

    Args:
      dataset: the data.
      spec: says whether the training examples stay on the host.
      normalize: as in `Data`: train, imagenet or none.

    Returns:
      The feed; the same arrays for the same data and options.

    Raises:
      InputError: ImageNet's normalisation for images without three channels.
    """
    return _make_feed(
        dataset,
        normalize,
        spec.crop_padding,
        spec.eval_batch_size,
        spec.from_host,
        spec.num_devices,
    )


@functools.lru_cache(maxsize=4)  # the runs of a study share their data
def _make_feed(
    dataset: Dataset,
    normalize: str,
    crop_padding: int,
    eval_batch_size: int,
    from_host: bool,
    num_devices: int,
) -> Feed:
    shape = _padded_shape(dataset, crop_padding)
    if dataset.is_images:
        mean, std = _normalization(normalize, dataset.train_inputs)
    else:
        mean, std = np.zeros(1, np.float32), np.ones(1, np.float32)
    if from_host:
        notes.say(
            f"the {shape[0]} training examples "
            f"({train_bytes(dataset, crop_padding) / 1e9:.2g} GB) stay on the host, "
            "which sends the examples of each call"
        )
        train_inputs = np.empty((0, *shape[1:]), dataset.train_inputs.dtype)
        train_targets = dataset.train_targets[:0]
    else:
        train_inputs, train_targets = dataset.train_inputs, dataset.train_targets
        if dataset.is_images:
            train_inputs = augmentation.pad(train_inputs, crop_padding)

    size = len(dataset.train_inputs)
    fixed = np.arange(min(FIXED, size)) * size // min(FIXED, size)  # evenly spaced
    data = DeviceData(
        train_inputs=train_inputs,
        train_targets=train_targets,
        test_inputs=batches(dataset.test_inputs, eval_batch_size),
        test_targets=batches(dataset.test_targets, eval_batch_size),
        mean=mean,
        std=std,
        fixed_inputs=dataset.train_inputs[fixed],
        fixed_targets=dataset.train_targets[fixed],
    )
    host = dataset if from_host else None
    return Feed(devices.put(data, num_devices), host, crop_padding, num_devices)


def batches(examples: np.ndarray, size: int) -> np.ndarray:
    """Cuts examples into batches, [batches, size, ...], the last filled with zeros."""
    fill = np.zeros_like(examples, shape=(-len(examples) % size, *examples.shape[1:]))
    return np.concatenate([examples, fill]).reshape(-1, size, *examples.shape[1:])


def _normalization(kind: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels = images.shape[-1]
    match kind:
        case "none":
            mean, std = np.zeros(channels), np.ones(channels)
        case "imagenet":
            if channels != 3:
                raise InputError(
                    "--normalize imagenet needs images of 3 channels, these have "
                    f"{channels}: use --normalize train."
                )
            mean, std = IMAGENET_MEAN, IMAGENET_STD
        case "train":
            mean, std = pixel_statistics(images)
    return np.asarray(mean, np.float32), np.asarray(std, np.float32)


def pixel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation per channel of pixels in [0, 1], float64 [channels].

    Exact, from the counts of the 256 values: no copy of the images as floats. The
    deviation of a constant channel is given as 1.
    """
    values = np.arange(256) / 255
    counts = np.stack(
        [
            np.bincount(channel.ravel(), minlength=256)
            for channel in np.moveaxis(images, -1, 0)
        ]
    )
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt(np.sum(share * (values - mean[:, np.newaxis]) ** 2, axis=1))
    return mean, np.where(std > 0, std, 1.0)
