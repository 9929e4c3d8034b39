"""A network of a user's own: loads its file, and checks that it can be trained."""

import contextlib
import functools
import hashlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.interpreters import partial_eval

from models.convolution import speed_up
from train.engine.variables import merge, split
from train.errors import InputError
from train.settings.cli import did_you_mean, listing
from train.settings.own import Own, read_network

_BATCH = 2  # examples that a network is tried on


class OwnNetwork(NamedTuple):
    """Where a network comes from. Hashable.

    Attributes:
      path: of its file, for messages.
      function: that makes it.
      source: content of the file.
      is_text: whether its inputs are texts.
    """

    path: Path
    function: str
    source: bytes
    is_text: bool

    @property
    def sha256(self) -> str:
        """The SHA-256 sum of the file."""
        return hashlib.sha256(self.source).hexdigest()

    def __str__(self) -> str:
        return f"{self.function} of {self.path}"


def find_own(asked: Own, *, is_text: bool = False) -> OwnNetwork:
    """The network that is typed, with its function loaded once: it can be called.

    Raises:
      InputError: it cannot be loaded; see `load`.
    """
    own = OwnNetwork(asked.path, asked.function, read_network(asked.path), is_text)
    load(own)
    return own


def load(own: OwnNetwork) -> Callable[..., Any]:
    """The function that makes the network.

    Raises:
      InputError: the file cannot be imported, or has no such function.
    """
    module = _module(own.path, own.source)
    found = getattr(module, own.function, None)
    if not callable(found):
        known = [
            name
            for name, thing in vars(module).items()
            if callable(thing) and getattr(thing, "__module__", "") == module.__name__
        ]
        has = f"It has {listing(known, 'and')}." if known else "It has no functions."
        raise InputError(
            f"{own.path} has no function {own.function}."
            f"{did_you_mean(own.function, known)} {has}"
        )
    return found


@functools.cache
def _module(path: Path, source: bytes) -> types.ModuleType:
    name = f"network_{hashlib.sha256(source).hexdigest()[:16]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look there for their module
    with _blaming(path, source, f"cannot import {path}"):
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    return module


def make(
    own: OwnNetwork, input_shape: tuple[int, ...], num_outputs: int, key: jax.Array
) -> nnx.Module:
    """Makes the network with fresh weights.

    Raises:
      InputError: what the function returns is no module.
    """
    network = load(own)(input_shape, num_outputs, rngs=nnx.Rngs(key))
    if not isinstance(network, nnx.Module):
        raise InputError(
            f"{own} must return a flax.nnx.Module, got {type(network).__name__}."
        )
    if jax.default_backend() == "cpu":
        speed_up(network)
    return network


@functools.cache
def check(own: OwnNetwork, input_shape: tuple[int, ...], num_outputs: int) -> None:
    """Makes sure that the network can be trained, without computing anything.

    Raises:
      InputError: it cannot; the message names the line of the file that is at fault,
        if one is.
    """
    call = f"{own.function}({input_shape}, {num_outputs}, rngs=rngs)"
    load(own)
    with _blaming(own.path, own.source, f"{call} of {own.path} failed"):
        key = jax.random.key(0)
        network = nnx.eval_shape(lambda: _made(own, input_shape, num_outputs, key))
    _check_signature(own, network)
    _check_variables(own, network)
    graph = nnx.graphdef(network)
    dtype = jnp.int32 if own.is_text else jnp.float32
    inputs = jax.ShapeDtypeStruct((_BATCH, *input_shape), dtype)
    state = jax.eval_shape(lambda: split(make(own, input_shape, num_outputs, key))[1:])
    for train in (True, False):
        _check_call(own, graph, state, inputs, num_outputs, train=train)


def _made(own: OwnNetwork, *arguments: Any) -> nnx.Module:
    """As `make`, but it makes sure that no array is outside of a variable."""
    network = make(own, *arguments)
    for path, module in nnx.iter_modules(network):
        for name, held in vars(module).items():
            # Flax would take an array that JAX traces for a constant.
            leaves = jax.tree.leaves(held, is_leaf=_is_of_flax)
            if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
                raise InputError(
                    f"the network of {own} keeps a JAX array in the attribute "
                    f"{'.'.join(map(str, (*path, name)))}. Wrap it, as in "
                    f"self.{name} = nnx.Variable({name}), or make it with NumPy."
                )
    return network


def _is_of_flax(thing: Any) -> bool:
    return isinstance(thing, nnx.Variable | nnx.Module)


def _check_signature(own: OwnNetwork, network: nnx.Module) -> None:
    takes = "it has no __call__"
    if callable(network):
        signature = inspect.signature(network)
        with contextlib.suppress(TypeError):
            signature.bind(None, train=True)
            return
        takes = f"its __call__ takes {signature}"
    raise InputError(
        f"the network that {own} returns must be called as network(inputs, train=True "
        f"or False): {takes}. Write def __call__(self, inputs, *, train)."
    )


