"""A program on a pseudo-terminal: what a person would see."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

ROOT = Path(__file__).parents[2]


def text_of(written):
    """What was written without what moves the cursor, clears and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "\n")


def on_terminal(*arguments, size, folder, interrupt_at=None):
    """Runs Python on a terminal of (lines, columns); returns exit code and text.

    Args:
      *arguments: of Python.
      size: of the terminal.
      folder: to be in.
      interrupt_at: a text; when it appears, the program gets the signal of Ctrl-C.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)},
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 4096):
            written += part
            if interrupt_at and interrupt_at in text_of(
                written.decode(errors="ignore")
            ):
                process.send_signal(signal.SIGINT)
                interrupt_at = None
    except OSError:  # its end, on Linux
        pass
    os.close(ours)
    return process.wait(timeout=60), text_of(written.decode())
