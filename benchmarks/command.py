"""What the benchmarks' command lines share."""

import os
import sys
from collections.abc import Callable, Collection
from typing import Any

from train.errors import InputError


def run(main: Callable[[], None]) -> None:
    """Runs a command; bad input ends it with one message and exit code 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:
        print(f"error: not enough memory: {error}. Ask for less.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # at an orderly exit what still compiles may crash


def check_counts(config: Any, *options: str) -> None:
    """Makes sure that options are at least 1.

    Raises:
      ValueError: one is not, which tyro reports.
    """
    for option in options:
        counts = getattr(config, option)
        flag = option.replace("_", "-")
        if counts == ():
            raise ValueError(f"--{flag} must be one number or more.")
        for count in counts if isinstance(counts, tuple) else (counts,):
            if count < 1:
                raise ValueError(f"--{flag} must be at least 1, got {count}.")


def check_names(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Makes sure that there are names, and all of them known.

    Raises:
      ValueError: one is not, which tyro reports.
    """
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        got = ", ".join(unknown) or "none"
        raise ValueError(f"{option} must be of {', '.join(known)}; got {got}.")
