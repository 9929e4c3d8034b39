"""What Flax's users do to a transformation, done to LCAM."""

import numpy as np
import pytest
from flax import nnx
from flax.training import train_state

import lcam_optax
from tests.library.test_composition import GRADIENT, LOSSES, PARAMS, fed


def test_train_state_drops_value():
    state = train_state.TrainState.create(
        apply_fn=None, params=PARAMS, tx=lcam_optax.lcam(0.1)
    )
    with pytest.raises(TypeError, match="value"):
        state.apply_gradients(grads=GRADIENT)


def test_nnx_optimizer_passes_value_on():
    class Weights(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(PARAMS["w"])

    model = Weights()
    optimizer = nnx.Optimizer(model, lcam_optax.lcam(0.1, 0.5, 0.75), wrt=nnx.Param)
    expected = PARAMS["w"]
    for step, loss in enumerate(LOSSES):
        gradient = nnx.State({"w": nnx.Param(GRADIENT["w"])})
        optimizer.update(model, gradient, value=loss)
        expected = (
            expected + fed(lcam_optax.lcam(0.1, 0.5, 0.75), LOSSES[: step + 1])[0]["w"]
        )
    np.testing.assert_allclose(model.w[...], expected, rtol=1e-6)
