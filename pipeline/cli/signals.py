"""How a command is told to stop, or to read its file again."""

import os
import signal
import threading
from types import FrameType


def stop_on_signals() -> threading.Event:
    """Set by SIGINT or SIGTERM; a second one ends the process at once."""
    stop = threading.Event()

    def handle(signum: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            # Nothing is lost: what was not stored is evaluated again at the next start.
            os._exit(128 + signum)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop


def hang_up_on_signal() -> threading.Event:
    """Set by SIGHUP, which asks a process to read its file again."""
    hang_up = threading.Event()
    signal.signal(signal.SIGHUP, lambda _signum, _frame: hang_up.set())
    return hang_up
