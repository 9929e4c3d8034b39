"""How many steps one call of a compiled program takes.

Between calls the host shows progress, saves, and stops on a signal. On a CPU the run's
clock decides (`Pace`). On an accelerator the number is compiled, and bounded by the
operations of a step.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from train.engine.networks import NetworkSpec, make_network
from train.engine.program import Spec, is_counted

# Operations in one call on an accelerator, some seconds of an H200. An epoch of
# WRN-28-10 on CIFAR takes 1.6 * 10**15.
CALL_FLOPS = 2 * 10**15

# Of a call on a CPU. It costs some 50 ms of its own with a Wide ResNet, for memory that
# is taken anew.
SECONDS = 2.0

# The first steps are slow, and another program may have had the cores for a while.
GROWTH = 4


class Pace:
    """Sizes calls by how long the ones before took. Begins with one step."""

    def __init__(self):
        self._size = 1

    def size(self) -> int:
        """Steps of the next call, at least 1."""
        return self._size

    def took(self, num_steps: int, seconds: float) -> None:
        """Notes how long a call took."""
        fitting = int(SECONDS * num_steps / max(seconds, 1e-9))
        self._size = max(1, min(fitting, GROWTH * self._size))


@functools.cache
def steps_per_call(spec: Spec) -> int:
    """The most steps of a call, at least 1: of an epoch, bounded on an accelerator."""
    if is_counted():
        return max(1, spec.full_steps)
    step_flops = training_flops(spec.network) * spec.batch_size
    most = max(1, min(spec.full_steps, CALL_FLOPS // max(1, step_flops)))
    # A divisor leaves no single steps over, which would be a program of their own.
    fitting = (n for n in range(most, most // 2, -1) if spec.full_steps % n == 0)
    return next(fitting, most)


@functools.cache
def training_flops(spec: NetworkSpec) -> int:
    """Floating-point operations of a training step for one example.

    Counted are the products of convolutions and matrices, two operations for each
    multiplication, zeros of the padding included: once forward, and twice as many
    backward, but for a first layer of numbers, whose inputs need no gradient.
    """
    inputs = jnp.zeros((1, *spec.input_shape), jnp.int32 if spec.is_text else None)
    forward = jax.make_jaxpr(
        lambda x: make_network(spec, jax.random.key(0))(x, train=False)
    )
    products = _products(forward(inputs).jaxpr)
    return 3 * sum(products) - (0 if spec.is_text else sum(products[:1]))


def _products(jaxpr: Any) -> list[int]:
    """Operations of each product, in order, those of inner programs included."""
    counts = []
    for equation in jaxpr.eqns:
        size = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        match equation.primitive.name:
            case "conv_general_dilated":
                # Of the kernel's axes all but the outputs' are summed over.
                kernel = equation.invars[1].aval.shape
                axes = equation.params["dimension_numbers"].rhs_spec
                counts.append(2 * size * math.prod(kernel) // kernel[axes[0]])
            case "dot_general":
                (summed, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                counts.append(2 * size * math.prod(shape[axis] for axis in summed))
            case _:
                for inner in jaxprs_in_params(equation.params):
                    counts += _products(inner)
    return counts
