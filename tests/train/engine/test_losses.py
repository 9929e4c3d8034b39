"""Loss and error of examples."""

import jax.numpy as jnp
import numpy as np

from train.engine.losses import example_errors, example_losses


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
