"""The command line: `python -m train run`, `compare`, `study` and their helpers."""

import signal

if __name__ == "__main__":
    # Ctrl-C ends the program without a traceback: while it loads, and after `main`.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import dataclasses
import importlib
import importlib.metadata
import os
import sys
import threading
from collections.abc import Iterator

from train.errors import ADVICE, DiskError, DivergedError, InputError, StoppedError
from train.paths import on_screen, printable
from train.runs.display import discard, say_at_once
from train.settings import cli
from train.settings.commands import (
    COMMANDS,
    Command,
    Compare,
    Doctor,
    Evaluate,
    Export,
    Plot,
    Presets,
    Program,
    Report,
    Run,
    Runs,
    Studies,
    Study,
)

# How a command's answer is printed, "" if it prints all by itself; what does it, and
# before that what reads its data, which are refused before JAX is loaded.
_DONE_BY = {
    Compare: ("", "train.data.sources:load_fitting", "train.studies.compare:compare"),
    Doctor: ("", "train.runs.doctor:doctor"),
    Evaluate: ("{}", "train.runs.evaluate:evaluate"),
    Export: ("{}", "train.runs.trained:export"),
    Plot: ("picture: {}", "train.reports.plot_folders:plot"),
    Presets: ("{}", "train.settings.presets:describe"),
    Report: ("report: {}", "train.reports.report:report"),
    Run: ("", "train.runs.command:run"),
    Runs: ("{}", "train.runs.listing:list_runs"),
    Studies: ("{}", "train.studies.catalogue:list_studies"),
    Study: ("", "train.studies.catalogue:loader", "train.studies.study:study"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code.

    2 is for bad input, 1 for training that diverged, 130 for an interruption (Ctrl-C),
    143 for SIGTERM, 141 for output that nobody reads any more.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    command, go_on = None, ""
    try:
        with _terminable():
            command = _parse(arguments)
            if isinstance(command, Run | Compare):
                go_on = " With --out and --resume the same command continues."
            if command is not None:
                _execute(command)
        sys.stdout.flush()
    except DiskError as error:
        return _fail(f"error: {error}{go_on}", 2)
    except InputError as error:
        return _fail(f"error: {error}", 2, error.details)
    except BrokenPipeError:  # as in `| head`: nobody reads on
        return 141
    except OSError as error:
        return _fail(
            f"error: cannot read or write: {error}. Is the disk full, or the folder "
            f"read-only?{go_on}",
            2,
        )
    except ModuleNotFoundError as error:
        return _fail(
            f"error: this Python lacks the package {error.name}. `make demo` installs "
            "all that is needed; `source .venv/bin/activate` makes it this Python.",
            2,
        )
    except DivergedError as error:
        return _fail(f"error: {error}", 1)
    except StoppedError as error:
        return _fail(str(error), error.code)
    finally:
        _settle()
    return 0


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Lets a signal end the program with a word, while no run is under way to be saved.

    At once: an exception in the midst of an import of C++ would abort it, and one in a
    callback of the garbage collector would be lost.
    """
    words = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

    def end(number: int, _: object) -> None:
        say_at_once("\n".join(["", *ADVICE, words[number], ""]))
        os._exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in words}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parse(arguments: list[str]) -> Command | None:
    """The command; None if help or the version was asked for, and printed."""
    command, *options = arguments or ["--help"]
    if command == "--version":
        print(f"lcam_optax {importlib.metadata.version('lcam-optax')}")
    elif command in ("-h", "--help"):
        print(cli.overview(Program, COMMANDS))
    elif command in COMMANDS and {"-h", "--help"} & set(options):
        print(cli.describe(command, COMMANDS[command]))
    else:
        return cli.parse(arguments, COMMANDS)
    return None


def _execute(config: Command) -> None:
    """Does what a command asks for. What cannot be is told before JAX is loaded."""
    # Imported late: `--help` and bad options need no more than that.
    from train.runs.command import check

    check(config)
    form, *names = _DONE_BY[type(config)]
    words = [config] if dataclasses.fields(config) else []
    for name in names:
        module, _, function = name.partition(":")
        words.append(getattr(importlib.import_module(module), function)(*words))
    if form:
        print(form.format(words[-1]))


def _settle() -> None:
    """Leaves nothing in a buffer that would fail at Python's end, with code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)


def _fail(message: str, code: int, details: str = "") -> int:
    with contextlib.suppress(OSError):  # of a terminal that is gone
        lines = [on_screen(printable(message)), *map(printable, details.splitlines())]
        print(*lines, sep="\n", file=sys.stderr)
    _settle()
    if "jax" in sys.modules:
        from train.runs import processes

        processes.leave(code)
    return code


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "agg"  # pictures are files, whatever the user has there
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    sys.stdout.reconfigure(errors="backslashreplace")  # paths may be any bytes
    sys.exit(main())
