"""Alternating timings, and a result file that holds every finished row."""

import contextlib
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import InputError
from train.runs.provenance import environment
from train.runs.writing import write_whole

# Threads of the side before that spin while they wait for work (OpenMP's do, for some
# milliseconds) would take the next one's cores.
PAUSE = 0.02  # seconds


def alternate(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    after_round: Callable[[dict[str, list[float]]], object] = lambda times: None,
) -> dict[str, list[float]]:
    """Times sides in turn, in an order that is drawn anew for each round.

    So none goes first more often than by chance, nor always behind the same other.

    Args:
      sides: what is timed; a call returns when its work is done. Whatever a first call
        does besides (compiling) must be done.
      rounds: how often each side is timed, at least 1.
      after_round: is given the seconds so far, as returned, after each round.

    Returns:
      Seconds of every call, in the order of the rounds.
    """
    names = list(sides)
    times: dict[str, list[float]] = {name: [] for name in names}
    orders = random.Random(0)
    for _ in range(rounds):
        for name in orders.sample(names, len(names)):
            time.sleep(PAUSE)
            start = time.perf_counter()
            sides[name]()
            times[name].append(time.perf_counter() - start)
        after_round(times)
    return times


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles of the ratios of two sides' times, paired by their round."""
    ratios = np.divide(numerator, denominator)
    return {
        "median": float(np.median(ratios)),
        "quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
    }


def shown(ratio: dict[str, Any], digits: int = 2) -> str:
    """A ratio as text: its median, and its quartiles in brackets."""
    low, high = ratio["quartiles"]
    return f"{ratio['median']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def median_of(run: Callable[[], object], repeats: int) -> float:
    """Median of the seconds that calls take, after one that is not timed."""
    run()
    return statistics.median(alternate({"run": run}, repeats)["run"])


def processor() -> dict[str, Any]:
    """The CPU's name, and those of its vector instructions that rule its rates.

    Empty ones where /proc/cpuinfo does not tell.
    """
    known = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    words = set(text.split())
    return {
        "processor": name[1] if name else "",
        "vector_instructions": [name for name in known if name in words],
    }


# What can change a time and is no option of the command.
VARIABLES = (
    "XLA_FLAGS",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "NVIDIA_TF32_OVERRIDE",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "GLIBC_TUNABLES",
)


class Report:
    """The results of a benchmark, with their provenance.

    The file is whole at any moment, and holds a row as soon as that is measured. An
    earlier one is replaced with the first row.

    Args:
      out: the file; None for none.
      packages: whose versions matter besides those of `train.runs.provenance`.
      **settings: how it was measured.

    Raises:
      InputError: the file cannot be written.
    """

    def __init__(
        self, out: Path | None, *, packages: Sequence[str] = (), **settings: Any
    ):
        self.results: dict[str, Any] = {}
        self._out = out
        self._head = environment(*packages) | settings | processor()
        self._head["variables"] = {
            name: os.environ[name] for name in VARIABLES if name in os.environ
        }
        with self._writing() as file:  # what can't be written fails now, not in an hour
            if file:
                tempfile.TemporaryFile(dir=file.parent).close()

    def add(self, name: str, row: Any) -> None:
        """Adds a row, and writes the file, if there is one."""
        self.results[name] = row
        content = self._head | {"results": self.results}
        with self._writing() as file:
            if file:
                write_whole(file, json.dumps(content, indent=2) + "\n")

    def note(self, **settings: Any) -> None:
        """Adds what only a measurement could tell; the next row writes it."""
        self._head |= settings

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path | None]:
        """The file, in a folder that exists, or None; what goes wrong is said."""
        try:
            if self._out:
                if self._out.exists() and not self._out.is_file():
                    raise OSError("it is not a file")  # but a folder, or a device
                self._out.parent.mkdir(parents=True, exist_ok=True)
                self._out.with_name(self._out.name)  # ValueError: it has no name
            yield self._out
        except (OSError, ValueError) as error:  # ValueError: a path without a name
            raise InputError(
                f"cannot write --out {self._out}: {error}. Name a file in a folder "
                "that can be written to."
            ) from None
