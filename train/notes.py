"""Remarks of the program: shown above a live display, or on stderr where there is none.

Any room may make one, and none needs to know what shows it.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

from train.paths import on_screen

_shown_by: list[Callable[[str], None]] = []  # the last one shows
_told: list[Callable[[str], None]] = []  # what is being done


def say(text: str) -> None:
    """Shows a remark of one or several lines.

    Args:
      text: what to show; whoever asks takes care that it is asked once.
    """
    if _shown_by:
        _shown_by[-1](text)
        return
    with contextlib.suppress(OSError):  # nobody reads
        print(on_screen(text), file=sys.stderr, flush=True)


def doing(text: str) -> None:
    """Tells what is being done at the moment, where something shows it."""
    if _told:
        _told[-1](text)


@contextlib.contextmanager
def shown_by(
    show: Callable[[str], None], stage: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Gives remarks to `show`, and what is being done to `stage`, in the context."""
    _shown_by.append(show)
    _told.append(stage)
    try:
        yield
    finally:
        _shown_by.remove(show)
        _told.remove(stage)
