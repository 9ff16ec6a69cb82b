"""A deployment as separate processes that can be killed, paused and started again."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.stores import StoreConfig
from pipeline.core.events import event_to_json
from pipeline.core.observations import ObservedFrame, frames_of
from pipeline.core.store import EVER
from pipeline.testing import patience
from tests.architecture.source_tree import ROOT
from tests.pausing import pause
from tests.redis_server import Server

STAGES = ("deliver", "process", "process", "infer", "infer", "sample")
"""One process each."""
DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
"""What Redis is told in every deployment that must lose nothing."""


@dataclass
class Member:
    """One process of a fleet, now and again."""

    name: str
    command: Sequence[str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    kills: int = 0
    done: bool = False

    def start(self) -> None:
        """Start it, adding to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", *self.command],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def pause(self) -> None:
        """It stands still until it gets SIGCONT."""
        assert self.process is not None
        pause(self.process.pid)

    def kill(self) -> None:
        """End it as the kernel would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(patience(10))
        self.kills += 1

    @property
    def pid(self) -> int:
        """Its number in this life."""
        assert self.process is not None
        return self.process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself, with nothing left to do; other ends fail the test."""
        assert self.process is not None
        code = self.process.poll()
        assert code in (None, 0), f"{self.name}: {code}\n{self.said()}"
        return code == 0

    def said(self) -> str:
        """Everything it wrote, over all of its lives."""
        return self.log.read_text(encoding="utf-8")


@dataclass
class Fleet:
    """The processes of one deployment file, and the Redis between them."""

    file: Path
    server: Server
    stages: Sequence[str] = STAGES
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)

    def start(self) -> "Fleet":
        """Start them all, samplers last."""
        for nth, stage in enumerate(self.stages):
            name = f"{stage}{nth}"
            command = [stage, str(self.file), *self.options.get(stage, ())]
            self.members[name] = Member(name, command, self.file.parent / f"{name}.log")
            self.members[name].start()
        return self

    def of(self, stage: str) -> list[Member]:
        """The members of one stage."""
        return [member for name, member in self.members.items() if name.startswith(stage)]

    def stop(self) -> dict[str, float]:
        """End all in order; how long each took, in seconds."""
        took = {}
        for name, member in reversed(self.members.items()):
            process = member.process
            if process is None or process.poll() is not None:
                continue
            began = time.monotonic()
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(patience(20))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(patience(10))
            took[name] = time.monotonic() - began
        return took

    def kill_all(self) -> None:
        """End whatever is left."""
        for member in self.members.values():
            if member.process is not None and member.process.poll() is None:
                member.process.kill()
                member.process.wait(patience(10))

    def said(self) -> str:
        """Everything all of them wrote."""
        return "".join(f"--- {m.name}\n{m.said()}" for m in self.members.values())


@dataclass(frozen=True)
class Found:
    """Everything a deployment concluded: events by record id, and minutes of counts."""

    events: dict[str, str]
    buckets: dict[tuple[str, str, int], Any]
    ended: frozenset[tuple[str, str]]
    last: dict[tuple[str, str], int]
    """The last job judged of each lane."""
    seen: list[ObservedFrame]
    """What was judged, by camera and engine and in order."""


def found(folder: Path, lanes: Sequence[tuple[str, str]] = ()) -> Found:
    """What is in the store of a folder; `lanes` are asked whether they have ended."""
    store = StoreConfig(url=f"sqlite:///{folder}/events.db").build()
    try:
        events = {
            kept.event.record_id: event_to_json(kept.event)
            for kept in store.events_after(0, 1_000_000)
        }
        buckets = {
            (bucket.camera, bucket.rule, bucket.minute): bucket
            for bucket in store.history.buckets(span=EVER)
        }
        points = {lane: store.checkpoint(*lane) for lane in lanes}
        ended = frozenset(lane for lane, point in points.items() if point and point.ended)
        last = {lane: point.ordinal for lane, point in points.items() if point}
        seen = [
            frame
            for one in store.observed()
            for block in store.observations(one.camera, one.engine)
            for frame in frames_of(block)
        ]
        return Found(events, buckets, ended, last, seen)
    finally:
        store.close()


def wait_for(fact: Callable[[], bool], within_s: float, what: Callable[[], str]) -> None:
    """Return as soon as `fact()` holds; AssertionError saying `what()` after `within_s`."""
    deadline = time.monotonic() + patience(within_s)
    while not fact():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {patience(within_s):g} s\n{what()}")
        time.sleep(0.05)
