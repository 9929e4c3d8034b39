"""Everything that wants an accelerator, in one command of less than ten minutes.

    python -m benchmarks.gpu [--out FOLDER] [--minutes 9]

Runs the other benchmarks one after another, the most wanted first, each in a process of
its own. Its finished rows are in FOLDER/NAME.json at any moment. Each has a share of
the time, plus what earlier ones left over. One that fails or runs out of time is named
at the end, and the others still run. The exit code is 1 if one failed.
Needs neither TensorFlow Datasets nor the internet.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import tyro

from benchmarks.command import check_names, run
from train.errors import InputError


class Job(NamedTuple):
    """A benchmark to run: its share of the time, and its arguments."""

    share: float
    arguments: list[str]


# The most wanted first.
JOBS = {
    "throughput": Job(
        5.5,
        ["--rounds", "5", "--steps", "50",
         "--torch-modes", "default", "reduce-overhead"],
    ),
    "optimizer_step": Job(0.5, ["--rounds", "15"]),
    "overhead": Job(0.5, []),
    "seeds": Job(
        1, ["--cases", "images", "table", "--rounds", "5",
            "--seeds", "4", "8", "2", "1"]
    ),
    "scaling": Job(
        1, ["--dtype", "bfloat16", "--depth", "16", "--steps", "50", "--widen",
            "1", "2", "4", "8", "--batch", "128", "256", "512", "1024",
            "--images", "10000", "50000", "200000"]
    ),
    "augmentation": Job(0.5, []),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """Runs all benchmarks on an accelerator."""

    #: Folder of the results; files of earlier ones are replaced.
    out: Path = Path("benchmarks/results/gpu")
    #: Minutes after which whatever runs is ended; more than 0.
    minutes: float = 9.0
    #: Benchmarks to run. None: all.
    only: tuple[str, ...] | None = None
    #: Folder in which compiled programs are kept for the next time. None: nowhere.
    cache: Path | None = Path(".cache/jax")

    def __post_init__(self):
        """Checks the options."""
        check_names("--only", JOBS if self.only is None else self.only, JOBS)
        if not self.minutes > 0:
            raise ValueError(f"--minutes must be more than 0, got {self.minutes}.")


def run_all(config: Config) -> dict[str, str]:
    """Runs the benchmarks; returns how each ended."""
    jobs = {name: JOBS[name] for name in config.only or JOBS}
    seconds_per_share = 60 * config.minutes / sum(job.share for job in jobs.values())
    deadline = time.monotonic()
    environment = dict(os.environ)
    if config.cache:
        environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.resolve()))
    endings = {}
    for name, job in jobs.items():
        deadline += job.share * seconds_per_share
        out = config.out / f"{name}.json"
        arguments = [*job.arguments, "--out", str(out)]
        earlier = _version(out)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        print(f"\n$ python {' '.join(command[1:])}", flush=True)
        start = time.monotonic()
        try:
            code = run_benchmark(command, max(deadline - start, 0), environment)
            ending = "done" if code == 0 else f"failed with exit code {code}"
        except subprocess.TimeoutExpired:
            ending = "out of time"
        endings[name] = f"{ending} after {time.monotonic() - start:.0f} s"
        if earlier is not None and _version(out) == earlier:
            endings[name] += f"; {out} is of an earlier run"
    return endings


def run_benchmark(
    command: list[str], timeout: float, environment: dict[str, str]
) -> int:
    """Runs a benchmark, and returns its exit code.

    SIGTERM ends it and then the program, even while the benchmark is being started:
    `subprocess.run` would leave it behind.

    Raises:
      subprocess.TimeoutExpired: it was ended after `timeout` seconds.
    """
    process, received = None, []

    def end(number: int, _: object) -> None:
        received.append(number)
        if process is not None:
            process.kill()

    before = signal.signal(signal.SIGTERM, end)
    try:
        process = subprocess.Popen(command, env=environment)
        with process:  # which waits for its end
            if received:
                process.kill()
            try:
                code = process.wait(timeout)
            except BaseException:  # out of time, or Ctrl-C
                process.kill()
                raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if received:
        sys.exit(128 + received[0])
    return code


def _version(file: Path) -> int | None:
    """What changes when a file is written anew; None if there is none."""
    return file.stat().st_mtime_ns if file.exists() else None


def main() -> None:
    """Runs the benchmarks; exits with 1 if one failed."""
    config = tyro.cli(Config, prog="python -m benchmarks.gpu")
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder --out {config.out}: {error}."
        ) from None
    endings = run_all(config)
    print()
    for name, ending in endings.items():
        print(f"{name}: {ending}")
    if any(ending.startswith("failed") for ending in endings.values()):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
