"""Remarks of the program: shown above a live display, or on stderr where there is none.

Any room may make one, and none needs to know what shows it.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

_shown_by: list[Callable[[str], None]] = []  # the last one shows


def say(text: str) -> None:
    """Shows a remark of one or several lines.

    Args:
      text: what to show; whoever asks takes care that it is asked once.
    """
    if _shown_by:
        _shown_by[-1](text)
        return
    with contextlib.suppress(OSError):  # nobody reads
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def shown_by(show: Callable[[str], None]) -> Iterator[None]:
    """Gives remarks to `show` as long as the context lasts."""
    _shown_by.append(show)
    try:
        yield
    finally:
        _shown_by.remove(show)
