"""The command line: `python -m train run`, `compare`, `study` and their helpers."""

import signal

if __name__ == "__main__":
    # Ctrl-C ends the program without a traceback: while it loads, and after `main`.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import importlib
import importlib.metadata
import os
import sys
import threading
from collections.abc import Iterator

from train import notes
from train.errors import (
    ADVICE,
    DiskError,
    DivergedError,
    InputError,
    StoppedError,
    advising,
)
from train.paths import expand, printable
from train.runs.display import Display, discard, say_at_once
from train.settings import cli, presets
from train.settings.commands import (
    COMMANDS,
    Command,
    Compare,
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


def main(arguments: list[str] | None = None) -> int:
    """Runs the program and returns its exit code.

    2 is for bad input, 1 for training that diverged, 130 for an interruption (Ctrl-C),
    143 for SIGTERM, 141 for output that nobody reads any more.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    command = None
    try:
        with _terminable():
            command = _parse(arguments)
            if command is not None:
                _execute(command)
        sys.stdout.flush()
    except DiskError as error:
        return _fail(f"error: {error}{_how_to_go_on(command)}", 2)
    except InputError as error:
        return _fail(f"error: {error}", 2, error.details)
    except BrokenPipeError:  # as in `| head`: nobody reads on
        return 141
    except OSError as error:
        return _fail(
            f"error: cannot read or write: {error}. Is the disk full, or the folder "
            f"read-only?{_how_to_go_on(command)}",
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


def _how_to_go_on(command: Command | None) -> str:
    """What to say where the disk failed it; empty if it has nothing to continue."""
    if isinstance(command, Run | Compare):
        return " With --out and --resume the same command continues."
    return ""


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
        return None
    if command in ("-h", "--help"):
        print(cli.overview(Program, COMMANDS))
        return None
    if command in COMMANDS and {"-h", "--help"} & set(options):
        print(cli.describe(command, COMMANDS[command]))
        return None
    return cli.parse(arguments, COMMANDS)


# What does a command, and how its answer is printed; "" if it prints all by itself.
_DONE_BY = {
    Compare: ("train.studies.compare:compare", ""),
    Evaluate: ("train.runs.evaluate:evaluate", "{}"),
    Export: ("train.runs.export:export", "{}"),
    Plot: ("train.reports.plot_folders:plot", "picture: {}"),
    Report: ("train.reports.report:report", "report: {}"),
    Runs: ("train.runs.listing:list_runs", "{}"),
    Study: ("train.studies.study:study", ""),
}


def _execute(config: Command) -> None:
    """Does what a command asks for."""
    for folder in [*getattr(config, "folders", []), getattr(config, "folder", None)]:
        if folder is not None and not expand(folder).is_dir():
            raise InputError(f"there is no folder {folder}.")
    # Imported late: `--help` and bad options need no JAX.
    match config:
        case Presets():
            print(presets.describe())
        case Studies():
            from train.studies.catalogue import list_studies

            print(list_studies())
        case Run():
            from train.runs.folder import check_folder

            with Display(quiet=config.quiet) as display:
                if config.cluster.coordinator is None:  # refused before JAX is loaded
                    check_folder(
                        config.out,
                        config,
                        resume=config.resume,
                        free=config.changeable,
                    )
                _run(config, display)
        case _:
            if isinstance(config, Compare):
                from train.runs.folder import check_folder

                check_folder(config.out, config, resume=config.resume)
            if isinstance(config, Compare | Evaluate | Export | Study):
                from train.engine.devices import start_jax

                start_jax(getattr(config, "compile_cache", True))
            name, form = _DONE_BY[type(config)]
            module, _, function = name.partition(":")
            answer = getattr(importlib.import_module(module), function)(config)
            if form:
                print(form.format(answer))


def _run(config: Run, display: Display) -> None:
    if config.model.own is not None and config.cluster.coordinator is None:
        display.stage("loading JAX")  # which the user's file needs
        from train.engine.devices import start_jax
        from train.engine.networks import check_own

        start_jax(config.compile_cache)
        check_own(config.model.network)
    display.stage(f"loading {config.data.data}")
    from train.data.description import remark
    from train.data.sources import load_fitting

    if config.cluster.coordinator is not None:
        from train.runs import processes

        processes.connect(config.cluster)
    dataset = load_fitting(config)  # bad data are refused before JAX is loaded
    notes.say(remark(dataset, tested=config.data.tested))
    display.stage("loading JAX")
    from train.engine.devices import start_jax
    from train.runs import loop

    start_jax(config.compile_cache)
    try:
        folder = loop.run(config, dataset, display=display)
    except StoppedError as error:
        if error.folder is None:  # another process knows, and says so
            raise
        raise error.with_advice(
            f"To continue: the same command with --out {error.folder} --resume"
        ) from None
    if folder is None:
        return
    from train.runs.ending import summarize

    done = ["The run has finished, but for its picture.", *summarize(config, folder)]
    display.stage("drawing")
    with advising("\n".join(done)):
        from train.runs.plot import plot_run

        picture = plot_run(folder)
    lines = summarize(config, folder, picture)
    try:
        display.summary(lines)
    except OSError as error:
        raise InputError(
            f"cannot write the output: {error.strerror}. The run has finished, and all "
            f"of it is in {folder}."
        ) from None


def _settle() -> None:
    """Leaves nothing in a buffer that would fail at Python's end, with code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)


def _fail(message: str, code: int, details: str = "") -> int:
    with contextlib.suppress(OSError):  # of a terminal that is gone
        lines = [message, *details.splitlines()]
        print(*map(printable, lines), sep="\n", file=sys.stderr)
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
