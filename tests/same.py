"""Does the program still make the same numbers? For changes of its form alone.

    python -m tests.same [BASE]

Runs a dozen command lines in this working tree and in BASE, a commit that is checked
out beside it meanwhile. All numbers that they make are compared bit for bit, but for
times: rows of runs, comparisons, what `evaluate` prints, what `export` writes. A line a
case tells the first number that differs. Exits with 1 if one does.

Without BASE it is the last commit, or the one before if nothing has changed since.
Both sides use this Python and its packages, and keep nothing compiled. Leave the
working tree as it is until the end.
"""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
}

# Of each case, what `python -m train` is told; {out} is the folder of the case.
RUN = "run --quiet --out {out}/run --devices 1"
MLP = f"{RUN} --network mlp --epochs 2"
IN_AN_EPOCH, IN_A_TEST = "stopped in an epoch", "stopped in a test"
CASES = {
    "Wide ResNet": [f"{RUN} --epochs 1 --every 3"],
    "two devices, augmented images": [
        f"{MLP} --devices 2 --crop-padding 1 --flip True --observe held_out"
    ],
    "table, smaller last step, lagged Nesterov": [
        f"{MLP} --data breast_cancer --batch-size 50 --no-drop-last --nesterov --lagged"
        " --margin 0.01 --schedule exponential --exponential-after 1"
    ],
    "regression, SGD, mechanism": [
        f"{MLP} --data diabetes --optimizer sgd --observe mechanism --warmup-epochs 1"
    ],
    "text": [f"{RUN} --data english --every 40 --epochs 1 --layers 1 --dtype bfloat16"],
    "AdamW by phase, test of the rest": [
        f"{MLP} --optimizer optax.adamw --optimizer-options b1=0.9/0.95"
        " --every 2 --test-rest"
    ],
    "phase by examples, mechanism": [
        f"{MLP} --phase examples --observe mechanism --loss-average epoch"
    ],
    "phase by a fixed batch, validation": [
        f"{MLP} --phase fixed --observe fixed --validation 200 --init-seed 7"
    ],
    "phase by chance, the same shuffled, steps": [
        f"{MLP} --phase chance --schedule step --milestones 1 --test-epochs 1",
        "run --quiet --out {out}/shuffled --network mlp --epochs 2 --normalize none"
        " --phase shuffled --phases-of {out}/run --eval-batch-size 100",
    ],
    "losses that are not finite": [f"{MLP} --on-nan continue --learning-rate 1e6"],
    "compare, evaluate, export": [
        "compare --out {out}/all --network mlp --epochs 2 --seeds 0 1"
        " --keep-checkpoints 1 --arms sgd lcam:ema-decay=0.8",
        "evaluate {out}/all/runs/digits/2-lcam-seed1",
        "export {out}/all/runs/digits/2-lcam-seed1 {out}/weights.npz",
    ],
    IN_AN_EPOCH: [
        f"{RUN} --resume --network mlp --hidden 256 256 --epochs 3 --batch-size 1"
        " --learning-rate 0.001 --steps-per-call 7 --observe mechanism"
    ],
    IN_A_TEST: [
        f"{RUN} --resume --network mlp --hidden 4096 4096 --epochs 2 --batch-size 36"
        " --every 40 --test-rest --test-epochs 1 --eval-batch-size 1"
        " --learning-rate 0.01"
    ],
}

# In the working tree these get a SIGINT in their second epoch, and are resumed after
# saying so. The base is not stopped: all the more has to be the same.
STOPPED = {
    IN_AN_EPOCH: r"stopped and saved after step (?!2874\b)",  # which ends the epoch
    IN_A_TEST: r"stopped and saved in the test after step 2\b",
}

ASIDE = {"seconds", "images_per_second", "commit"}


class FailedError(Exception):
    """A command did not do what it had to: the message says what it did."""


