"""Lives of a process that are ended by `kill -9` at random moments."""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol


class Life(Protocol):
    """Goes on where the last life ended, for so many steps; tells of each step that is new."""

    def __call__(self, *, steps: int, on_step: Callable[[], object]) -> None:
        """Live."""


def cut_short(life: Life, kills: int, seed: int, longest_wait_s: float, last_steps: int) -> None:
    """Lead lives that are cut short, every other one while it is at work, and a last whole one.

    Each is a fork of this process, in which no other thread may run.
    """
    chance = random.Random(seed)
    for number in range(kills):
        worked, at_work = os.pipe()
        child = os.fork()
        if child == 0:
            life(steps=2**62, on_step=partial(os.write, at_work, b"."))
        if number % 2:
            os.read(worked, 1)
        time.sleep(chance.uniform(0, longest_wait_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(worked)
        os.close(at_work)
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit("a life ended before it was cut short")
    life(steps=last_steps, on_step=list)
