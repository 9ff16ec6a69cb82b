"""Pauses a process, as a machine does that stands still."""

import os
import signal
from pathlib import Path

from pipeline.testing import wait_until


def pause(pid: int) -> None:
    """Stop it, and wait until it has: under load its threads go on for a while after the signal.

    SIGCONT lets it go on. Returns when nothing of it runs, also when it has ended.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _stands_still(pid), 20)


def _stands_still(pid: int) -> bool:
    states = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            states.add(stat.read_text().rpartition(")")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended
    return states <= {"T", "t", "Z", "X"}
