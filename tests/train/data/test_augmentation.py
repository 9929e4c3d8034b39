import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data import augmentation

IMAGES = np.arange(1, 2 * 3 * 4 * 2 + 1, dtype=np.uint8).reshape(2, 3, 4, 2)


def crops(images, indices, *, padding, flip, seed=0, layout=lambda images: images):
    padded = jnp.asarray(layout(augmentation.pad(images, padding)))
    key, size = jax.random.key(seed), images.shape[1:]
    batch = augmentation.crop_and_flip(
        padded, jnp.asarray(indices), key, size=size, padding=padding, flip=flip
    )
    return np.asarray(batch)


def test_without_crop_and_flip_the_images_come_back():
    np.testing.assert_array_equal(
        crops(IMAGES, [1, 0, 1], padding=0, flip=False), IMAGES[[1, 0, 1]]
    )


def test_flip_mirrors_about_half_of_the_images_left_to_right():
    batch = crops(IMAGES, np.zeros(1000, int), padding=0, flip=True)
    mirrored = (batch == IMAGES[0, :, ::-1]).all(axis=(1, 2, 3))
    same = (batch == IMAGES[0]).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 420 < mirrored.sum() < 580  # 5 deviations of a fair coin


def test_crop_takes_every_window_of_the_zero_padded_image_equally_often():
    # Padding of 1 about a 3x4 image: 3 x 3 windows.
    zero_padded = np.pad(IMAGES[0], ((1, 1), (1, 1), (0, 0)))
    windows = [zero_padded[y : y + 3, x : x + 4] for y in range(3) for x in range(3)]
    batch = crops(IMAGES, np.zeros(1800, int), padding=1, flip=False)
    counts = [(batch == window).all(axis=(1, 2, 3)).sum() for window in windows]
    assert sum(counts) == 1800
    assert min(counts) > 130  # 5 deviations below the 200 expected
    assert max(counts) < 270


@pytest.mark.parametrize("seed", [1, 2])
def test_another_key_gives_other_crops(seed):
    indices = np.zeros(50, int)
    assert (
        crops(IMAGES, indices, padding=1, flip=True)
        != crops(IMAGES, indices, padding=1, flip=True, seed=seed)
    ).any()


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (0, True), (2, True)])
def test_flat_images_of_a_tpu_give_the_same_pixels(padding, flip):
    images = np.random.default_rng(0).integers(0, 256, (9, 5, 7, 3), np.uint8)
    options = {"indices": np.arange(40) % 9, "padding": padding, "flip": flip}
    flat = augmentation.flatten(augmentation.pad(images, padding))
    assert flat.shape == (9, {0: 128, 2: 384}[padding])  # of 105 and 297 bytes
    np.testing.assert_array_equal(
        crops(images, **options, layout=augmentation.flatten), crops(images, **options)
    )


def test_normalize_by_hand():
    # Pixels 0, 51 and 255 are 0, 0.2 and 1.
    images = jnp.array([0, 51, 255], jnp.uint8).reshape(1, 3, 1, 1)
    normal = augmentation.normalize(images, jnp.array([0.2]), jnp.array([0.5]))
    np.testing.assert_allclose(normal.ravel(), [-0.4, 0.0, 1.6], atol=1e-7)
