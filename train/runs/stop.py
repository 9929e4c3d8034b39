"""Ends a run on a signal, between two calls, so that it can be saved."""

import contextlib
import os
import signal
import threading
import time
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
      minutes: after which it is due in any case, from when it is first asked; or 0.
    """

    def __init__(self, announce: Callable[[], None], minutes: float = 0):
        super().__init__()
        self._announce = announce
        self.signal: signal.Signals | None = None
        self._calls = 0
        self._minutes, self._since = minutes, 0.0

    def __enter__(self) -> "Stop":
        """Watches out for signals, which only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT]
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            # Of several processes JAX's runtime notes SIGTERM itself, and tells all.
            if not _are_several():
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
        if _are_several():
            os.kill(os.getpid(), signal.SIGTERM)

    def is_due(self) -> bool:
        """Whether to stop here: asked between calls, the same in every process."""
        if _are_several():
            self._calls += 1
            if multihost_utils.reached_preemption_sync_point(self._calls):
                self.signal = self.signal or signal.SIGTERM
                return True
            return False
        now = time.monotonic()
        self._since = self._since or now  # so there is a call before it is due
        if 0 < 60 * self._minutes <= now - self._since:
            self.signal = self.signal or signal.SIGTERM
        return self.signal is not None

    def error(self, text: str) -> StoppedError:
        """What ends the run: it says where."""
        return StoppedError(f"{self.signal.name}: {text}", code=128 + self.signal)


def _are_several() -> bool:
    """Whether processes train together; does not start JAX where they do not."""
    return jax.distributed.is_initialized() and jax.process_count() > 1
