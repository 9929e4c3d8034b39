"""Writes files whole or not at all, and says what to do about a full disk."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from train.errors import InputError


def replace(path: Path, text: str) -> None:
    """Writes a file as `write_whole` does.

    Raises:
      InputError: the disk does not take it.
    """
    with writing(path.parent):
        write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is old or new at any moment, never half."""
    # Of this process: another may write the same file.
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text)
    new.replace(path)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says where, and what to do, if the disk does not take what is written.

    Raises:
      InputError: it does not.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror}. Free some space, or make "
            "the folder writable, and repeat the command; a run or a comparison with "
            "--resume."
        ) from None
