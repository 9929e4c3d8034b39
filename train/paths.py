"""Paths and lines, as users write and read them."""

import os
import shlex
import shutil
import sys
import tempfile
import textwrap
from functools import partial
from pathlib import Path

from train.errors import InputError


def printable(text: str) -> str:
    """Escapes what would break a line, steer a terminal, or is no character at all."""
    return "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text
    )


def filled(text: str, width: int = 80, indent: str = "") -> str:
    """Text in lines that break no word; all but the first of a line are indented."""
    whole = {"break_long_words": False, "break_on_hyphens": False}
    fill = partial(textwrap.fill, width=width, subsequent_indent=indent, **whole)
    return "\n".join(map(fill, text.splitlines()))


def on_screen(text: str) -> str:
    """Text for stderr: a terminal would break its words."""
    width = shutil.get_terminal_size().columns
    return filled(text, width) if sys.stderr.isatty() else text


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


def command_line(*words: str) -> str:
    """A command of this program, to be pasted into the shell that called it."""
    python, usual = Path(sys.executable), Path(shutil.which("python") or "")
    if python.parent == usual.parent and python.samefile(usual):
        python = "python"
    elif python.is_relative_to(Path.cwd()):  # in an environment that is not active
        python = os.path.relpath(python)
    return shlex.join([str(python), "-m", "train", *words])


def cache_folder(name: str) -> Path:
    """A folder for what can be made again."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # this user has no home
        cache = Path(tempfile.gettempdir())
    return cache / "lcam_optax" / name
