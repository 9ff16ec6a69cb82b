"""The port of a model that answers tasks about pictures: requests in, tickets out."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipeline.core.answers import Answer, Failed
from pipeline.core.frames import Pixels
from pipeline.core.spending import BudgetSpent, Spending
from pipeline.core.tasks import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EngineRequest:
    """One frame's pixels (H, W, 3) RGB and the tasks to answer about them."""

    pixels: Pixels
    tasks: Sequence[Task]
    within_s: float | None = None
    """Seconds from `submit` after which an answer is useless; None for no limit."""
    ahead: bool = False
    """Whether a person waits for it: it is taken before what is in line already."""


class Ticket:
    """The handle of one request: its answers once they are available, in the order of its tasks.

    It is settled once, by the first of these: the engine, the deadline, `cancel` or the engine's
    end. Later answers are dropped. Every method may be called from any thread.
    """

    def __init__(self, request: EngineRequest) -> None:
        self.request = request
        self.batch = 0
        """The size of the batch in which it was answered; 0 where it was not."""
        self.asked_alone = False
        """Whether it was retried by itself because its batch had failed."""
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._answers: tuple[Answer, ...] = ()
        self._callbacks: list[Callable[[Ticket], None]] = []

    @property
    def done(self) -> bool:
        """Whether the answers are available."""
        return self._settled.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is done, at most `timeout_s`; return whether it is."""
        return self._settled.wait(timeout_s)

    def result(self, timeout_s: float | None = None) -> tuple[Answer, ...]:
        """Wait for the answers; raises TimeoutError after `timeout_s`."""
        if not self._settled.wait(timeout_s):
            raise TimeoutError(f"not answered within {timeout_s:g} s")
        return self._answers

    def cancel(self) -> bool:
        """Cancel the request: all its tasks fail at once; False when it was already done."""
        return self.fail("the request was cancelled")

    def add_done_callback(self, call: "Callable[[Ticket], None]") -> None:
        """Run `call` with this ticket once it is done (now if it is), in the settling thread.

        Exceptions of `call` are only logged. With a queue's `put` this is a completion queue.
        """
        with self._lock:
            if not self._settled.is_set():
                self._callbacks.append(call)
                return
        self._tell(call)

    def settle(self, answers: Sequence[Answer], batch: int = 1) -> bool:
        """For engines: settle it with the answers; False when it was already done."""
        with self._lock:
            if self._settled.is_set():
                return False
            self._answers, self.batch = tuple(answers), batch
            self._settled.set()
            callbacks, self._callbacks = self._callbacks, []
        for call in callbacks:
            self._tell(call)
        return True

    def fail(self, reason: str, batch: int = 0) -> bool:
        """For engines: settle it with a failure for every task."""
        return self.settle([Failed(task.engine, reason) for task in self.request.tasks], batch)

    def _tell(self, call: "Callable[[Ticket], None]") -> None:
        try:
            call(self)
        except Exception:
            # The settling thread belongs to the engine, or to another caller of `cancel`.
            logger.exception("a callback of a ticket failed")


class Engine(Protocol):
    """Answers tasks about pictures, many at a time. Every method may be called from any thread."""

    @property
    def max_side(self) -> int | None:
        """Longest picture side in pixels that the engine can use; None for no limit."""
        ...

    def submit(self, request: EngineRequest) -> Ticket:
        """Queue a request; returns at once and never raises.

        A bad picture or task fails by itself, as `Failed`, and so does everything that is not
        answered in time. After `close` a ticket is done from the start.
        """
        ...

    def close(self) -> None:
        """Fail everything outstanding and free the model. Safe to repeat."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceWork:
    """What a model has done on its device since it was loaded; every number only grows."""

    cycles_replayed: int = 0
    """Steps of the running batch that were replays of a captured graph."""
    cycles_eager: int = 0
    """The others, whose operations were launched one by one."""
    graphs_captured: int = 0
    graphs_failed: int = 0
    """Captures that the device refused; such steps are launched one by one."""
    graphs_evicted: int = 0
    capture_seconds: float = 0.0


@runtime_checkable
class ReportsDeviceWork(Protocol):
    """An engine that keeps account of its device. The method may be called from any thread."""

    def device_work(self) -> DeviceWork:
        """What has been done so far."""
        ...


@runtime_checkable
class RunsSomewhere(Protocol):
    """An engine that says what its net runs on."""

    @property
    def provider(self) -> str:
        """Such as cpu or cuda."""
        ...

    @property
    def fell_back(self) -> str | None:
        """Why it is not what was preferred, in a sentence; None if it is."""
        ...


@runtime_checkable
class AsksElsewhere(Protocol):
    """An engine whose model is on another machine. Every method may be called from any thread."""

    @property
    def trouble(self) -> str | None:
        """Why it cannot be asked now, in a sentence; None while it can."""
        ...

    @property
    def has_fallback(self) -> bool:
        """Whether another engine answers what this one cannot."""
        ...

    @property
    def requests(self) -> Mapping[str, int]:
        """How many requests had which outcome; every number only grows."""
        ...

    @property
    def stood_in(self) -> int:
        """How many tasks the engine was asked that stands in for it; only grows."""
        ...

    def name_as(self, name: str, timezone: str, spending: Spending | None) -> None:
        """Count what is spent under a name, by the site's time, where workers share it.

        Without a place it is counted in this process alone. To be called before the first request.
        """
        ...

    def fall_back_to(self, name: str, engine: Engine, *, owned: bool) -> None:
        """Ask another engine what this one cannot answer; one that is `owned` is closed with it.

        To be called before the first request.
        """
        ...

    def spent(self) -> Sequence[BudgetSpent]:
        """What is spent of its budget; raises QueueError or StoreError."""
        ...
