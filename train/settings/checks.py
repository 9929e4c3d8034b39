"""Checks of what a user types: each raises `InputError` with the option as typed."""

import importlib.util
import struct
from pathlib import Path

from train.errors import InputError

# No sensible option is larger or, if it must be positive, smaller; beyond lie overflow
# and memory that no machine has.
TINY, HUGE = 1e-30, 1e6


def check(passes: bool, message: str) -> None:
    """Raises the message unless the check passes."""
    if not passes:
        raise InputError(message)


def check_range(option: str, number: float, low: float, high: float) -> None:
    """Makes sure of a number in [low, high)."""
    # As float32, which it will be: 0.99999999 is 1 then.
    [rounded] = struct.unpack("f", struct.pack("f", min(max(number, -1e30), 1e30)))
    check(
        low <= number and rounded < high,
        f"{option} must be in [{low:g}, {high:g}), got {number}.",
    )


def check_positive(option: str, number: float) -> None:
    """Makes sure of a number greater than 0, within reason."""
    check(number > 0, f"{option} must be greater than 0, got {number:g}.")
    check_at_least(option, number, TINY)


def check_at_least(option: str, number: float, least: float) -> None:
    """Makes sure of a number from `least` on, within reason."""
    check(number >= least, f"{option} must be at least {least:g}, got {number}.")
    check(number <= HUGE, f"{option} must be at most {HUGE:,.0f}, got {number}.")


def flag(name: str) -> str:
    """A field as it is typed."""
    return "--" + name.replace("_", "-")


def check_seed(option: str, seed: int) -> None:
    """Makes sure that JAX takes the seed."""
    check(0 <= seed < 2**32, f"{option} must be in [0, 2^32), got {seed}.")


def check_seeds(option: str, seeds: tuple[int, ...]) -> None:
    """Makes sure that there are seeds, and that they differ."""
    check_different(option, seeds)
    for seed in seeds:
        check_seed(option, seed)


def check_different(option: str, numbers: tuple[float, ...]) -> None:
    """Makes sure that there are numbers, and that they differ."""
    check(bool(numbers), f"{option} needs one number or more.")
    check(
        len(numbers) == len(set(numbers)),
        f"{option} must be different numbers, got {' '.join(map(str, numbers))}.",
    )


def check_tensorboard(wanted: bool) -> None:
    """Makes sure that what writes for TensorBoard is installed, if it is wanted."""
    check(
        not wanted or importlib.util.find_spec("tensorboardX") is not None,
        "--tensorboard needs the package tensorboardX, which is not installed: `pip "
        "install tensorboardX` installs it.",
    )


def check_resume(out: Path | None, resume: bool) -> None:
    """Makes sure that `--resume` comes with a folder."""
    check(
        out is not None or not resume,
        "--resume needs --out, the folder of what to continue.",
    )
