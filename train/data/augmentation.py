"""Random crop, flip and normalisation of images that lie on the device."""

import jax
import jax.numpy as jnp
import numpy as np


def pad(images: np.ndarray, padding: int) -> np.ndarray:
    """Adds `padding` black pixels on every side; [..., height, width, channels].

    Done once, before normalisation, as torchvision's RandomCrop does when it comes
    before ToTensor and Normalize (the authors' order).
    """
    both = (padding, padding)
    return np.pad(images, [(0, 0)] * (images.ndim - 3) + [both, both, (0, 0)])


def crop_and_flip(
    images: jax.Array,
    indices: jax.Array,
    key: jax.Array,
    *,
    padding: int,
    flip: bool,
) -> jax.Array:
    """Takes a random crop of each chosen image, mirrored in half of the cases.

    One slice per image straight out of the padded data set: XLA makes it one gather.

    Args:
      images: uint8 [size, height + 2 padding, width + 2 padding, channels].
      indices: int32 [batch], which images.
      key: of the randomness.
      padding: pixels on every side; 0 takes the image itself.
      flip: whether to mirror left to right, each image with probability 1/2.
    """
    _, padded_height, padded_width, channels = images.shape
    size = (padded_height - 2 * padding, padded_width - 2 * padding, channels)
    batch_size = len(indices)
    crop_key, flip_key = jax.random.split(key)
    offsets = jax.random.randint(crop_key, (batch_size, 2), 0, 2 * padding + 1)

    def crop(index: jax.Array, offset: jax.Array) -> jax.Array:
        corner = (index, offset[0], offset[1], 0)
        return jax.lax.dynamic_slice(images, corner, (1, *size))[0]

    batch = jax.vmap(crop)(indices, offsets)
    if flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(batch_size, 1, 1, 1))
        batch = jnp.where(mirrored, batch[:, :, ::-1], batch)
    return batch


def normalize(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Maps uint8 pixels to float32: `(pixel / 255 - mean) / std` per channel."""
    mean, std = mean.reshape(1, 1, 1, -1), std.reshape(1, 1, 1, -1)
    return (images.astype(jnp.float32) / 255 - mean) / std
