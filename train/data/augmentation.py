"""Random crop, flip and normalisation of images that lie on the device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

LANES = 128  # numbers that a TPU works on at once


def pad(images: np.ndarray, padding: int) -> np.ndarray:
    """Adds `padding` black pixels on every side; [..., height, width, channels].

    Done once, before normalisation, as torchvision's RandomCrop does when it comes
    before ToTensor and Normalize (the authors' order).
    """
    both = (padding, padding)
    return np.pad(images, [(0, 0)] * (images.ndim - 3) + [both, both, (0, 0)])


def flatten(images: np.ndarray) -> np.ndarray:
    """Makes a row of each image, filled up to whole lanes: a TPU's layout for them.

    Others a TPU would bring into that layout anew, all of them, in each call.
    """
    rows = images.reshape(len(images), -1)
    return np.pad(rows, [(0, 0), (0, -rows.shape[1] % LANES)])


@jax.named_scope("crop_and_flip")
def crop_and_flip(
    images: jax.Array,
    indices: jax.Array,
    key: jax.Array,
    *,
    size: tuple[int, ...],
    padding: int,
    flip: bool,
) -> jax.Array:
    """Takes a random crop of each chosen image, mirrored in half of the cases.

    One slice per image straight out of the padded data set: XLA makes it one gather.
    On a TPU it would make it a loop, and images that are flat are cropped otherwise.

    Args:
      images: uint8 [size, height + 2 padding, width + 2 padding, channels], or what
        `flatten` made of them.
      indices: int32 [batch], which images.
      key: of the randomness.
      size: height, width and channels of a crop.
      padding: pixels on every side; 0 takes the image itself.
      flip: whether to mirror left to right, each image with probability 1/2.
    """
    batch_size = len(indices)
    crop_key, flip_key = jax.random.split(key)
    offsets = jax.random.randint(crop_key, (batch_size, 2), 0, 2 * padding + 1)
    mirrored = flip & jax.random.bernoulli(flip_key, shape=(batch_size, 1, 1, 1))
    if images.ndim == 2:
        return _crop_by_products(images[indices], offsets, mirrored, size, padding)

    def crop(index: jax.Array, offset: jax.Array) -> jax.Array:
        corner = (index, offset[0], offset[1], 0)
        return jax.lax.dynamic_slice(images, corner, (1, *size))[0]

    batch = jax.vmap(crop)(indices, offsets)
    return jnp.where(mirrored, batch[:, :, ::-1], batch)


def _crop_by_products(
    rows: jax.Array,
    offsets: jax.Array,
    mirrored: jax.Array,
    size: tuple[int, ...],
    padding: int,
) -> jax.Array:
    """Crops and mirrors by products with zeros and ones, which keep pixels exactly."""
    height, width, channels = size
    high, wide = height + 2 * padding, width + 2 * padding
    row, column = jnp.arange(height)[jnp.newaxis], jnp.arange(width)[jnp.newaxis]
    column = jnp.where(mirrored[:, 0, 0], column[:, ::-1], column)
    one_hot = partial(jax.nn.one_hot, dtype=jnp.bfloat16)  # it holds 0 to 256
    images = rows[:, : high * wide * channels].reshape(-1, high, wide * channels)
    rows = one_hot(offsets[:, :1] + row, high)
    images = jnp.einsum("byr,brp->byp", rows, images.astype(jnp.bfloat16))
    images = images.reshape(-1, height, wide, channels)
    columns = one_hot(offsets[:, 1:] + column, wide)
    return jnp.einsum("bxc,bycd->byxd", columns, images).astype(jnp.uint8)


@jax.named_scope("normalize")
def normalize(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Maps uint8 pixels to float32: `(pixel / 255 - mean) / std` per channel."""
    mean, std = mean.reshape(1, 1, 1, -1), std.reshape(1, 1, 1, -1)
    return (images.astype(jnp.float32) / 255 - mean) / std
