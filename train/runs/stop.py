"""Ends a run on a signal, between two calls, so that it can be saved."""

import contextlib
import os
import signal
import threading
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Stop:
    """Whether a signal asks a run to end.

    SIGINT (Ctrl-C), SIGTERM (as of a cluster that takes a machine back) or SIGHUP (of a
    terminal that goes away, unless it is ignored, as under nohup).

    A context. In it a signal is only noted: an exception in the middle of a compilation
    or of a checkpoint could be lost or leave a thread waiting. A second one ends the
    process at once.
    """

    def __init__(self):
        self.signal: signal.Signals | None = None
        self._calls = 0
        self._handlers = {}

    def __enter__(self) -> "Stop":
        """Watches out for signals, which only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT]
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            # Of several processes JAX's runtime notes SIGTERM itself, and tells all.
            if jax.process_count() == 1:
                numbers.append(signal.SIGTERM)
            self._handlers = {n: signal.signal(n, self._note) for n in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        """Puts back what signals did before."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            _say(b"\nstopped at once: the work since the last checkpoint is lost\n")
            os._exit(128 + number)
        self.signal = signal.Signals(number)
        _say(b"\nstopping and saving; once more to stop at once\n")
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def is_due(self) -> bool:
        """Whether to stop here: asked between calls, the same in every process."""
        if jax.process_count() > 1:
            self._calls += 1
            if multihost_utils.reached_preemption_sync_point(self._calls):
                self.signal = self.signal or signal.SIGTERM
                return True
            return False
        return self.signal is not None


def _say(message: bytes) -> None:
    """Writes to stderr, if somebody reads it: Ctrl-C ends `| tee` too."""
    with contextlib.suppress(OSError):
        os.write(2, message)
