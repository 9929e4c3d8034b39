import pytest

from train.errors import InputError
from train.settings.commands import Compare, Study


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Study(name="domains", data="digits"), "--data cannot be .* domains"),
        (lambda: Study(name="baseline", data="mnist"), "--data must be"),
        (lambda: Study(name="baseline", budget=0.0), "--budget must be"),
        (lambda: Study(name="baseline", seeds=(1, 1)), "--seeds must be different"),
        (lambda: Compare(arms=("sgd",)), "two optimizers or more, got 1"),
        (lambda: Compare(arms=("sgd", "sgd")), "--arms must be different"),
        (lambda: Compare(seeds=()), "--seeds needs one number or more"),
        (lambda: Compare(seeds=(1, 1)), "--seeds must be different numbers, got 1 1"),
        (lambda: Compare(seeds=(2**32,)), "--seeds must be in"),
    ],
)
def test_bad_option_is_refused_by_its_name(make, message):
    with pytest.raises(InputError, match=message):
        make()
