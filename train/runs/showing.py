"""Chooses how a run is shown: quietly, as lines, or on a live terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator

from train import notes
from train.runs.display import Display, Lines, Summary


@contextlib.contextmanager
def showing(*, quiet: bool = False, bar_only: bool = False) -> Iterator[Display]:
    """Shows what suits where the output goes, as long as the context lasts.

    Args:
      quiet: only what a run came to.
      bar_only: only what vanishes again: a live line on a terminal, and nothing else.
    """
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    with contextlib.ExitStack() as stack:
        if quiet:
            display = Summary()
        elif is_terminal:
            # Imported late: it takes a tenth of a second.
            from train.runs.terminal import Terminal

            display = stack.enter_context(Terminal(bar_only=bar_only))
        else:
            display = Display() if bar_only else Lines()
        stack.enter_context(notes.shown_by(display.note))
        yield display
