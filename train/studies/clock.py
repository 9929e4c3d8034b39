"""How long a study still takes."""

import time


class Clock:
    """Tells how long a study still takes, by the mean of its runs so far.

    Args:
      budget: minutes; None: no end.
    """

    def __init__(self, budget: float | None = None):
        self.budget = budget
        self._start = time.perf_counter()
        self._num_runs = 0

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        elapsed = time.perf_counter() - self._start
        return self.budget is not None and elapsed > 60 * self.budget

    def after_run(self, num_waiting: int) -> float:
        """Counts a run that has ended; returns the seconds for those that wait."""
        self._num_runs += 1
        mean = (time.perf_counter() - self._start) / self._num_runs
        return num_waiting * mean
