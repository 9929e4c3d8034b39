"""What a program is compiled for, and how long its calls are."""

import jax
import numpy as np
import pytest

from train.data.dataset import Dataset
from train.engine import spec as specs
from train.engine.flops import training_flops
from train.engine.networks import NetworkSpec
from train.engine.optimizers import method_of
from train.engine.spec import Spec, make_spec, steps_per_call
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Model


def dataset(size=12):
    """Images of noise, each with a label of its own."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 4, 4, 3)).astype(np.uint8)
    labels = np.arange(size, dtype=np.int32)
    return Dataset(images, labels, images[:5], labels[:5], size)


def spec(**changes):
    return Spec(
        network=NetworkSpec(Model("wide_resnet"), (4, 4, 3), 10),
        method=method_of(Optimizer()),
        train_size=100,
        test_size=10,
        batch_size=10,
        eval_batch_size=10,
    )._replace(**changes)


def test_last_batch_counts_as_a_step():
    assert spec(batch_size=30).steps_per_epoch == 3
    assert spec(batch_size=30, drop_last=False).steps_per_epoch == 4
    assert spec(drop_last=False).steps_per_epoch == 10


def longest_call(size):
    experiment = Experiment(model=Model("mlp"), batch_size=1)
    made = make_spec(experiment, method_of(Optimizer()), dataset(size))
    steps_per_call.cache_clear()
    return steps_per_call(made)


# An epoch has 12 or 7 steps of 1 image. Of the numbers up to what is allowed, and more
# than half of it, a divisor of the steps is preferred.
@pytest.mark.parametrize(
    ("size", "allowed", "expected"),
    [(12, 100, 12), (12, 11.5, 6), (12, 5.5, 4), (7, 5.5, 5), (12, 1.5, 1), (12, 0, 1)],
)
def test_call_on_an_accelerator_takes_what_is_done_in_bounded_time(
    monkeypatch, size, allowed, expected
):
    flops = training_flops(NetworkSpec(Model("mlp"), (4, 4, 3), size))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(specs, "CALL_FLOPS", int(allowed * flops))
    assert longest_call(size) == expected


def test_program_for_a_cpu_takes_any_number_of_steps_up_to_an_epoch():
    assert longest_call(12) == 12
