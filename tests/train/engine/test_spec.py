import pytest

from train.engine.networks import NetworkSpec
from train.engine.optimizers import Method
from train.engine.spec import Call, Spec, epoch_calls
from train.settings.options import Model


def spec(**changes):
    return Spec(
        network=NetworkSpec(Model("wide_resnet"), (4, 4, 3), 10),
        train_shape=(100, 4, 4, 3),
        test_shape=(10, 4, 4, 3),
        method=Method(False, False, False, False, False),
        crop_padding=0,
        flip=False,
        batch_size=10,
        drop_last=True,
        eval_batch_size=10,
        steps_per_call=10,
    )._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, [Call(0, 10, 10)]),
        (
            {"steps_per_call": 4},
            [Call(0, 4, 10), Call(4, 4, 10), (8, 1, 10), (9, 1, 10)],
        ),
        ({"batch_size": 30, "steps_per_call": 3}, [Call(0, 3, 30)]),
        (
            {"batch_size": 30, "steps_per_call": 3, "drop_last": False},
            [Call(0, 3, 30), Call(3, 1, 10)],
        ),
    ],
)
def test_epoch_is_split_into_calls(changes, calls):
    assert list(epoch_calls(spec(**changes))) == calls


@pytest.mark.parametrize(
    ("done", "calls"),
    [
        (4, [Call(4, 4, 10), Call(8, 1, 10), Call(9, 1, 10), Call(10, 1, 5)]),
        # Where a run with calls of another length stopped.
        (5, [Call(5, 4, 10), Call(9, 1, 10), Call(10, 1, 5)]),
        (9, [Call(9, 1, 10), Call(10, 1, 5)]),
        (10, [Call(10, 1, 5)]),
        (11, []),
    ],
)
def test_rest_of_an_epoch_is_split_into_calls(done, calls):
    shape = (105, 4, 4, 3)
    changes = {"steps_per_call": 4, "drop_last": False, "train_shape": shape}
    assert list(epoch_calls(spec(**changes), done)) == calls


def test_counted_calls_take_what_is_asked_for_when_they_come_and_what_is_left():
    shape = (105, 4, 4, 3)
    sizes = spec(counted=True, steps_per_call=4, drop_last=False, train_shape=shape)
    asked = iter([1, 9, 3, 5])
    assert list(epoch_calls(sizes, 1, lambda: next(asked))) == [
        *(Call(1, 1, 10), Call(2, 4, 10), Call(6, 3, 10), Call(9, 1, 10)),
        Call(10, 1, 5),
    ]


def test_counted_calls_that_nobody_sizes_are_as_long_as_may_be():
    sizes = spec(counted=True, steps_per_call=4)
    calls = [Call(0, 4, 10), Call(4, 4, 10), Call(8, 2, 10)]
    assert list(epoch_calls(sizes)) == calls


def test_last_batch_counts_as_a_step():
    assert spec(batch_size=30).steps_per_epoch == 3
    assert spec(batch_size=30, drop_last=False).steps_per_epoch == 4
    assert spec(drop_last=False).steps_per_epoch == 10
