"""The exceptions that the program reports without a traceback."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

# How to go on with what is under way: printed when a signal ends it at once.
ADVICE: list[str] = []


class InputError(Exception):
    """Bad input: the message says what was wrong, what was expected, what to do.

    The program prints it without a traceback and exits with code 2.

    Attributes:
      details: lines to print below the message, such as a traceback of a user's file.
    """

    def __init__(self, message: str, details: str = ""):
        super().__init__(message)
        self.details = details


class DiskError(InputError):
    """What was to be written could not be: the program adds how its command goes on."""


class DivergedError(Exception):
    """The training loss stopped being finite: the message says where.

    The program prints it without a traceback and exits with code 1.
    """


class StoppedError(Exception):
    """A signal ended a run: the message says where.

    Attributes:
      code: of the program's exit, by the shell's convention 128 and the signal.
      folder: of the run; None if another process writes it.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code
        self.folder: Path | None = None

    def with_advice(self, advice: str) -> "StoppedError":
        """The same, saying how to go on."""
        return StoppedError(f"{self} {advice}", self.code)


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Says how to go on if a signal ends what is done."""
    ADVICE.append(advice)
    try:
        yield
    except StoppedError as error:
        raise error.with_advice(advice) from None
    finally:
        ADVICE.pop()
