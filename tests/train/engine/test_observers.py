import jax.numpy as jnp
import numpy as np
import pytest

from train.engine import optimizers
from train.engine.observers import Step, make_observer
from train.settings.optimizer import Optimizer

CONFIG = Optimizer(loss_average="epoch")
NUMBERS = optimizers.hyperparameters_of(CONFIG, steps_per_epoch=4)
METHOD = optimizers.method_of(CONFIG)
# Against the means of the epoch so far, 3, 2.5, 2.5, 2.125: high, low, high (equal),
# low.
LOSSES = [3.0, 2.0, 2.5, 1.0]


def watch(name, params, grads, held_out=(0.0,) * 4, epochs=1, learning_rate=0.5):
    """Gives an observer the steps of `epochs` epochs; returns its summary."""
    observer = make_observer(name, METHOD)
    optimizer = optimizers.make_optimizer(METHOD, NUMBERS, jnp.float32(learning_rate))
    state, observed = optimizer.init(params), observer.init(params)
    for _ in range(epochs):
        for index, (loss, held) in enumerate(zip(LOSSES, held_out, strict=True)):
            updates, new = optimizer.update(grads[index], state, params, value=loss)
            step = Step(
                first=index == 0,
                learning_rate=jnp.float32(learning_rate),
                loss=jnp.float32(loss),
                held_out_loss=lambda x=held: x if name == "held_out" else jnp.nan,
                fixed_loss=lambda x=held: x if name == "fixed" else jnp.nan,
                grads=grads[index],
                updates=updates,
                old_state=state,
                new_state=new,
                hyperparameters=NUMBERS,
            )
            observed, state = observer.update(observed, step), new
    return observer.summarize(observed)


@pytest.mark.parametrize(
    ("held_out", "misread", "by_chance", "low"),
    [
        # Means 4, 3.5, 3, 3.5: high, low, low, high. Two of four differ from the batch.
        ([4.0, 3.0, 2.0, 5.0], 0.5, 0.5, 0.5),
        # Means 4, 3.5, 3, 2.5: low but for the first. One of four differs; by chance
        # 1/4 x 1/2 + 3/4 x 1/2.
        ([4.0, 3.0, 2.0, 1.0], 0.25, 0.5, 0.75),
        (LOSSES, 0.0, 0.5, 0.5),
    ],
)
@pytest.mark.parametrize("truth", ["held_out", "fixed"])
def test_misread_phases_are_counted(truth, held_out, misread, by_chance, low):
    params = {"w": jnp.zeros(2)}
    seen = watch(truth, params, [params] * 4, held_out, epochs=2)
    assert seen["misread"] == pytest.approx(misread)
    assert seen["misread_by_chance"] == pytest.approx(by_chance)
    assert seen[f"{truth}_low_loss_share"] == pytest.approx(low)


@pytest.fixture(scope="module")
def mechanism():
    # Zero weights: weight decay adds nothing. Gradients of norm 5, 5, 0 and 10.
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    grads = [
        {"a": jnp.array(pair, jnp.float32), "b": jnp.zeros(1)}
        for pair in ([3, 4], [3, 4], [0, 0], [6, 8])
    ]
    return watch("mechanism", params, grads)


def test_gradients_are_averaged_in_each_phase(mechanism):
    np.testing.assert_array_equal(mechanism["steps"], [2, 2])
    # High: steps 1 and 3; low: 2 and 4.
    np.testing.assert_allclose(mechanism["grad_norm"], [2.5, 7.5])


def test_updates_are_relative_to_the_rate(mechanism):
    # Along one direction: traces 5, then 0.93 x 5 + 5, 0.9 x 9.65, 0.93 x 8.685 + 10.
    expected = [(5 + 8.685) / 2, (9.65 + 18.07705) / 2]
    np.testing.assert_allclose(mechanism["update_norm"], expected, rtol=1e-5)
    # The second array never moves.
    ratio = mechanism["array_update_ratio"]
    np.testing.assert_allclose(ratio[0], expected[1] / expected[0], rtol=1e-5)


def test_cosine_is_that_of_gradient_and_old_trace(mechanism):
    # Without a trace at first, and without a gradient at the third step: 0.
    np.testing.assert_allclose(mechanism["cosine"], [0.0, 1.0], rtol=1e-5)


def test_correlation_is_pearsons(mechanism):
    deviations = np.array(LOSSES) / [3, 2.5, 2.5, 2.125] - 1
    norms = [5, 9.65, 8.685, 18.07705]
    expected = np.corrcoef(deviations, norms)[0, 1]
    np.testing.assert_allclose(mechanism["array_correlation"][0], expected, rtol=1e-4)


@pytest.mark.torture
def test_groups_are_made_by_the_speed_of_the_epoch_before():
    # 10 parameters with gradients 1 to 10: always the same is fastest and slowest.
    params = {"w": jnp.zeros(10)}
    grads = [{"w": jnp.arange(1.0, 11.0)}] * 4
    seen = watch("mechanism", params, grads, epochs=2)
    np.testing.assert_allclose(seen["fast_speed"], 10 * seen["slow_speed"], rtol=1e-4)
    # Traces of a gradient of 1, over both epochs.
    trace, traces = 0.0, []
    for momentum in [0.9, 0.93] * 4:
        trace = momentum * trace + 1
        traces.append(trace)
    second = np.reshape(traces[4:], (2, 2)).mean(axis=0)
    np.testing.assert_allclose(seen["slow_speed"], second, rtol=1e-4)


def test_sums_begin_anew_each_epoch():
    params = {"w": jnp.zeros(2)}
    seen = watch("mechanism", params, [params] * 4, epochs=3)
    np.testing.assert_array_equal(seen["steps"], [2, 2])
