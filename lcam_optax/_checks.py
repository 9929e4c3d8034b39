"""Checks a user's arguments: settings at construction, all else while tracing.

Only Python (and NumPy) numbers have their range checked. A `jax.Array` may be a
tracer, whose number is not known yet: `optax.inject_hyperparams` turns every float
argument into one.
"""

import math
import numbers
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

State = TypeVar("State", bound=tuple[Any, ...])

_NUMBER_TYPES: tuple[type[Any], ...] = (numbers.Real, np.ndarray, jax.Array)


def shown(thing: Any) -> str:
    """An argument as a message shows it."""
    try:
        return f"{thing!r:.80}"
    except ValueError:  # Python does not write out integers of thousands of digits
        return "an integer of thousands of digits"


def scheduling_hint(setting: Any) -> str:
    """The end of a message about a number, where a schedule came in its place."""
    if not callable(setting):
        return ""
    return " `optax.inject_hyperparams(lcam_optax.lcam)` takes a schedule for it."


def check_number(
    name: str,
    number: Any,
    low: float,
    high: float,
    *,
    whole: bool = False,
    alternative: str = "",
) -> None:
    """Refuses a Python number outside `[low, high)`, and what is no number at all.

    Raises:
      TypeError: `number` is neither a real number nor an array of such; where it must
        be `whole`, neither an integer nor an array of such.
      ValueError: `number` is a Python number outside the range (or a NaN), or an array
        of several.
    """
    noun = "positive integer" if whole else "number"
    bounds = f"{'(' if low == -math.inf else '['}{low}, {high})"
    if not isinstance(number, _NUMBER_TYPES) or not _is_real(number, whole):
        raise TypeError(
            f"`{name}` must be a {noun} in {bounds}{alternative}, got {shown(number)}."
            f"{'' if whole else scheduling_hint(number)}"
        )
    if jnp.shape(number) != ():
        raise ValueError(
            f"`{name}` must be one {noun} in {bounds}, got an array of shape "
            f"{jnp.shape(number)}."
        )
    if isinstance(number, jax.Array):
        return
    try:
        known = float(number)
    except OverflowError:  # an integer beyond every float
        number = known = math.inf
    if not (math.isfinite(known) and low <= known < high):
        raise ValueError(f"`{name}` must be in {bounds}, got {number}.")
    # It acts in float32: 1 - 1e-9 would be a momentum or a decay of 1.
    if math.isfinite(high) and not whole and np.float32(known) >= high:
        raise ValueError(
            f"`{name}` must be in {bounds}, got {number!r}, which float32 rounds to "
            f"{high}."
        )


def check_number_or_schedule(name: str, setting: Any, low: float, high: float) -> None:
    """As `check_number`, but a schedule (any callable of the count) passes too."""
    if not callable(setting):
        check_number(name, setting, low, high, alternative=", or a schedule")


def _is_real(number: Any, whole: bool = False) -> bool:
    """Whether JAX takes it for a real number; no device is asked."""
    try:
        dtype = jnp.result_type(number)
    except TypeError:  # an array of strings, objects or dates; a fraction
        return False
    kinds = (jnp.integer,) if whole else (jnp.integer, jnp.floating)
    return any(jnp.issubdtype(dtype, kind) for kind in kinds)


