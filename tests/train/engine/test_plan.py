import jax
import numpy as np
import pytest

from tests.train.engine.test_spec import spec
from train.engine.plan import Planner, make_draw
from train.settings.experiment import Run


def planner(**seeds):
    made = spec()
    draw = jax.jit(make_draw(made.train_shape[0], made.steps_per_epoch))
    return Planner(Run(epochs=2, **seeds), made, draw, None)


def bits(key):
    return jax.random.key_data(key).tolist()


def test_seed_of_the_weights_is_the_runs_own_unless_given():
    same = planner(seed=7, init_seed=3)
    assert bits(planner(seed=3).init_key()) == bits(same.init_key())
    assert bits(planner(seed=3).init_key()) != bits(planner(seed=7).init_key())


@pytest.mark.parametrize("epoch", [0, 1])
def test_seed_of_the_weights_changes_neither_order_nor_augmentation(epoch):
    plain, other = (
        planner(**s).plan(epoch) for s in ({"seed": 7}, {"seed": 7, "init_seed": 3})
    )
    np.testing.assert_array_equal(plain.order, other.order)
    np.testing.assert_array_equal(plain.noise, other.noise)
    assert bits(plain.key) == bits(other.key)
