"""Files of a user's own: loads them, and checks that a network can be trained."""

import contextlib
import functools
import hashlib
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from models.convolution import speed_up
from train.engine.variables import merge, split
from train.errors import InputError
from train.paths import expand
from train.settings.cli import did_you_mean
from train.settings.options import OwnFile, read_own

_BATCH = 2  # examples that a network is tried on


class OwnFunction(NamedTuple):
    """What makes a network or an optimizer: a function of a file. Hashable."""

    path: Path  # for messages
    function: str
    source: bytes
    is_text: bool = False  # whether it makes a network for texts

    @property
    def sha256(self) -> str:
        """The SHA-256 sum of the file."""
        return hashlib.sha256(self.source).hexdigest()

    def __str__(self) -> str:
        return f"{self.function} of {self.path}"


def find_own(asked: OwnFile, *, is_text: bool = False) -> OwnFunction:
    """What is typed, after its file was imported once."""
    source = read_own(asked.path)
    own = OwnFunction(expand(asked.path), asked.function, source, is_text)
    load(own)
    return own


@functools.cache
def load(own: OwnFunction) -> Callable[..., Any]:
    """The function itself."""
    module = types.ModuleType(f"own_{own.sha256[:16]}")
    module.__file__ = str(own.path)
    sys.modules[module.__name__] = module  # dataclasses look there for their module
    with blaming(own, "the file cannot be imported."):
        code = compile(own.source, str(own.path), "exec", dont_inherit=True)
        exec(code, vars(module))
    known = {name: thing for name, thing in vars(module).items() if callable(thing)}
    if own.function not in known:
        raise InputError(
            f"{own.path} has no function {own.function}."
            f"{did_you_mean(own.function, known)} Behind the colon goes the function, "
            "or the class, that makes it."
        )
    return known[own.function]


def make(
    own: OwnFunction, input_shape: tuple[int, ...], num_outputs: int, key: jax.Array
) -> nnx.Module:
    """Makes the network with fresh weights."""
    network = load(own)(input_shape, num_outputs, rngs=nnx.Rngs(key))
    if not isinstance(network, nnx.Module):
        raise InputError(
            f"{own} must return a flax.nnx.Module, got {type(network).__name__}."
        )
    if jax.default_backend() == "cpu":
        speed_up(network)
    return network


@functools.cache
def check(own: OwnFunction, input_shape: tuple[int, ...], num_outputs: int) -> None:
    """Makes sure that the network can be trained, without computing anything."""
    dtype = jnp.int32 if own.is_text else jnp.float32
    inputs = jax.ShapeDtypeStruct((_BATCH, *input_shape), dtype)
    trial = functools.partial(_try, own, num_outputs)
    jax.eval_shape(trial, jax.random.key(0), inputs)


def _try(own: OwnFunction, num_outputs: int, key: jax.Array, inputs: jax.Array) -> None:
    """Makes the network, and calls it as a step and as a test do; see `check`."""
    shape = inputs.shape[1:]
    with blaming(own, f"{own.function}({shape}, {num_outputs}, rngs=rngs) failed."):
        network = make(own, shape, num_outputs, key)
    parts = split(network)
    expected = (*inputs.shape[: 2 if own.is_text else 1], num_outputs)
    for train in (True, False):
        call = f"network(inputs, train={train})"
        network = merge(*parts)
        before = _arrays(network)
        with blaming(own, f"{call} failed on {_type(inputs)}."):
            outputs = network(inputs, train=train)
        after = _arrays(network)
        for name, (kind, value) in after.items():
            is_weight, made = issubclass(kind, nnx.Param), before.get(name, [None])
            kept = issubclass(kind, nnx.Variable) and _type(value) == _type(made[-1])
            if not kept or (is_weight and value.dtype != jnp.float32):
                raise InputError(
                    f"the network of {own} cannot keep {name}. Its arrays must be in "
                    "variables that its __init__ makes, of a fixed shape: weights in "
                    "nnx.Param, float32; others in nnx.Variable. (A layer computes in "
                    "another dtype with dtype=, not with param_dtype=.)"
                )
        if _type(outputs) != f"float32 {expected}":
            raise InputError(
                f"the network of {own} must return logits, float32 {expected} for "
                f"inputs {inputs.shape}; got {_type(outputs)}."
            )
    changed = [
        name
        for name, (kind, value) in sorted(after.items())
        if value is not before[name][1] and not issubclass(kind, nnx.RngState)
    ]
    if changed or _depends_on_chance(parts, inputs):
        does = f"changes {changed[0]}" if changed else "depends on random numbers"
        raise InputError(
            f"{call} of {own} {does}, and a test must not. Pass use_running_average="
            "not train to nnx.BatchNorm, and deterministic=not train to nnx.Dropout."
        )


def _arrays(network: nnx.Module) -> dict[str, tuple[type, jax.Array]]:
    """The arrays of a network by name: kind of variable, or of array, and value."""
    return {
        ".".join(map(str, path)): (type(part), jnp.asarray(part))
        for path, part in nnx.iter_graph(network)
        if isinstance(part, nnx.Variable | jax.Array)
    }


def _type(thing: Any) -> str:
    """Dtype and shape; of what is no array its class."""
    is_array = isinstance(thing, jax.Array)
    return f"{thing.dtype} {thing.shape}" if is_array else type(thing).__name__


def _depends_on_chance(parts: tuple[Any, ...], inputs: jax.Array) -> bool:
    """Whether a test's outputs follow from random numbers; nnx.RNN draws unused ones.

    What depends on what `vmap` maps cannot come out of it unmapped.
    """

    def test(states: nnx.State) -> jax.Array:
        network = merge(*parts)
        nnx.update(network, states)
        return network(inputs, train=False)

    states = nnx.as_pure(nnx.state(merge(*parts), nnx.RngState))
    two = jax.tree.map(lambda state: jnp.stack([state, state]), states)
    try:
        jax.vmap(test, out_axes=None, axis_size=2)(two)
    except ValueError:
        return True
    return False


@contextlib.contextmanager
def blaming(own: OwnFunction, what: str) -> Iterator[None]:
    """Tells of an error as Python does, with the lines of the user's file alone."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if frame.filename == str(own.path)]
        lines = traceback.format_list(theirs) + traceback.format_exception_only(error)
        raise InputError(f"{own}: {what}", "".join(lines)) from None