def check_flag(name: str, flag: Any) -> None:
    """Refuses what is neither true nor false: the string "False" would be true.

    Raises:
      TypeError: `flag` is no boolean.
    """
    if not isinstance(flag, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be a bool, got {shown(flag)}.")


def check_dtype(name: str, dtype: Any) -> Any:
    """Returns the dtype of numbers that JAX uses for `dtype`.

    Raises:
      TypeError: `dtype` is none, or not one of numbers.
    """
    try:
        known = jax.dtypes.canonicalize_dtype(dtype)
        jnp.result_type(known)
    except (TypeError, ValueError, SyntaxError):
        known = None
    if known is None or not jnp.issubdtype(known, jnp.number):
        raise TypeError(
            f"`{name}` must be a dtype of numbers or None, got {shown(dtype)}."
            # `inject_hyperparams` has taken the callable for a schedule.
            + ' Write it as `jnp.dtype("float32")`.' * isinstance(dtype, jax.Array)
        )
    return known


def check_state(state: Any, kind: type[State], advice: str) -> State:
    """Returns `state`, or says how it came not to be a `kind`; else gives `advice`.

    Raises:
      TypeError: `state` is not a `kind`.
    """
    if isinstance(state, kind):
        return state
    name = kind.__name__
    got = f"got {type(state).__name__}"
    if type(state).__name__ == name:
        got += " of another copy of the module"
        advice = (
            "The module was reloaded, or imported twice: make the state anew with "
            "`init`, or restart Python."
        )
    elif isinstance(state, dict) and "phase" in state:
        advice = (
            "It was restored without a target: pass the state of `init` as the target, "
            "as docs/recipes.md shows."
        )
    raise TypeError(
        f"`state` must be the {name} that `init` or the last `update` returned, {got}. "
        f"{advice}"
    )


def check_average(returned: Any, state: Any) -> tuple[jax.Array, Any]:
    """Checks what the `update` of a `LossAverage` returned, while tracing.

    Args:
      returned: what should be `(average, state)`.
      state: what it was called with.

    Returns:
      The average as a float32 scalar, and the state.

    Raises:
      TypeError: it is no pair, or the average is no real number, or the state changes
        its structure or a dtype.
      ValueError: the average is not a scalar, or the state changes a shape.
    """
    rule = "`loss_average.update` must return `(average, state)`"
    if not isinstance(returned, tuple) or len(returned) != 2:
        several = f" of {len(returned)}" if isinstance(returned, tuple) else ""
        one = "one array" if isinstance(returned, jax.Array) else None
        raise TypeError(f"{rule}, got {one or type(returned).__name__ + several}.")
    average, new_state = returned
    number = f"{rule}: `average` must be a real scalar"
    try:
        average = jnp.asarray(average)
    except (TypeError, ValueError):
        raise TypeError(
            f"{number}, got {type(average).__name__}. Are the two exchanged?"
        ) from None
    if average.shape != ():
        raise ValueError(
            f"{number}, got an array of shape {average.shape}. Are the two exchanged?"
        )
    if not _is_real(average):
        raise TypeError(f"{number}, got dtype {average.dtype}.")
    _check_same_types(
        f"{rule}: `state` must stay as `init` made it, but it",
        new_state,
        state,
        "Begin with these in `init`, or cast. Are the two exchanged?",
    )
    return average.astype(jnp.float32), new_state


def check_average_state(state: Any, initial: Any) -> None:
    """Refuses a state that another average made.

    Raises:
      TypeError: `state` has another structure or dtypes than `initial`.
      ValueError: it has other shapes.
    """
    _check_same_types(
        "`state` must be of this `loss_average`, but what it holds of it",
        state,
        initial,
        "Was it saved with another average?",
    )


def _check_same_types(rule: str, found: Any, expected: Any, advice: str) -> None:
    structure = jax.tree.structure(expected)
    if jax.tree.structure(found) != structure:
        raise TypeError(
            f"{rule} has the structure {shown(jax.tree.structure(found))}, expected "
            f"{shown(structure)}. {advice}"
        )

    def check(ours: Any, theirs: Any) -> None:
        if jnp.shape(ours) != jnp.shape(theirs):
            raise ValueError(
                f"{rule} has an array of shape {jnp.shape(ours)}, expected "
                f"{jnp.shape(theirs)}. {advice}"
            )
        if jnp.result_type(ours) != jnp.result_type(theirs):
            raise TypeError(
                f"{rule} has an array of {jnp.result_type(ours)}, expected "
                f"{jnp.result_type(theirs)}. {advice}"
            )

    jax.tree.map(check, found, expected)


def check_loss(value: Any, other_keywords: Any = ()) -> jax.Array:
    """Returns `value` as a float32 scalar, or says what to pass instead.

    Runs while tracing: everything checked here (presence, shape, dtype) is static.

    Args:
      value: what the caller passed as `value`; `None` if nothing came.
      other_keywords: names of the other keywords that came, for the message.

    Raises:
      TypeError: `value` is missing, or is not a real number.
      ValueError: `value` is not a scalar.
    """
    example = "`optimizer.update(grads, state, params, value=loss)`"
    if value is None:
        others = ", ".join(f"`{name}`" for name in other_keywords)
        got = f"got only the keywords {others}" if others else "got none"
        raise TypeError(
            "`update` needs the keyword `value`, the scalar loss of this batch; "
            f"{got}. Pass it as in {example}. If you passed it, a wrapper dropped it: "
            "docs/recipes.md lists which do, and what to write instead."
        )
    if isinstance(value, tuple):
        raise TypeError(
            "`value` must be the scalar loss of this batch, a real number, got a tuple "
            f"of {len(value)}. Of a loss function with `has_aux=True` pass the loss "
            "alone: `(loss, aux), grads = ...`, then `value=loss`."
        )
    if isinstance(value, (numbers.Integral, np.ndarray)):
        array = np.asarray(value)
        # JAX would take the lower 32 bits, of 10**10 for one.
        if array.dtype.kind in "iu":
            value = array.astype(np.float32)
    try:
        loss = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError, SyntaxError):
        raise TypeError(
            "`value` must be the scalar loss of this batch, a real number, got "
            f"{type(value).__name__}: {shown(value)}. Pass it as in {example}."
        ) from None
    if loss.shape != ():
        raise ValueError(
            "`value` must be the scalar loss of this batch, got an array of shape "
            f"{loss.shape}. Pass its mean: `value=jnp.mean(losses)`."
        )
    if not _is_real(loss):
        raise TypeError(
            "`value` must be the scalar loss of this batch, a real number, got dtype "
            f"{loss.dtype}. Pass it as in {example}."
        )
    return loss.astype(jnp.float32)
