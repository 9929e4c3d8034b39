"""What a program is compiled for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.engine.test_feed import dataset
from train.engine import networks, program
from train.engine.flops import training_flops
from train.engine.networks import NetworkSpec
from train.engine.optimizers import method_of
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Model


def steps_per_call(size, **options):
    experiment = Experiment(model=Model("mlp"), **options)
    made = program.make_spec(experiment, method_of(Optimizer()), dataset(size))
    return made.steps_per_call


# An epoch has 12 or 7 steps of 1 image. Of the numbers up to what is allowed, and more
# than half of it, a divisor of the steps is preferred.
@pytest.mark.parametrize(
    ("size", "allowed", "expected"),
    [(12, 100, 12), (12, 11, 6), (12, 5, 4), (7, 5, 5), (12, 1, 1), (12, 0.5, 1)],
)
def test_call_on_an_accelerator_takes_what_is_done_in_bounded_time(
    monkeypatch, size, allowed, expected
):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    spec = NetworkSpec(Model("mlp"), (4, 4, 3), size)
    limit = int(allowed * training_flops(spec))
    monkeypatch.setattr(program, "CALL_FLOPS", limit)
    assert steps_per_call(size, batch_size=1) == expected


def test_program_for_a_cpu_takes_any_number_of_steps_up_to_an_epoch():
    assert steps_per_call(12, batch_size=1) == 12


def test_calls_are_as_long_as_asked_for_but_no_longer_than_the_epoch():
    assert steps_per_call(12, batch_size=3, steps_per_call=3) == 3
    assert steps_per_call(12, batch_size=3, steps_per_call=9) == 4


# An example takes 48 bytes and a label of 4: three of 3 examples are 468 bytes.
def test_calls_from_the_host_are_of_bounded_size(monkeypatch):
    monkeypatch.setattr(program, "CALL_BYTES", 470)
    assert steps_per_call(15, batch_size=3, data_on="host") == 3
    assert steps_per_call(15, batch_size=3, data_on="device") == 5


def test_compiler_without_the_option_for_cpus_does_without(monkeypatch):
    monkeypatch.setattr(program, "CPU_OPTIONS", {"xla_no_such_option": True})
    assert program._compile(1, lambda x: 2 * x, jnp.ones(3))(jnp.ones(3))[0] == 2


def test_initial_weights_are_those_of_jax_with_all_its_optimisation():
    spec, key = NetworkSpec(Model("mlp"), (4, 4, 3), 10), jax.random.key(3)
    expected = jax.jit(networks.make_network_init(spec))(key)
    jax.tree.map(
        np.testing.assert_array_equal, program.network_init(spec)(key), expected
    )
