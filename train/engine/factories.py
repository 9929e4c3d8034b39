"""Optimizers of Optax and of a user's own, made by functions with a `learning_rate`."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import lcam_optax
from train.engine.own import blaming, find_own, load
from train.errors import InputError
from train.settings.cli import did_you_mean, listing
from train.settings.optimizer import Optimizer, parse_optimizer


class Factory(NamedTuple):
    """A function that makes an optimizer, and its parameters by what they are."""

    make: Callable[..., Any]
    code: tuple[tuple[str, Any], ...]  # whole numbers, words: name and value
    numbers: tuple[str, ...]
    by_phase: tuple[str, ...]  # numbers that the phase picks


def make(
    factory: Factory,
    numbers: Sequence[jax.Array],
    pairs: Sequence[tuple[jax.Array, jax.Array]],
    learning_rate: jax.Array,
    phase_options: Mapping[str, Any],
) -> optax.GradientTransformationExtraArgs:
    """Calls the factory, with numbers for its `numbers`, pairs for its `by_phase`."""
    options = dict(factory.code, learning_rate=learning_rate)
    options |= zip(factory.numbers, numbers, strict=True)
    by_phase = dict(zip(factory.by_phase, pairs, strict=True))
    if "learning_rate" in by_phase:  # relative to the peak of the schedule
        high, low = by_phase["learning_rate"]
        by_phase["learning_rate"] = learning_rate * high, learning_rate * low
    if not by_phase:
        made = factory.make(**options)
        if not isinstance(made, optax.GradientTransformation):
            kind = type(made).__name__
            raise TypeError(f"it must return an Optax transformation, not {kind}")
        return optax.with_extra_args_support(made)

    def injected(**chosen: jax.Array) -> optax.GradientTransformation:
        return factory.make(**options | chosen)

    # Optax looks for the names here. It keeps what it is given in the state.
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, kind) for name in by_phase]
    injected.__signature__ = inspect.Signature(parameters)
    schedules = {
        name: lcam_optax.loss_phase_schedule(*pair, **phase_options)
        for name, pair in by_phase.items()
    }
    return optax.inject_hyperparams(injected, hyperparam_dtype=jnp.float32)(**schedules)


def zeros(factory: Factory) -> tuple[Any, Any]:
    """Numbers and pairs for an initial state, which does not depend on them."""
    zero = jnp.float32(0)
    pairs = [(zero, zero)] * len(factory.by_phase)
    return tuple([zero] * len(factory.numbers)), tuple(pairs)


@functools.cache
def describe(config: Optimizer) -> tuple[Factory, tuple[float, ...], tuple[Any, ...]]:
    """An optimizer's factory, and the values of its numbers and of pairs of them."""
    name, own = config.optimizer, parse_optimizer(config.optimizer)
    source = None if own is None else find_own(own)
    make = _of_optax(name) if source is None else load(source)
    known = inspect.signature(make).parameters
    takes_any = any(each.kind == each.VAR_KEYWORD for each in known.values())
    if "learning_rate" not in known and not takes_any:
        raise InputError(f"--optimizer {name} takes no learning_rate, and must.")
    values = {
        each.name: each.default
        for each in known.values()
        if each.default is not each.empty and each.name != "learning_rate"
    }
    for key, text in config.own_options.items():
        if key not in known and not takes_any:
            others = [each for each in known if each != "learning_rate"]
            hint = did_you_mean(key, [*others, "--learning-rate"])
            raise InputError(
                f"{name} has no option {key}.{hint} It has {listing(others, 'and')}."
            )
        values[key] = config.pairs.get(key) or _value(name, key, text, known.get(key))
    pairs = {key: config.pairs[key] for key in values if key in config.pairs}
    if "learning_rate" in pairs:
        high, low = pairs["learning_rate"]
        pairs["learning_rate"] = high / config.learning_rate, low / config.learning_rate
    floats = {key: each for key, each in values.items() if type(each) is float}
    code = {key: values[key] for key in values if key not in pairs | floats}
    code = {key: code[key] for key in code if key in config.own_options}
    reason = None
    for data in (floats, {}):  # as code, if it looks at its numbers in Python
        fixed = code if data else code | floats
        factory = Factory(make, tuple(fixed.items()), tuple(data), tuple(pairs))
        try:
            _try(factory)
            return factory, tuple(data.values()), tuple(pairs.values())
        except Exception as error:
            reason = error
    if source is not None:
        with blaming(source, "it failed."):
            raise reason
    told = (str(reason).splitlines() or [type(reason).__name__])[0]
    raise InputError(
        f"--optimizer {name} cannot be used here: {told[:200].rstrip('. ')}. The "
        "program gives it gradients, parameters, the loss as `value`, and a rate that "
        "follows a schedule."
    )


def _value(name: str, key: str, text: str, parameter: inspect.Parameter | None) -> Any:
    """What is typed for a parameter: a number, a truth value, a word."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    usual = parameter.default if parameter else None
    if type(usual) is bool:
        raise InputError(f"{name}:{key} must be True or False; got {text!r}.")
    hint = str(parameter.annotation) if parameter else "Any"
    try:
        is_whole = type(usual) is int or (usual is None and "float" not in hint)
        return int(text) if is_whole and text.lstrip("-").isdigit() else float(text)
    except ValueError:
        takes_words = any(each in hint for each in ("str", "Any", "type", "_empty"))
        if "/" not in text and (takes_words or isinstance(usual, str)):
            return text
        raise InputError(
            f"{name}:{key} must be a number, or two as in 0.9/0.95; got {text!r}."
        ) from None


def _of_optax(name: str) -> Callable[..., Any]:
    """A function of Optax that makes an optimizer."""
    *path, last = name.split(".")
    module = optax.contrib if "contrib" in path else optax
    if callable(found := getattr(module, last, None)) and not inspect.isclass(found):
        return found
    known = [f"optax.{each}" for each in dir(optax)]
    known += [f"optax.contrib.{each}" for each in dir(optax.contrib)]
    same = [each for each in known if each.endswith(f".{last}")]
    hint = f" Did you mean {same[0]}?" if same else did_you_mean(name, known)
    raise InputError(f"Optax has no optimizer {name}.{hint}")


def _try(factory: Factory) -> None:
    """Takes a step without computing it; the state may begin with no number."""
    weights = {"kernel": jnp.zeros((4, 3)), "bias": jnp.zeros(3)}

    def step(own: Any, rate: jax.Array, value: jax.Array) -> Any:
        made = make(factory, *own, rate, {})
        updates, _ = made.update(weights, made.init(weights), weights, value=value)
        return optax.apply_updates(weights, updates)

    jax.eval_shape(step, zeros(factory), jnp.float32(0), jnp.float32(0))
    code = (*factory.code, *((name, 0.5) for name in factory.by_phase))
    factory, weights = factory._replace(by_phase=(), code=code), jnp.ones((3, 2))
    first, second = (
        make(factory, [number] * len(factory.numbers), (), number, {}).init(weights)
        for number in (jnp.float32(0), jnp.float32(0.5))
    )
    same = jax.tree.map(partial(jnp.array_equal, equal_nan=True), first, second)
    if not all(jax.tree.leaves(same)):
        raise ValueError("its state begins with the learning rate")
