"""Paths as users write them."""

import os
import tempfile
from pathlib import Path

from train.errors import InputError


def printable(text: str) -> str:
    """Escapes what would break a line, steer a terminal, or is no character at all."""
    return "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text
    )


def expand(path: Path) -> Path:
    """Replaces `~` by the home folder.

    Raises:
      InputError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(
            f"cannot expand {path}: there is no such user. Write the full path."
        ) from None


def cache_folder(name: str) -> Path:
    """A folder for what can be made again."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # this user has no home
        cache = Path(tempfile.gettempdir())
    return cache / "lcam_optax" / name