def _check_variables(own: OwnNetwork, network: nnx.Module) -> None:
    """Makes sure that weights are float32, and that all else are numbers."""
    # Not taken apart by `split`, which wants keys and not their shapes.
    params, _, rest = nnx.split(network, nnx.Param, nnx.RngKey, ...)[1:]
    if not jax.tree.leaves(params):
        raise InputError(
            f"the network that {own} returns has no weights (nnx.Param) to train."
        )
    for name, array in _named(params):
        if array.dtype != jnp.float32:
            raise InputError(
                f"the weights of {own} must be float32, got {array.dtype} for {name}. "
                "Layers compute in another dtype with dtype=, not param_dtype=."
            )
    for name, array in _named(rest):
        if not isinstance(array.dtype, np.dtype) or array.dtype.kind not in "biuf":
            raise InputError(
                f"{name} of {own} is of dtype {array.dtype}, which cannot be saved in "
                "a checkpoint. Make its variable of float32, or of integers."
            )


def _named(state: nnx.State) -> Iterator[tuple[str, Any]]:
    for path, leaf in nnx.to_flat_state(nnx.as_pure(state)):
        yield "/".join(map(str, path)), leaf


def _check_call(
    own: OwnNetwork,
    graph: nnx.GraphDef,
    state: tuple[nnx.State, nnx.State],
    inputs: jax.ShapeDtypeStruct,
    num_outputs: int,
    *,
    train: bool,
) -> None:
    """Makes sure of the outputs, and of what a call changes."""
    changed: list[str] = []

    def call(
        state: tuple[nnx.State, nnx.State], inputs: jax.Array
    ) -> tuple[Any, nnx.State]:
        network = merge(graph, *state)
        before = dict(_named(nnx.state(network)))
        outputs = network(inputs, train=train)
        after = dict(_named(nnx.state(network)))
        changed.extend(name for name in after if after[name] is not before.get(name))
        return outputs, split(network)[2]

    shape, dtype = inputs.shape, inputs.dtype
    what = f"the network of {own} failed on {dtype} inputs {shape} with train={train}"
    with _blaming(own.path, own.source, what):
        outputs, rest = jax.eval_shape(call, state, inputs)
    if not _same(rest, state[1]):
        raise InputError(
            f"a call of the network of {own} adds variables, or changes their shape or "
            f"dtype: {listing(sorted(changed)[:3], 'and')}. Training needs the same "
            "variables after each step: make all of them in __init__."
        )
    if not train:
        _check_test(own, graph, state, inputs, changed)
    expected = (*shape[: 2 if own.is_text else 1], num_outputs)
    words = "batch, length, num_outputs" if own.is_text else "batch, num_outputs"
    got = (
        f"{outputs.dtype} {outputs.shape}"
        if isinstance(outputs, jax.ShapeDtypeStruct)
        else type(outputs).__name__
    )
    if got != f"float32 {expected}":
        raise InputError(
            f"the network of {own} must return logits [{words}], here float32 "
            f"{expected}; got {got} for inputs {shape}."
        )


def _check_test(
    own: OwnNetwork,
    graph: nnx.GraphDef,
    state: tuple[nnx.State, nnx.State],
    inputs: jax.ShapeDtypeStruct,
    changed: Iterable[str],
) -> None:
    """Makes sure that a test changes no variable, and draws no random numbers."""
    random = dict(_named(nnx.state(nnx.merge(graph, *state), nnx.RngState)))
    kinds = dict(_named(nnx.state(nnx.merge(graph, *state), nnx.BatchStat)))
    changed = sorted(name for name in changed if name not in random)
    if changed:
        advice = "Change them with train=True only."
        if any(name in kinds for name in changed):
            advice = "Pass use_running_average=not train to nnx.BatchNorm."
        raise InputError(
            f"the network of {own} changes {listing(changed[:3], 'and')} when it is "
            f"called with train=False: a test must not. {advice}"
        )
    # Some layers of Flax draw random numbers for nothing: no output depends on those.
    traced = jax.make_jaxpr(
        lambda state, inputs: merge(graph, *state)(inputs, train=False)
    )(state, inputs).jaxpr
    _, used = partial_eval.dce_jaxpr(traced, [True] * len(traced.outvars))
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path((state, inputs))]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]
    needed = {name for name, is_used in zip(names, used, strict=True) if is_used}
    if drawn := sorted(name for name in random if f"0/1/{name}" in needed):
        raise InputError(
            f"the outputs of the network of {own} depend on chance when it is called "
            f"with train=False: it draws from {listing(drawn[:3], 'and')}. Pass "
            "deterministic=not train to nnx.Dropout."
        )


def _same(one: nnx.State, other: nnx.State) -> bool:
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        (a.shape, a.dtype) == (b.shape, b.dtype)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


@contextlib.contextmanager
def _blaming(path: Path, source: bytes, what: str) -> Iterator[None]:
    """Says which line of a user's file failed, and how.

    Raises:
      InputError: it did.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path)
        ]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = ""
        if lines and lines[-1]:
            text = source.decode(errors="replace").splitlines()[lines[-1] - 1].strip()
            where = f" (line {lines[-1]}: {text})"
        reason = next(filter(None, map(str.strip, str(error).splitlines())), "")
        if isinstance(error, SyntaxError):
            reason = error.msg
        raise InputError(
            f"{what}: {type(error).__name__}: {reason[:300].rstrip('. ')}{where}."
        ) from None
