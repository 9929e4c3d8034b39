"""What a data set was understood to be, in words, and what is odd about it."""

import numpy as np

from train.data.dataset import Dataset
from train.paths import printable
from train.settings.cli import listing
from train.settings.experiment import Experiment

# Pixels go from 0 to 255. Where none is above this, they were scaled to [0, 1] first.
_DARK = 1

# No more channels have a place in front of height and width: red, green, blue, alpha.
_FEW_CHANNELS = 4


def remark(dataset: Dataset, title: str = "data", tested: str = "test") -> str:
    """What to say before training: what it is on, and a warning of each oddity.

    The test set is that of a "test", or of a "validation" if kept out of training.
    """
    odd = [f"warning: {oddity}" for oddity in oddities(dataset, tested)]
    return "\n".join([f"{printable(title)}: {describe(dataset, tested)}", *odd])


def describe(dataset: Dataset, tested: str = "test") -> str:
    """Such as "64 images of 8 x 8 pixels, 1 channel, 10 classes; 36 test images"."""
    *sides, depth = dataset.train_inputs.shape[1:]
    what, each, learned = {
        "images": ("image", "channel", ("class", "classes")),
        "tokens": ("text", "token", ("different token", "different tokens")),
        "rows": ("row", "column", ("class", "classes")),
    }[dataset.kind]
    train = _count(len(dataset.train_inputs), what)
    test = _count(len(dataset.test_inputs), f"{tested} {what}")
    size = f"{sides[0]} x {sides[1]} pixels, " if sides else ""
    number = dataset.num_classes
    learned = _count(number, *learned) if number else "a number to predict"
    return f"{train} of {size}{_count(depth, each)}, {learned}; {test}"


def oddities(dataset: Dataset, tested: str = "test") -> list[str]:
    """What is likely a mistake in the data, though they can be trained on."""
    odd, labels, classes = [], dataset.train_targets, dataset.num_classes
    if labels.ndim == 1 and classes:
        trained, found = len(np.unique(labels)), len(np.unique(dataset.test_targets))
        if trained < classes:
            odd.append(
                f"{classes:,} classes, of which {trained:,} occur: the network gets "
                f"{classes:,} outputs. Number the classes 0, 1, 2, ..."
            )
        if found < min(trained, len(dataset.test_targets)):
            odd.append(
                f"the {tested} set has {found:,} of {trained:,} classes: is it a part "
                "of sorted data?"
            )
    if dataset.kind != "images":
        return odd
    height, width, channels = dataset.train_inputs.shape[1:]
    if height <= _FEW_CHANNELS < channels:
        odd.append(
            f"{height} x {width} pixels with {channels} channels: are these channels "
            "first? Images are [size, height, width, channels]."
        )
    brightest = int(dataset.train_inputs.max(initial=0))
    if brightest <= _DARK:
        odd.append(
            f"no pixel is above {brightest}, and white is 255: were the images scaled "
            "to [0, 1]? Multiply them by 255 before they become uint8."
        )
    return odd


def odd_options(options: Experiment, dataset: Dataset) -> list[str]:
    """What options ask for that comes to nothing, or nearly."""
    odd, epochs, schedule = [], options.epochs, options.schedule
    padding, *sides = options.data.crop_padding, *dataset.train_inputs.shape[1:3]
    if dataset.kind == "images" and 2 * padding > min(sides):
        odd.append(
            f"--crop-padding {padding} is more than half of images of {sides[0]} x "
            f"{sides[1]} pixels: of many crops most is black."
        )
    if schedule.warmup_epochs > epochs:
        odd.append(
            f"--warmup-epochs {schedule.warmup_epochs:g} is more than --epochs "
            f"{epochs}: the learning rate does not reach its peak."
        )
    size, batch = len(dataset.train_inputs), options.batch_size
    if options.drop_last and (left := size % batch) > size / 10:
        odd.append(
            f"with --batch-size {batch} an epoch leaves out {left:,} of the {size:,} "
            "training examples, each time others. --no-drop-last takes all."
        )
    late = [each for each in schedule.milestones if each >= epochs]
    if schedule.schedule == "step" and late:
        odd.append(
            f"--milestones {listing(late, 'and')}: with --epochs {epochs} no epoch "
            "comes after, and the learning rate stays."
        )
    return odd


def _count(number: int, thing: str, things: str = "") -> str:
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"
