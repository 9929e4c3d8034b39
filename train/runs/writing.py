"""Writes files whole or not at all, and says what to do about a full disk."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from train.errors import DiskError, InputError
from train.paths import expand


def replace(path: Path, content: str | bytes) -> None:
    """Writes a file as `write_whole` does; a full disk is a `DiskError`."""
    with writing(path.parent):
        write_whole(path, content)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file that is old or new at any moment, never half."""
    # Of this process: another may write the same file.
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.replace(path)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Says where, and what to do, if the disk does not take what is written."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"cannot write into {folder}: {error.strerror}. Free some space, or make "
            "the folder writable, and repeat the command."
        ) from None


def no_link(path: Path) -> Path:
    """The path, which must not lead out of the folder that it is in."""
    if path.is_symlink():
        raise InputError(
            f"{path} is a link, and nothing outside of its folder is written or "
            "removed. Replace it by what it leads to, or link the whole folder."
        )
    return path


def check_output(option: str, path: Path, overwrite: bool) -> Path:
    """The path of a file of the user's, which can be written and is not there yet."""
    path = expand(path)
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder: name a file.")
    if path.exists() and not overwrite:
        raise InputError(
            f"{option} {path} is there already: name a new file, or add --overwrite."
        )
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{option} {path}: there is no folder {path.parent} that can be written to."
        )
    return path
