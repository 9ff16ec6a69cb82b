"""Processes that judge again what was seen, several stretches of time at once.

A stretch depends on nothing that another one led to, so that each may be judged by another process:
the answer is the same, and sooner. What trackers showed stays with the process that followed it,
and the next question has each stretch judged by the same one. Between two questions they follow
what was not followed yet, so that an edit finds it there.

They give way to whatever else the machine does, and end with the process that began them.
"""

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from ctypes import c_uint64
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from typing import Final

from connectors.stores import StoreConfig
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.machine import usable_cores
from pipeline.insight.followed_looks import FollowedParts
from pipeline.insight.simulation import LaneName, LaneTimes, Simulation, SimulationQuestion
from pipeline.insight.simulation_lane import (
    CutTime,
    Judged,
    JudgedStretch,
    LaneSimulation,
    SimulationStopped,
)

logger = logging.getLogger(__name__)

_MOST: Final = 4
"""So many processes at most."""
_NICE: Final = 5
_COLLECT_AFTER: Final = 50_000
_IDLE_S: Final = 600.0
"""Processes that nobody asked anything for so long end."""
_TURN_S: Final = 0.5
"""How long a question waits for the one before it, which was told to stop."""
_LOOK_S: Final = 0.05


class SimulationWorkers:
    """Processes for one store; they are begun when they are first needed.

    One question is judged at a time: a second one finds nobody who has time. Safe to be used by
    several threads.
    """

    def __init__(
        self, store: StoreConfig, room: int, count: int | None = None, *, ahead: bool = True
    ) -> None:
        """Of what trackers showed they hold `room` bytes together.

        They follow `ahead` what another question may need.
        """
        self._store, self._ahead = store, ahead
        self.count = count or min(_MOST, usable_cores())
        """How many processes there are."""
        self._room = room // self.count
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._processes: list[ProcessPoolExecutor] = []
        self._over: c_uint64 | None = None
        """The last question that is over: everything that was asked up to it is left."""
        self._number = 0
        self._idle: threading.Timer | None = None
        self._is_closed = False

    def wake(self) -> None:
        """Begin the processes, if they do not run: a question may be asked soon."""
        with self._lock:
            if self._is_closed:
                return
            if self._over is None:
                self._over = get_context("spawn").RawValue(c_uint64, 0)
            if not self._processes:
                for _ in range(self.count):
                    process = ProcessPoolExecutor(
                        1,
                        mp_context=get_context("spawn"),
                        initializer=_begin,
                        initargs=(self._store, self._room, self._over),
                    )
                    process.submit(_is_there)
                    self._processes.append(process)
            self._end_later()

    def pids(self) -> list[int]:
        """The processes that run now; waits until those have begun that begin."""
        with self._lock:
            processes = list(self._processes)
        return [process.submit(os.getpid).result() for process in processes]

    def held(self) -> int:
        """How many bytes they hold of what trackers showed, when all is done that was asked."""
        with self._lock:
            processes = list(self._processes)
        return sum(process.submit(_held).result() for process in processes)

    @contextmanager
    def asked(self, question: SimulationQuestion) -> Iterator["WorkingJudges | None"]:
        """Those who judge until the end of the block; None where another question is judged."""
        if not self._turn.acquire(timeout=_TURN_S):
            yield None
            return
        try:
            self._stop()  # what is followed ahead
            self.wake()
            judges = self._judges(question)
            try:
                yield judges
            finally:
                self._stop()
            if self._ahead and judges is not None and not judges.is_lost:
                self._follow_ahead(question, judges.lanes)
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the processes for good; they are not waited for."""
        with self._lock:
            self._is_closed = True
        self._end_processes()

    def _judges(self, question: SimulationQuestion) -> "WorkingJudges | None":
        with self._lock:
            self._number += 1
            processes, number = list(self._processes), self._number
        if not processes:
            return None
        judges = WorkingJudges(number, question, processes)
        try:
            judges.begin()
        except RuntimeError as error:  # one was killed, or they are ending
            self._lost(error)
            return None
        judges.on_loss = self._lost
        return judges

    def prepare(self, simulation: Simulation) -> None:
        """Follow ahead what edits of it need, unless a question is judged now."""
        if not simulation.is_long or not self._turn.acquire(blocking=False):
            return
        try:
            self._stop()
            self.wake()
            self._follow_ahead(simulation.question, simulation.lanes())
        finally:
            self._turn.release()

    def _follow_ahead(
        self,
        question: SimulationQuestion,
        lanes: Iterable[tuple[LaneName, LaneSimulation, LaneTimes]],
    ) -> None:
        """What the next edit needs, as long as nobody asks anything."""
        try:
            following = self._judges(question)
            for name, lane, times in lanes:
                if following is not None:
                    following.follow(name, lane.cut(*times, as_edited=True))
        except Exception as error:  # noqa: BLE001 - nobody asked for it
            logger.warning("an edit is not prepared: %s", error)

    def _stop(self) -> None:
        with self._lock:
            self._all_is_over()

    def _end_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(_IDLE_S, self._end_if_idle)
        self._idle.daemon = True
        self._idle.start()

    def _end_if_idle(self) -> None:
        if self._turn.acquire(blocking=False):
            try:
                self._end_processes()
            finally:
                self._turn.release()
        else:  # a question may take longer than that
            with self._lock:
                if self._processes:
                    self._end_later()

    def _all_is_over(self) -> None:
        if self._over is not None:
            self._over.value = self._number

    def _lost(self, error: BaseException) -> None:
        """One of the processes was killed: they begin anew with the next question."""
        logger.warning("a process that judged what was seen has ended: %s", error)
        self._end_processes()

    def _end_processes(self) -> None:
        with self._lock:
            processes, self._processes = self._processes, []
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
            self._all_is_over()
        for process in processes:
            process.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class WorkingJudges:
    """The processes, while they judge one question."""

    number: int
    question: SimulationQuestion
    processes: list[ProcessPoolExecutor]
    lanes: list[tuple[LaneName, LaneSimulation, LaneTimes]] = field(default_factory=list)
    is_lost: bool = False
    on_loss: Callable[[BaseException], None] = lambda _: None

    def begin(self) -> None:
        """Tell the question to everybody."""
        for process in self.processes:
            process.submit(_ask, self.number, self.question)

    def judged(
        self,
        name: LaneName,
        lane: LaneSimulation,
        times: LaneTimes,
        look: Callable[[], None],
    ) -> Iterator[tuple[float, Judged]]:
        """What `lane.parts(*times)` would conclude, newest first."""
        cut = lane.cut(*times)
        self.lanes.append((name, lane, times))
        if cut.is_stored:
            yield from (lane.judged(cut, stretch) for stretch in cut.stretches)
            return
        found: list[Future[tuple[float, Judged] | None] | None] = []
        try:
            for process in self.processes:
                process.submit(_cut, self.number, name, cut)
            for place, stretch in enumerate(cut.stretches):
                found.append(self._of(place).submit(_judge, self.number, name, stretch))
        except RuntimeError as error:
            self._lose(error)
        for place, stretch in enumerate(cut.stretches):
            answer = self._waited_for(found[place], look) if place < len(found) else None
            found[place : place + 1] = [None]  # it may be large
            # A process that was killed, or could not read what this one can: it is judged here.
            yield answer if answer is not None else lane.judged(cut, stretch)

    def follow(self, name: LaneName, cut: CutTime) -> None:
        """Have followed what an edit needs."""
        for process in self.processes:
            process.submit(_cut, self.number, name, cut)
        for place, stretch in enumerate(cut.stretches):
            self._of(place).submit(_follow, self.number, name, stretch)

    def _of(self, place: int) -> ProcessPoolExecutor:
        return self.processes[place % len(self.processes)]

    def _waited_for(
        self, found: "Future[tuple[float, Judged] | None] | None", look: Callable[[], None]
    ) -> tuple[float, Judged] | None:
        while found is not None and not self.is_lost:
            look()
            try:
                return found.result(_LOOK_S)
            except NotYet:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it is judged here
                self._lose(error)
        return None

    def _lose(self, error: BaseException) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.on_loss(error)


class _SimulatingProcess:
    """What one process knows."""

    def __init__(self, store: StoreConfig, room: int, over: c_uint64) -> None:
        self._config, self._over = store, over
        self._followed = FollowedParts(room)
        self._reader: SqlStore | None = None
        self._number = 0
        self._simulation: Simulation | None = None
        self._cuts: dict[LaneName, tuple[LaneSimulation, CutTime]] = {}

    @property
    def held(self) -> int:
        """Bytes of what trackers showed."""
        return self._followed.size

    def ask(self, number: int, question: SimulationQuestion) -> None:
        self._number, self._cuts = number, {}
        if self._is_over(number):
            return
        if self._reader is None:
            self._reader = self._config.build_reader()
        self._simulation = Simulation(
            question.deployment,
            self._reader,
            self._reader.history,
            question.scope,
            SystemClock(),
            against=question.against,
            arming=question.arming,
            switches=question.switches,
            every_rule=question.every_rule,
            followed=self._followed,
        )

    def cut(self, number: int, name: LaneName, cut: CutTime) -> None:
        if self._simulation is None or number != self._number or self._is_over(number):
            return
        self._cuts[name] = self._simulation.lane(name, self._look), cut

    def judge(
        self, number: int, name: LaneName, stretch: JudgedStretch
    ) -> tuple[float, Judged] | None:
        if name not in self._cuts or number != self._number:
            return None
        lane, cut = self._cuts[name]
        try:
            self._look()
            return lane.judged(cut, stretch)
        except SimulationStopped:
            return None

    def follow(self, number: int, name: LaneName, stretch: JudgedStretch) -> None:
        if name not in self._cuts or number != self._number:
            return
        lane, cut = self._cuts[name]
        try:
            self._look()
            lane.follow(cut, stretch)
        except SimulationStopped:
            return

    def _is_over(self, number: int) -> bool:
        return self._over.value >= number

    def _look(self) -> None:
        if self._is_over(self._number):
            raise SimulationStopped("it was stopped")


_worker: _SimulatingProcess | None = None


def _begin(store: StoreConfig, room: int, over: c_uint64) -> None:
    """What a process does first."""
    global _worker
    os.nice(_NICE)
    # Thousands of frames are held and let go, none of them in a circle.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    # Whoever began it ends it: a key that is pressed in a terminal reaches all processes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    _worker = _SimulatingProcess(store, room, over)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody is there to read what it concludes


def _is_there() -> None:
    """Nothing: the process begins with the first thing that is asked of it."""


def _ask(number: int, question: SimulationQuestion) -> None:
    if _worker is not None:
        _worker.ask(number, question)


def _cut(number: int, name: LaneName, cut: CutTime) -> None:
    if _worker is not None:
        _worker.cut(number, name, cut)


def _judge(number: int, name: LaneName, stretch: JudgedStretch) -> tuple[float, Judged] | None:
    return None if _worker is None else _worker.judge(number, name, stretch)


def _follow(number: int, name: LaneName, stretch: JudgedStretch) -> None:
    if _worker is not None:
        _worker.follow(number, name, stretch)


def _held() -> int:
    return 0 if _worker is None else _worker.held
