"""The live part of the application: its hub, its news, and the queue that questions are put to."""

import json
import logging
import shlex
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from connectors.queues.redis.queue import RedisQueues
from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.core.errors import MoonwatchError, QueueError, StoreError
from pipeline.core.measures import Bucket
from pipeline.core.membership import Presence
from pipeline.core.queues import Backlog, Queues
from pipeline.core.store import EventFilter, Page, Span
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.deployment.model import Deployment
from pipeline.runtime.reports import Report, reports_of
from pipeline.runtime.stage_process import shared_queues
from pipeline.telemetry.figures import added
from pipeline.web.access.visitor import Visitor
from pipeline.web.config import DEFAULT_LISTEN
from pipeline.web.live.clients import LiveClient
from pipeline.web.live.facts import WallLosses, as_plain, wall_cameras, wall_engines
from pipeline.web.live.hub import LiveHub

logger = logging.getLogger(__name__)

_NOT_HERE: Final = (
    "Live pictures need `run` and the application in one process, or a queue in Redis; what is "
    "shown is the last picture that was kept."
)
_LOOK_S = 2.0
# Recordings of which a command plays some again: one that goes on is enough.
_MOST_NAMED = 1
_MOST_EVENTS = 500
_LAST_MINUTES_S = 180.0


class LiveWall:
    """Everything live. Nothing runs and nothing is asked before somebody watches."""

    def __init__(
        self,
        deployment: Callable[[], Deployment],
        store: SqlStore,
        clock: Clock,
        queues: Queues | None = None,
        file: Path | None = None,
    ) -> None:
        """`queues` are those of a run in this process; without them Redis is used, where it is.

        `file` is the deployment file as it was typed, for the command that is the way out.
        """
        self._deployment = deployment
        self._store = store
        self._clock = clock
        self._own: RedisQueues | None = None
        if queues is None and deployment().queue.is_shared:
            queues = self._own = shared_queues(deployment(), clock)
        self.queues = queues
        self._file = file
        self._is_here = queues is not None and queues.live is not None
        self.hub = LiveHub(queues.live if queues is not None else None, clock)
        self._presence: Presence = store.presence
        if isinstance(queues, RedisQueues):
            self._presence = queues.presence
        self._losses = WallLosses()
        self._events: dict[str, int] = {}
        self._newest_event: int | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._trouble: str | None = None
        self._unforeseen = UnforeseenErrors("the live page's news", clock, logger)

    def why_not(self, visitor: Visitor) -> str | None:
        """Why there are no live pictures here, with the way out; None where there are."""
        return None if self._is_here else f"{_NOT_HERE} {self.way_out(visitor)}"

    def way_out(self, visitor: Visitor) -> str:
        """The command that brings engines and live pictures here, in a sentence."""
        return way_out_of(self._deployment(), self._file, visitor)

    @property
    def unforeseen(self) -> list[str]:
        """What went wrong that nobody foresaw, while it is so."""
        return [one for one in (self.hub.unforeseen, self._unforeseen.trouble) if one]

    def start(self) -> None:
        """Begin to look for news, once somebody watches; safe to repeat."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="wall", daemon=True)
                self._thread.start()

    @property
    def is_ending(self) -> bool:
        """Whether the application ends, so that nothing is waited for any more."""
        return self._stop.is_set()

    def stop(self) -> None:
        """End all threads; safe to repeat."""
        self._stop.set()
        self.hub.stop()
        if self._thread is not None:
            self._thread.join(2.0)
        if self._own is not None:
            self._own.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.hub.clients:
                try:
                    try:
                        self._look()
                    except MoonwatchError as error:
                        self._trouble = str(error)
                        self._tell({}, {})
                except Exception as error:  # noqa: BLE001 - the thread is started only once
                    self._unforeseen.happened(error)
            self._clock.wait(_LOOK_S, self._stop)

    def _look(self) -> None:
        deployment, now = self._deployment(), self._clock.now()
        self._trouble = None
        reports = self._reports()
        self._losses.add(self._clock.monotonic(), added([one.figures for one in reports]))
        buckets: list[Bucket] = []
        try:
            self._count_events()
            buckets = [*self._store.history.buckets(span=Span(now - _LAST_MINUTES_S, now + 60))]
        except StoreError as error:
            self._trouble = str(error)
        cameras = wall_cameras(deployment, reports, self._losses, buckets)
        self._tell(
            {name: as_plain(one) for name, one in cameras.items()},
            {name: as_plain(one) for name, one in wall_engines(self._backlog(), now).items()},
        )

    def _reports(self) -> list[Report]:
        try:
            found = reports_of(self._presence)
        except (QueueError, StoreError) as error:
            self._trouble = str(error)
            return []
        return [report for report in found.values() if not report.is_last]

    def _backlog(self) -> Mapping[str, Backlog]:
        if self.queues is None:
            return {}
        try:
            return self.queues.jobs.backlog()
        except QueueError as error:
            self._trouble = str(error)
            return {}

    def _count_events(self) -> None:
        """Count what is new by camera; nothing before the first look is."""
        page = Page(1) if self._newest_event is None else Page(_MOST_EVENTS, self._newest_event)
        if self._newest_event is not None:
            page = Page(_MOST_EVENTS, self._newest_event, newest_first=False)
        found = self._store.history.events(EventFilter(), page)
        if self._newest_event is None:
            self._newest_event = found[0].position if found else 0
            return
        for one in found:
            self._newest_event = max(self._newest_event, one.position)
            self._events[one.event.camera] = self._events.get(one.event.camera, 0) + 1

    def _tell(
        self, cameras: Mapping[str, Mapping[str, object]], engines: Mapping[str, object]
    ) -> None:
        """Tell each who watches what concerns the cameras that he may see."""
        texts = {
            name: _json({**told, "events": self._events.get(name, 0)})
            for name, told in cameras.items()
        }
        engines_text, now = _json(engines), self._clock.now()
        trouble = self.hub.trouble or self._trouble or self._unforeseen.trouble

        def hand_out() -> None:
            for client in self.hub.everyone():
                visitor = client.visitor
                why = trouble or self.why_not(visitor)
                client.news("state", _state(visitor, client, texts, engines_text, now, why))

        self.hub.call(hand_out)


def way_out_of(deployment: Deployment, file: Path | None, visitor: Visitor) -> str:
    """What to type instead of `moonwatch web`, so that the run and the application are one process.

    Where the file is on the machine is not told: a path that is not relative is called FILE. Nor is
    a camera named that the visitor may not see.
    """
    name = "FILE" if file is None or file.is_absolute() else shlex.quote(str(file))
    command = f"moonwatch run {name}"
    if deployment.web.listen is None:
        command += f" --set web.listen={DEFAULT_LISTEN}"
    cameras = deployment.cameras
    ending = [one for one, camera in cameras.items() if camera.source.is_finite]
    if len(ending) < len(cameras):
        return f"End this process (Ctrl-C) and type: `{command}`"
    # A run of nothing but recordings ends with them, and the application with the run.
    for one in (visitor.seen_of(ending) or ["CAMERA"])[:_MOST_NAMED]:
        source = f"cameras.{one}.source"
        command += f" --set {source}.loop=true --set {source}.speed=realtime"
    return (
        f"End this process (Ctrl-C) and type: `{command}`, which plays the recording again and "
        "again; what it sees is counted anew each time."
    )


def _state(
    visitor: Visitor,
    client: LiveClient,
    texts: Mapping[str, str],
    engines: str,
    now: float,
    trouble: str | None,
) -> str:
    seen = ",".join(
        f"{_json(name)}:{texts[name]}" for name in visitor.seen_of(client.show) if name in texts
    )
    return (
        f'{{"type":"state","now":{now:.3f},"trouble":{_json(trouble)},"engines":{engines},'
        f'"cameras":{{{seen}}}}}'
    )


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
