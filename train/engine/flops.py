"""Counts the operations of training a network."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from train.engine.networks import NetworkSpec, make_network


@functools.cache
def training_flops(spec: NetworkSpec) -> int:
    """Floating-point operations of a training step for one example.

    Counted are the products of convolutions and matrices, two operations for each
    multiplication, zeros of the padding included: once forward, and twice as many
    backward, but for a first layer of numbers, whose inputs need no gradient. Whatever
    a program does besides, or a clever algorithm spares, does not count.
    """
    dtype = jnp.int32 if spec.is_text else jnp.float32

    def forward(inputs: jax.Array) -> jax.Array:
        return make_network(spec, jax.random.key(0))(inputs, train=False)

    inputs = jax.ShapeDtypeStruct((1, *spec.input_shape), dtype)
    products = _products(jax.make_jaxpr(forward)(inputs).jaxpr)
    return 3 * sum(products) - (0 if spec.is_text else sum(products[:1]))


def _products(jaxpr: Any) -> list[int]:
    """Operations of each product, in order, those of inner programs included."""
    counts = []
    for equation in jaxpr.eqns:
        outputs = [math.prod(variable.aval.shape) for variable in equation.outvars]
        match equation.primitive.name:
            case "conv_general_dilated":
                # Of the kernel's axes all but the outputs' are summed over.
                kernel = equation.invars[1].aval.shape
                axes = equation.params["dimension_numbers"].rhs_spec
                counts.append(2 * outputs[0] * math.prod(kernel) // kernel[axes[0]])
            case "dot_general":
                (summed, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                depth = math.prod(shape[axis] for axis in summed)
                counts.append(2 * outputs[0] * depth)
            case _:
                for inner in jaxprs_in_params(equation.params):
                    counts += _products(inner)
    return counts
