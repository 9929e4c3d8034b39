"""Images of two classes, dark and bright."""

import numpy as np


def two_classes(sizes, *, side=4, channels=3, noise=100, contrast=150):
    """Arrays as in an .npz file, `x_` and `y_` of each split.

    Args:
      sizes: of the splits, by their names.
      side: of the images in pixels.
      channels: of the images.
      noise: pixels are random below it.
      contrast: what the bright class has more; less than `noise`: the classes overlap.
    """
    rng = np.random.default_rng(0)
    arrays = {}
    for split, size in sizes.items():
        labels = rng.integers(0, 2, size)
        pixels = rng.integers(0, noise, (size, side, side, channels))
        pixels += contrast * labels.reshape(-1, 1, 1, 1)
        arrays |= {f"x_{split}": pixels.astype(np.uint8), f"y_{split}": labels}
    return arrays