class Side(NamedTuple):
    """A checkout, where its commands write, and whether they are stopped."""

    checkout: Path
    folder: Path
    stops: bool

    def numbers(self, name: str) -> dict[str, object]:
        """Runs a case. Returns each number by where it stands."""
        out = self.folder / re.sub(r"\W+", "-", name)
        numbers = {}
        for line in CASES[name]:
            command = shlex.split(line.format(out=out))
            if self.stops and name in STOPPED:
                self._stop(command, out / "run", STOPPED[name])
            process = self._start(command)
            output, errors = process.communicate()
            if process.returncode:
                raise FailedError(f"code {process.returncode}, {_last_line(errors)}")
            if command[0] == "evaluate":
                lines = enumerate(output.replace(str(out), "").splitlines(), start=1)
                numbers |= {f"evaluate, line {row}": text for row, text in lines}
        for path in sorted(out.rglob("*")):
            numbers |= _numbers_in(path, str(path.relative_to(out)))
        if not numbers:
            raise FailedError("no number was found")
        return numbers

    def _start(self, command: list[str]) -> subprocess.Popen:
        """Starts a command of the checkout's own program."""
        return subprocess.Popen(
            [sys.executable, "-m", "train", *command],
            cwd=self.checkout,
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _stop(self, command: list[str], run: Path, words: str) -> None:
        """Starts a run and stops it in its second epoch: it has to say such words."""
        rows = run / "metrics.jsonl"
        # From the first epoch's row into the second, or its test: how long that takes
        # depends on the machine, so other times are tried where one misses.
        for seconds in (0.2, 0.05, 0.5, 0.0, 1.0):
            shutil.rmtree(run, ignore_errors=True)
            process = self._start(command)
            while process.poll() is None and not (rows.exists() and rows.read_bytes()):
                time.sleep(0.01)
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
            if re.search(words, errors):
                return
        raise FailedError(f"the signal came elsewhere: {_last_line(errors)}")


def _last_line(errors: str) -> str:
    """What a command said at last."""
    return errors.strip().rpartition("\n")[-1] or "without a word"


def _numbers_in(path: Path, name: str) -> dict[str, object]:
    """The numbers in a file, each as the text that stands there."""
    match path.suffix:
        case ".npz":
            with np.load(path) as arrays:
                return {f"{name}, {key}": arrays[key].tobytes() for key in arrays}
        case ".csv":
            rows = list(csv.DictReader(path.read_text().splitlines()))
        case ".jsonl":
            lines = path.read_text().splitlines()
            rows = [
                json.loads(line, parse_float=str, parse_constant=str) for line in lines
            ]
        case _:
            return {}
    return {
        f"{name}, row {number}, {column}": value
        for number, row in enumerate(rows, start=1)
        for column, value in row.items()
        if column not in ASIDE
    }


def difference(base: Future, tree: Future) -> str | None:
    """Says what differs first between the numbers of both sides; None: nothing."""
    try:
        before, after = base.result(), tree.result()
    except FailedError as error:
        return f"{'the base' if base.exception() else 'this tree'}: {error}"
    for where in before | after:
        was, now = before.get(where), after.get(where)
        if was != now:
            return f"{where}: {repr(was)[:40]} became {repr(now)[:40]}"
    return None


def compare(base: Side, tree: Side) -> bool:
    """Runs all cases, two commands at a time; returns whether they are the same."""
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        jobs = {
            name: [pool.submit(side.numbers, name) for side in (base, tree)]
            for name in CASES
        }
        found = []
        for name, sides in jobs.items():
            found.append(difference(*sides))
            print(f"{name}: {found[-1] or 'same'}", flush=True)
        return not any(found)
    finally:
        pool.shutdown(cancel_futures=True)


def git(*words: str | Path) -> str:
    """Returns what git prints; where it fails, so does the program."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return done.stdout.strip()


def main() -> int:
    """Checks the base out, compares with it, and removes it again."""
    name, *_ = [*sys.argv[1:], "HEAD" if git("status", "--porcelain") else "HEAD~1"]
    base = git("rev-parse", "--verify", f"{name}^{{commit}}")
    print(f"against {git('log', '-1', '--format=%h %s', base)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "checkout"
        git("worktree", "add", "--detach", checkout, base)
        try:
            before = Side(checkout, Path(folder) / "base", stops=False)
            return not compare(before, Side(ROOT, Path(folder) / "tree", stops=True))
        finally:
            git("worktree", "remove", "--force", checkout)


if __name__ == "__main__":
    sys.exit(main())
