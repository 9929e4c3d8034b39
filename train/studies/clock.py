"""How long a study still takes."""

import statistics
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any


class Clock:
    """Tells how long a study still takes: each program is compiled once.

    Args:
      budget: minutes; None: no end.
    """

    def __init__(self, budget: float | None = None):
        self._start = self._mark = time.perf_counter()
        self.budget = budget
        # Of each run, by program: all its seconds, and those of its epochs alone.
        self._runs: dict[Hashable, list[tuple[float, float]]] = {}

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        elapsed = time.perf_counter() - self._start
        return self.budget is not None and elapsed > 60 * self.budget

    def count(self, program: Hashable, rows: Sequence[dict[str, Any]]) -> None:
        """Takes a run into account that this process has just made.

        Args:
          program: that it was compiled for.
          rows: of its epochs.
        """
        now = time.perf_counter()
        # The first epoch may be a slow one: what comes first takes longer.
        epochs = [row["seconds"] for row in rows] or [0.0]
        usual = statistics.median(epochs) * len(epochs)
        self._runs.setdefault(program, []).append((now - self._mark, usual))
        self._mark = now

    def left(self, waiting: Iterable[Hashable]) -> float:
        """Seconds that are left, if this process makes all runs that are waiting.

        Args:
          waiting: the program of each run.
        """
        again = {program: _again(runs) for program, runs in self._runs.items()}
        anywhere = statistics.mean(again.values())
        firsts = [runs[0][0] for runs in self._runs.values()]
        # The very first also loaded the data and started JAX.
        compiling = statistics.mean(firsts[1:] or firsts)
        total = 0.0
        for program, number in Counter(waiting).items():
            if program in again:
                total += number * again[program]
            else:
                total += compiling + (number - 1) * anywhere
        return total


def _again(runs: list[tuple[float, float]]) -> float:
    """Seconds of one more run of a program that was compiled."""
    [(_, usual), *others] = runs
    return statistics.mean(seconds for seconds, _ in others) if others else usual
