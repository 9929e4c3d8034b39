"""Ends a run on a signal, between two calls, so that it can be saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import jax
from jax.experimental import multihost_utils

from train.errors import StoppedError
from train.runs.display import say_at_once


class Stop(contextlib.ExitStack):
    """Whether a signal asks a run to end. A context, in which a signal is only noted.

    SIGINT (Ctrl-C), SIGTERM (as of a cluster that takes a machine back) or SIGHUP (of a
    terminal that goes away, unless it is ignored, as under nohup).

    An exception in the middle of a compilation or of a checkpoint could be lost or
    leave a thread waiting. A second signal ends the process at once.

    Args:
      announce: says that a signal came; it must be safe in the midst of anything.
      is_due: another reason to stop, which is asked each time.
    """

    def __init__(
        self, announce: Callable[[], None], is_due: Callable[[], bool] = lambda: False
    ):
        super().__init__()
        self._announce, self._is_due = announce, is_due
        self.signal: signal.Signals | None = None
        self._calls = 0

    def __enter__(self) -> "Stop":
        """Watches out for signals, which only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT]
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            # Of several processes JAX's runtime notes SIGTERM itself, and tells all.
            if not jax.distributed.is_initialized():
                numbers.append(signal.SIGTERM)
            for number in numbers:
                self.callback(signal.signal, number, signal.signal(number, self._note))
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            say_at_once("\nstopped at once: work since the last checkpoint is lost\n")
            os._exit(128 + number)
        self.signal = signal.Signals(number)
        self._announce()
        if jax.distributed.is_initialized():
            os.kill(os.getpid(), signal.SIGTERM)

    def is_due(self) -> bool:
        """Whether to stop here: asked between calls, the same in every process."""
        if jax.distributed.is_initialized():
            self._calls += 1
            if multihost_utils.reached_preemption_sync_point(self._calls):
                self.signal = self.signal or signal.SIGTERM
                return True
            return False
        if self._is_due():
            self.signal = self.signal or signal.SIGTERM
        return self.signal is not None

    def error(self, text: str) -> StoppedError:
        """What ends the run: it says where."""
        return StoppedError(f"{self.signal.name}: {text}", code=128 + self.signal)
