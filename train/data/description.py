"""What a data set was understood to be, in words, and what is odd about it."""

import numpy as np

from train.data.dataset import Dataset
from train.paths import printable

# Pixels go from 0 to 255. Where none is above this, they were scaled to [0, 1] first.
_DARK = 1

# No more channels have a place in front of height and width: red, green, blue, alpha.
_FEW_CHANNELS = 4


def remark(dataset: Dataset, title: str = "data", tested: str = "test") -> str:
    """What to say before training: what it is on, and a warning of each oddity.

    Args:
      dataset: of the run.
      title: what it is called.
      tested: what its test set is: "test", or "validation" if kept out of training.
    """
    odd = [f"warning: {oddity}" for oddity in oddities(dataset, tested)]
    return "\n".join([f"{printable(title)}: {describe(dataset, tested)}", *odd])


def describe(dataset: Dataset, tested: str = "test") -> str:
    """What a data set was understood to be: sizes, shapes, classes.

    Such as "1,437 images of 8 x 8 pixels, 1 channel, 10 classes; 360 test images".
    """
    train, test = len(dataset.train_inputs), len(dataset.test_inputs)
    shape = dataset.train_inputs.shape[1:]
    match dataset.kind:
        case "images":
            height, width, channels = shape
            parts = [
                f"{_count(train, 'image')} of {height} x {width} pixels",
                _count(channels, "channel"),
            ]
            what = "image"
        case "tokens":
            parts = [f"{_count(train, 'text')} of {_count(shape[0], 'token')}"]
            what = "text"
        case _:
            parts = [f"{_count(train, 'row')} of {_count(shape[0], 'column')}"]
            what = "row"
    if dataset.kind == "tokens":
        parts.append(f"{dataset.num_classes:,} different tokens")
    elif dataset.num_classes:
        parts.append(_count(dataset.num_classes, "class"))
    else:
        parts.append("a number to predict")
    return f"{', '.join(parts)}; {_count(test, f'{tested} {what}')}"


def oddities(dataset: Dataset, tested: str = "test") -> list[str]:
    """What is likely a mistake in the data, though they can be trained on."""
    odd = _odd_labels(dataset, tested)
    return [*odd, *(_odd_images(dataset) if dataset.is_images else ())]


def _odd_images(dataset: Dataset) -> list[str]:
    odd = []
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


def _odd_labels(dataset: Dataset, tested: str) -> list[str]:
    labels, classes = dataset.train_targets, dataset.num_classes
    if labels.ndim != 1 or not classes:
        return []
    odd = []
    trained, found = len(np.unique(labels)), len(np.unique(dataset.test_targets))
    if trained < classes:
        odd.append(
            f"{classes:,} classes, of which {trained:,} occur: the network gets "
            f"{classes:,} outputs. Number the classes 0, 1, 2, ..."
        )
    if found < min(trained, len(dataset.test_targets)):
        odd.append(
            f"the {tested} set has {found:,} of {trained:,} classes: is it a part of "
            "sorted data?"
        )
    return odd


def _count(number: int, thing: str) -> str:
    plural = "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{plural if number != 1 else ''}"
