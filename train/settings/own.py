"""A network of one's own, FILE.py:FUNCTION: how it is typed, and its file."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

from train.errors import InputError
from train.paths import expand
from train.settings.cli import did_you_mean, listing
from train.settings.fields import check

BUILT_IN = ("wide_resnet", "mlp", "transformer")
FORM = "FILE.py:FUNCTION"


class Own(NamedTuple):
    """What is typed: a file, and a function in it that makes the network."""

    path: Path
    function: str


def parse_network(text: str) -> Own | None:
    """What `--network` names; None for a network that the program has."""
    if text in BUILT_IN:
        return None
    path, _, function = text.rpartition(":")
    check(
        path.endswith(".py") and function.isidentifier(),
        f"--network must be {listing((*BUILT_IN, f'{FORM}, a network of your own'))}; "
        f"got {text!r}.{did_you_mean(text, BUILT_IN)}",
    )
    return Own(Path(path), function)


@functools.cache  # once by a process, as modules: its runs all have the same network
def read_network(path: Path) -> bytes:
    """The content of the file of a network."""
    try:
        return expand(path).read_bytes()
    except (OSError, ValueError) as error:  # or no file can have such a name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot read {path}, the file of --network: {reason}."
        ) from None


def network_sha256(text: str | None) -> str | None:
    """The SHA-256 sum of the file that `--network` names; None if it names none."""
    own = None if text is None else parse_network(text)
    return None if own is None else hashlib.sha256(read_network(own.path)).hexdigest()
