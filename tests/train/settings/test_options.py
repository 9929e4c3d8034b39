from pathlib import Path

import pytest

from train.errors import InputError
from train.settings.options import Data, Model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Data(data_dir=Path("/data")),
            "--data-dir belongs to .*cifar10",
        ),
        (lambda: Data(crop_padding=10**6), "--crop-padding must be in"),
        (lambda: Model(widen=10**8), "--widen must be in"),
        (lambda: Data(shrink=0), "--shrink must be at least 1"),
        (lambda: Data("mnist"), "--data must be digits, .*cifar10, .* got 'mnist'"),
        (lambda: Data(crop_padding=-1), "--crop-padding must be in"),
        (lambda: Model(depth=11), r"--depth must be 6n \+ 4: 10, 16, .* got 11"),
        (lambda: Model(depth=4), "got 4"),
        (lambda: Model(widen=0), r"--widen must be in \[1, .* got 0"),
    ],
)
def test_bad_option_is_refused_by_its_name(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("data", "crop_padding", "flip"),
    [("cifar10", 4, True), ("cifar100", 4, True), ("digits", 0, False)],
)
def test_augmentation_defaults_by_data(data, crop_padding, flip):
    config = Data(data)
    assert (config.crop_padding, config.flip) == (crop_padding, flip)


def test_augmentation_of_cifar_can_be_switched_off():
    config = Data("cifar10", crop_padding=0, flip=False)
    assert (config.crop_padding, config.flip) == (0, False)
