"""The compiled program: its calls, its test, what its compiler is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from train.engine import networks, optimizers, program
from train.engine.device_data import DeviceData
from train.engine.networks import NetworkSpec
from train.engine.program import (
    EpochPlan,
    Spec,
    compile_program,
    compiler_options,
    example_errors,
    example_losses,
    no_scores,
)
from train.engine.variables import merge
from train.settings.optimizer import Optimizer
from train.settings.options import Model

CONFIG = Optimizer("sgd", momentum=0.9, learning_rate=0.05, weight_decay=0.01)
SPEC = Spec(
    network=NetworkSpec(Model("wide_resnet"), (5, 5, 1), 3),
    method=optimizers.method_of(CONFIG),
    train_size=24,
    test_size=5,
    batch_size=2,
    eval_batch_size=4,
)
STEPS = SPEC.full_steps


def data_of(spec):
    """Images of noise, padded for the crop."""
    rng = np.random.default_rng(0)
    side = 5 + 2 * spec.crop_padding
    test_inputs = rng.integers(0, 256, (8, 5, 5, 1)).astype(np.uint8)
    test_inputs[5:] = 0
    return jax.device_put(
        DeviceData(
            train_inputs=rng.integers(0, 256, (24, side, side, 1)).astype(np.uint8),
            train_targets=rng.integers(0, 3, 24).astype(np.int32),
            test_inputs=test_inputs.reshape(2, 4, 5, 5, 1),
            test_targets=np.array([[0, 1, 2, 0], [1, 0, 0, 0]], np.int32),
            mean=np.float32([0.4]),
            std=np.float32([0.3]),
        )
    )


ORDER = np.random.default_rng(1).permutation(24).astype(np.int32)
RATES = np.linspace(0.1, 0.01, STEPS, dtype=np.float32)
PLAN = EpochPlan(ORDER, RATES, np.zeros(STEPS, np.float32), jax.random.key(1))


def trained(spec, *counts):
    """The losses and the state after calls of so many steps each."""
    compiled, data = compile_program(spec), data_of(spec)
    numbers = optimizers.hyperparameters_of(CONFIG, STEPS)
    state, first, losses = compiled.init(np.uint32(0)), 0, []
    for count in counts:
        state, metrics = compiled.train(
            *(state, data, PLAN, numbers, np.int32(first)),
            count=count,
            batch_size=spec.batch_size,
        )
        first += count
        losses.append(np.asarray(metrics.loss))
    return losses, state


def pixels(images):
    return (images.astype(np.float32) / 255 - 0.4) / 0.3


AUGMENTED = SPEC._replace(crop_padding=1, flip=True)


@pytest.mark.parametrize("counts", [(5, 5, 2), (1, 4, 7), (1,) * 12], ids=str)
def test_steps_are_the_same_bit_for_bit_in_calls_of_any_length(counts):
    [expected], at_once = trained(AUGMENTED, STEPS)
    assert len(set(expected.tolist())) == STEPS
    losses, state = trained(AUGMENTED, *counts)
    np.testing.assert_array_equal(np.nanmax(losses, axis=0), expected)
    for ours, theirs in zip(
        jax.tree.leaves(state), jax.tree.leaves(at_once), strict=True
    ):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


def test_metrics_stand_at_the_places_of_their_steps():
    losses, _ = trained(AUGMENTED, 5, 2)
    assert [np.flatnonzero(np.isfinite(each)).tolist() for each in losses] == [
        [0, 1, 2, 3, 4],
        [5, 6],
    ]


def test_test_counts_every_image_once_and_no_filling():
    compiled, data = compile_program(SPEC), data_of(SPEC)
    state, scores = compiled.init(np.uint32(0)), no_scores(SPEC)
    for first in range(SPEC.test_batches):
        scores = compiled.test(state, data, scores, first=first, count=1)
    images = pixels(np.asarray(data.test_inputs).reshape(8, 5, 5, 1)[:5])
    labels = np.array([0, 1, 2, 0, 1])
    graph = networks.graph_of(SPEC.network)
    network = merge(graph, state.params, state.batch_stats)
    logits = nnx.jit(lambda net: net(images, train=False))(network)
    probabilities = jax.nn.softmax(logits)[np.arange(5), labels]
    wrong, losses = np.argmax(logits, axis=1) != labels, -np.log(probabilities)
    for found, each in ((scores.error, wrong), (scores.loss, losses)):
        by_batch = [np.sum(each[:4]), np.sum(each[4:])]
        np.testing.assert_allclose(found, by_batch, rtol=1e-5)


MLP = SPEC._replace(network=NetworkSpec(Model("mlp"), (5, 5, 1), 3))


@pytest.mark.parametrize("on_cpu", [True, False])
def test_accelerator_loops_without_asking_the_host(monkeypatch, on_cpu):
    monkeypatch.setattr(program, "is_counted", lambda: on_cpu)
    compiled = compile_program.__wrapped__(MLP)
    lowered = compiled.train.lower(
        *(compiled.init(np.uint32(0)), data_of(MLP), PLAN),
        *(optimizers.hyperparameters_of(CONFIG, STEPS), np.int32(0)),
        count=3,
        batch_size=MLP.batch_size,
    )
    text = lowered.compile().as_text()
    assert ('"known_trip_count":{"n":"3"}' in text) == (not on_cpu)


def test_compiler_without_the_option_for_cpus_does_without(monkeypatch):
    assert compiler_options() == program.CPU_OPTIONS
    monkeypatch.setattr(program, "CPU_OPTIONS", {"xla_no_such_option": True})
    assert compiler_options.__wrapped__() is None


def test_initial_weights_are_those_of_jax_with_all_its_optimisation():
    key = jax.random.split(jax.random.key(3), 4)[0]
    expected, _ = jax.jit(networks.make_network_init(MLP.network))(key)
    found = compile_program(MLP).init(np.uint32(3)).params
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_numbers_are_learned_by_squared_error():
    outputs, targets = jnp.array([[1.0], [3.0]]), jnp.array([2.0, 3.0])
    np.testing.assert_array_equal(example_losses(outputs, targets), [0.5, 0.0])
    np.testing.assert_array_equal(example_errors(outputs, targets), [1.0, 0.0])


def test_text_is_scored_by_the_mean_over_its_tokens():
    # One text of two tokens out of four; the second token is predicted.
    outputs = jnp.zeros((1, 2, 4)).at[0, 1, 3].set(jnp.log(5.0))
    targets = jnp.array([[2, 3]])
    # -log(1/4) and -log(5/8).
    expected = (np.log(4) + np.log(8 / 5)) / 2
    np.testing.assert_allclose(example_losses(outputs, targets), [expected], rtol=1e-6)
    np.testing.assert_array_equal(example_errors(outputs, targets), [0.5])


def test_last_batch_counts_as_a_step():
    spec = SPEC._replace(batch_size=7)
    assert spec.steps_per_epoch == 3
    assert spec._replace(drop_last=False).steps_per_epoch == 4
    assert SPEC._replace(drop_last=False).steps_per_epoch == 12
