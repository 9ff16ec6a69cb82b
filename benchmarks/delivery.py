"""What delivery costs: each sink in its lane beside the bare client that makes the same sends.

Usage: python -m benchmarks.delivery [--only NAME ...] [--seconds 1.5] [--rounds 5]

The servers are those of the tests, each in a process of its own, so that no time of theirs is in
the figures. A lane takes events from a SQLite store, makes CloudEvents of them, sends them as they
are configured to be sent and moves its cursor. The bare client sends as many, as large and as many
at once to the same server: its bytes lie ready, and it keeps no account. Both take turns, some
rounds each of as many events as fit `--seconds`; the events are in the store before a round begins.
Processor time is that of this process with all its threads.

Then events with a picture of 1280x720 happen five times a second, and what passes is measured from
the moment that stands for the capture (the picture is still to be encoded and kept, the event to be
stored) to the word of the far end that it has accepted. Figures: benchmarks/delivery.md
"""

import argparse
import csv
import gzip
import io
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from pydantic import TypeAdapter

from connectors.sinks import SinkConfig
from connectors.sinks._text import json_line
from connectors.stores.files import FileMediaStore
from connectors.stores.sql import SqlStore
from pipeline.core.clock import SystemClock
from pipeline.core.events import Event, Subject, event_id, to_cloudevent
from pipeline.core.sinks import Sink, SinkContext
from pipeline.core.store import Commit
from pipeline.delivery import Delivery, Route, SinkLane
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import patience, wait_until

SITE = "Shop 12"
START = 1_790_000_000.0
APART_S = 0.05
PER_S = 5.0
# Numbers of events that the lane never has: servers would know them again.
BARE = 10_000_000
COMMIT = 100
MOST = 3000
"""Events of a round, at most: they are stored before it begins, which takes longer than it."""
OTHER_SETTINGS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "webhook_batch": ("webhook", {"batch": True}),
}
"""Sinks that are measured with other settings, too: the far end, and what is set."""
SINKS = (
    "jsonl", "csv", "archive", "webhook", "webhook_batch", "mail", "redis_stream", "mqtt",
    "kafka", "nats",
)  # fmt: skip
WITH_PICTURES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "notify_picture": ("notify", {"picture": True, "picture_wait": "2s"}),
    "webhook_picture": ("webhook", {"media": "base64"}),
}

Sends: TypeAlias = Callable[[Sequence[Event]], Callable[[], None]]
"""Makes the bytes of events ready; what it returns sends them, as one load."""


def event(number: int) -> Event:
    """The `number`-th of people who cross a line."""
    at = START + APART_S * (number % BARE)
    return Event(
        id=event_id("door", "entrance", str(number), at),
        type="line_crossing",
        phase="single",
        camera="door",
        rule="entrance",
        at=at,
        subject=Subject("person", number, (0.41, 0.22, 0.53, 0.87)),
        data={"line": "step", "direction": "in", "score": 0.83},
        seq=number,
        run="2026-09-21T13:34:00Z 1a2b",
    )


def _serve(name: str, folder: Path, pipe: Connection) -> None:
    import pytest

    from tests.delivery.far_ends import FAR_ENDS

    try:
        with FAR_ENDS[name](folder) as end:
            pipe.send(end.config)
            pipe.recv()
            pipe.send(len(set(end.received())))
            pipe.recv()
    except pytest.skip.Exception as skipped:
        pipe.send(str(skipped))
    except EOFError:
        pass  # whoever asked for it is gone


class AbsentServerError(Exception):
    """A server that is not installed here."""


class FarEndApart:
    """The other end of a sink, in a process of its own."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        said = self._said()
        if isinstance(said, str):
            raise AbsentServerError(said)
        self.config: dict[str, Any] = said

    def received(self) -> int:
        """How many events have arrived, each counted once; asked for once, in the end."""
        self._pipe.send("received")
        return int(self._said())

    def _said(self) -> Any:
        if not self._pipe.poll(patience(60)):
            raise TimeoutError("the server's process does not answer")
        return self._pipe.recv()


@contextmanager
def far_end(name: str, folder: Path) -> Iterator[FarEndApart]:
    """The far end of a sink's type."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(name, folder, theirs))
    process.start()
    theirs.close()
    try:
        yield FarEndApart(ours)
    finally:
        ours.close()
        process.join(patience(20))
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _appends(path: Path, bytes_of: Callable[[Event], bytes]) -> Iterator[Sends]:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def ready(events: Sequence[Event]) -> Callable[[], None]:
        lines = b"".join(map(bytes_of, events))

        def send() -> None:
            os.write(file, lines)
            os.fsync(file)

        return send

    yield ready
    os.close(file)


def _record(one: Event) -> dict[str, Any]:
    return to_cloudevent(one, SITE)


def _line(one: Event) -> bytes:
    return json_line(_record(one))


def _row(one: Event) -> bytes:
    record, text = _record(one), io.StringIO()
    place = (SITE, one.camera, one.rule, "person", one.subject and one.subject.track, "")
    times = (record["time"], record["time"])
    data = json.dumps(one.data)
    csv.writer(text).writerow(
        (one.record_id, one.id, one.type, one.phase, *times, *place, data, "")
    )
    return text.getvalue().encode()


@contextmanager
def _bare_jsonl(config: Any) -> Iterator[Sends]:
    with _appends(config.path.with_name("bare.jsonl"), _line) as ready:
        yield ready


@contextmanager
def _bare_csv(config: Any) -> Iterator[Sends]:
    with _appends(config.folder.with_name("bare.csv"), _row) as ready:
        yield ready


@contextmanager
def _bare_archive(config: Any) -> Iterator[Sends]:
    folder = config.folder.with_name("bare")
    folder.mkdir()

    def ready(events: Sequence[Event]) -> Callable[[], None]:
        lines = b"".join(map(_line, events))
        name = events[0].record_id

        def send() -> None:
            part = folder / f".{name}.part"
            with part.open("wb") as file:
                file.write(gzip.compress(lines, mtime=0))
                file.flush()
                os.fsync(file.fileno())
            part.replace(folder / f"{name}.jsonl.gz")
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(handle)
            os.close(handle)

        return send

    yield ready


@contextmanager
def _bare_webhook(config: Any) -> Iterator[Sends]:
    import httpx

    with httpx.Client(trust_env=False, timeout=30) as client:

        def ready(events: Sequence[Event]) -> Callable[[], None]:
            body = json_line([_record(one) for one in events]) if config.batch else _line(events[0])
            kind = "cloudevents-batch" if config.batch else "cloudevents"
            headers = {"content-type": f"application/{kind}+json"}

            def send() -> None:
                url = config.url.reveal()
                client.post(url, content=body, headers=headers).raise_for_status()

            return send

        yield ready


@contextmanager
def _bare_mail(config: Any) -> Iterator[Sends]:
    import smtplib
    from email.message import EmailMessage
    from email.policy import SMTP

    def ready(events: Sequence[Event]) -> Callable[[], None]:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "shop@example.org", "boss@example.org", SITE
        for one in events:
            mail["X-Moonwatch-Id"] = one.record_id
        mail.set_content("\n".join(f"{one.at} {one.camera} {one.rule}" for one in events))
        content = mail.as_bytes(policy=SMTP)

        def send() -> None:
            with smtplib.SMTP(config.host, config.port, "[127.0.0.1]", timeout=30) as client:
                client.sendmail("shop@example.org", ["boss@example.org"], content)

        return send

    yield ready


@contextmanager
def _bare_redis_stream(config: Any) -> Iterator[Sends]:
    import redis

    client = redis.Redis.from_url(config.url.reveal())

    def ready(events: Sequence[Event]) -> Callable[[], None]:
        entries: list[Any] = []
        for one in events:
            record = _record(one)
            names = ("id", "source", "type", "time")
            fields = {f"ce_{name}": record[name] for name in names}
            data = json_line(record)[:-1]
            entries.append({**fields, "camera": one.camera, "rule": one.rule, "data": data})

        def send() -> None:
            with client.pipeline(transaction=False) as line:
                for entry in entries:
                    line.xadd(config.stream, entry, maxlen=config.keep, approximate=True)
                line.execute()

        return send

    yield ready
    client.close()


@contextmanager
def _bare_mqtt(config: Any) -> Iterator[Sends]:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    from connectors.sinks._mqtt.topics import event_payload

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(config.url.host, config.port)
    client.loop_start()
    # The listener of the test's broker would count these as the lane's.
    base = "bare/events"

    def ready(events: Sequence[Event]) -> Callable[[], None]:
        told = [text for one in events for text in (_line(one), event_payload(one))]

        def send() -> None:
            for waiting in [client.publish(base, text, qos=1) for text in told]:
                waiting.wait_for_publish(30)

        return send

    yield ready
    client.disconnect()
    client.loop_stop()


@contextmanager
def _bare_kafka(config: Any) -> Iterator[Sends]:
    from confluent_kafka import Producer

    producer = Producer(config.settings())

    def ready(events: Sequence[Event]) -> Callable[[], None]:
        told = []
        for one in events:
            record = _record(one)
            names = ("specversion", "id", "source", "type", "subject", "time")
            headers: list[tuple[str, str | bytes | None]]
            headers = [(f"ce_{name}", str(record[name]).encode()) for name in names]
            told.append((one.camera.encode(), json_line(record["data"])[:-1], headers))

        def send() -> None:
            for key, value, headers in told:
                producer.produce(config.topic, key=key, value=value, headers=headers)
            producer.flush(30)

        return send

    yield ready


@contextmanager
def _bare_nats(config: Any) -> Iterator[Sends]:
    import asyncio

    import nats

    with asyncio.Runner() as runner:
        client = runner.run(nats.connect([url.reveal() for url in config.url]))
        stream: Any = client.jetstream(timeout=30)

        def ready(events: Sequence[Event]) -> Callable[[], None]:
            told = [({"Nats-Msg-Id": one.record_id}, _line(one)[:-1]) for one in events]
            subject = f"{config.subject}.door.entrance"

            async def publish() -> None:
                await asyncio.gather(
                    *(stream.publish(subject, body, headers=headers) for headers, body in told)
                )

            return lambda: runner.run(publish())

        yield ready
        runner.run(client.close())


BARE_CLIENTS: Mapping[str, Callable[[Any], Any]] = {
    "jsonl": _bare_jsonl,
    "csv": _bare_csv,
    "archive": _bare_archive,
    "webhook": _bare_webhook,
    "mail": _bare_mail,
    "redis_stream": _bare_redis_stream,
    "mqtt": _bare_mqtt,
    "kafka": _bare_kafka,
    "nats": _bare_nats,
}
"""By the type of the sink."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What some events took, in seconds each."""

    wall_s: float
    cpu_s: float


def timed(work: Callable[[], None], events: int) -> Spent:
    """Time work, for each event."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent((time.perf_counter() - wall) / events, (time.process_time() - cpu) / events)


class LaneSide:
    """A sink in its lane, with a store."""

    def __init__(self, config: Any, folder: Path) -> None:
        self.store = SqlStore(f"sqlite:///{folder}/moonwatch.db")
        context = SinkContext(SITE, name="log", notes=self.store.notes_of("log"))
        self.store.register_sinks(["log"], ["log"])
        route = Route.of("log", config)
        self._lane = SinkLane(route, config.build(context), self.store, SystemClock(), Metrics())
        self.sent = 0

    def run(self, events: int) -> Spent:
        """Deliver that many."""
        numbers = range(self.sent, self.sent + events)
        for first in numbers[::COMMIT]:
            made = [event(number) for number in numbers[first - self.sent :][:COMMIT]]
            self.store.commit(Commit(events=made))
        self.sent += events
        return timed(self._deliver, events)

    def _deliver(self) -> None:
        while self._lane.status().delivered < self.sent:
            self._lane.step()
            if (error := self._lane.status().error) is not None:
                raise RuntimeError(error)

    def close(self) -> None:
        """Close the sink and the store."""
        self._lane.close()
        self.store.close()


class BareSide:
    """The client of a sink alone."""

    def __init__(self, ready: Sends, at_once: int) -> None:
        self._ready, self._at_once = ready, at_once
        self._sent = BARE

    def run(self, events: int) -> Spent:
        """Send that many."""
        made = [event(number) for number in range(self._sent, self._sent + events)]
        self._sent += events
        sends = [
            self._ready(made[first : first + self._at_once])
            for first in range(0, events, self._at_once)
        ]

        def send_all() -> None:
            for send in sends:
                send()

        return timed(send_all, events)


def compared(name: str, folder: Path, seconds: float, rounds: int) -> str:
    """A row of the table: a sink in its lane, and its bare client."""
    type_name, settings = OTHER_SETTINGS.get(name, (name, {}))
    with far_end(type_name, folder) as end:
        config: Any = TypeAdapter(SinkConfig).validate_python({**end.config, **settings})
        lane = LaneSide(config, folder)
        # The first send of the lane makes what the bare client needs as well, such as a stream.
        warming = 2 * config.at_once
        lane.run(warming)
        with BARE_CLIENTS[type_name](config) as ready:
            bare = BareSide(ready, config.at_once)
            bare.run(warming)
            both = lane.run(warming).wall_s + bare.run(warming).wall_s
            loads = max(1, round(seconds / rounds / both / config.at_once))
            events = min(loads * config.at_once, MOST // config.at_once * config.at_once)
            pairs: list[tuple[Spent, Spent]] = []
            for number in range(rounds):
                if number % 2:
                    of_lane, of_bare = lane.run(events), bare.run(events)
                else:
                    of_bare, of_lane = bare.run(events), lane.run(events)
                pairs.append((of_lane, of_bare))
        lane.close()
        arrived = end.received()
        if arrived < lane.sent:
            raise RuntimeError(f"{name}: only {arrived} of {lane.sent} events arrived")
    lanes, bares = zip(*pairs, strict=True)
    rate = 1 / statistics.median(one.wall_s for one in lanes)
    bare_rate = 1 / statistics.median(one.wall_s for one in bares)
    cpu, bare_cpu = (1e6 * statistics.median(one.cpu_s for one in side) for side in (lanes, bares))
    wall_ratio = spread([ours.wall_s / theirs.wall_s for ours, theirs in pairs])
    cpu_ratio = spread([ours.cpu_s / max(1e-9, theirs.cpu_s) for ours, theirs in pairs])
    return (
        f"| {name} | {config.at_once} | {events} | {rate:,.0f} | {bare_rate:,.0f} | {wall_ratio} "
        f"| {cpu:,.0f} | {bare_cpu:,.1f} | {cpu_ratio} |"
    )


def spread(ratios: Sequence[float]) -> str:
    """The median and the range."""
    return f"{statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})"


def parts(folder: Path, events: int = 2000) -> str:
    """What a lane does beside sending, whatever the sink."""
    store = SqlStore(f"sqlite:///{folder}/parts.db")
    made = [event(number) for number in range(events)]
    store.commit(Commit(events=made))
    store.register_sinks(["log"], ["log"])
    reading = timed(lambda: [*map(len, _outbox(store))].clear(), events)
    writing = timed(lambda: [_line(one) for one in made].clear(), events)

    def move() -> None:
        for position in range(1, 101):
            store.advance("log", position)

    moving = timed(move, 100)
    store.close()
    return (
        f"Of it, whatever the sink, in µs of processor time: reading an event from the store "
        f"{1e6 * reading.cpu_s:.0f}, making its CloudEvent and line of JSON "
        f"{1e6 * writing.cpu_s:.0f}; moving the cursor {1e6 * moving.cpu_s:.0f} for each load "
        f"({1e3 * moving.wall_s:.1f} ms by the clock)."
    )


def _outbox(store: SqlStore) -> Iterator[Sequence[object]]:
    position = 0
    while window := store.outbox(position, 500):
        yield window
        position = window[-1].position


class Watched:
    """A sink that notes how long after its event each was accepted."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.took_s: list[float] = []

    def send(self, events: Sequence[Event]) -> None:
        """Send them on."""
        self._sink.send(events)
        now = time.time()
        self.took_s += [now - one.at for one in events]

    def close(self) -> None:
        """Close it."""
        self._sink.close()


def with_pictures(name: str, folder: Path, seconds: float) -> str:
    """A row of the second table: from capture to acceptance."""
    type_name, settings = WITH_PICTURES[name]
    with far_end(type_name, folder) as end:
        config: Any = TypeAdapter(SinkConfig).validate_python({**end.config, **settings})
        store, media = SqlStore(f"sqlite:///{folder}/moonwatch.db"), FileMediaStore(folder / "kept")
        context = SinkContext(SITE, name="log", notes=store.notes_of("log"), read=media.read)
        sink, clock = Watched(config.build(context)), SystemClock()
        lane = SinkLane(Route.of("log", config), sink, store, clock, Metrics())
        delivery = Delivery([lane], store, clock)
        delivery.start()
        smooth = cv2.resize(
            np.random.default_rng(1).integers(0, 255, (45, 80, 3), np.uint8), (1280, 720)
        )
        begin, count = time.perf_counter(), max(1, round(PER_S * seconds))
        for number in range(count):
            time.sleep(max(0.0, begin + number / PER_S - time.perf_counter()))
            one = replace(event(number), at=time.time())
            reference = f"door/2026-11-27/{one.record_id}.jpg"
            content = cv2.imencode(".jpg", smooth)[1].tobytes()
            media.put(reference, content)
            store.commit(Commit(events=[replace(one, media=(reference,))]))
            delivery.nudge()
        wait_until(lambda: len(sink.took_s) >= count, 60)
        delivery.stop(patience(20))
        store.close()
        if end.received() < count:
            raise RuntimeError(f"{name}: not all of {count} events arrived")
    # The first one connects, and loads libraries.
    first, *others = sink.took_s
    took = sorted(others) or [first]
    p50, p95 = (1000 * took[min(len(took) - 1, int(part * len(took)))] for part in (0.5, 0.95))
    return (
        f"| {name} | {count} | {len(content) / 1e3:.0f} kB | {p50:.0f} ms | {p95:.0f} ms "
        f"| {1000 * took[-1]:.0f} ms | {1000 * first:.0f} ms |"
    )


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    names = (*SINKS, *WITH_PICTURES)
    arguments.add_argument("--only", action="append", choices=names, metavar="NAME")
    arguments.add_argument("--seconds", type=float, default=1.5)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    wanted = chosen.only or names
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load average "
        f"{os.getloadavg()[0]:.1f}, {time.strftime('%d %B %Y')}"
    )
    with tempfile.TemporaryDirectory(prefix="moonwatch-") as root:

        def printed(names: Sequence[str], row: Callable[[str, Path], str]) -> None:
            for name in names:
                folder = Path(root) / name
                folder.mkdir()
                try:
                    print(row(name, folder), flush=True)
                except AbsentServerError as absent:
                    print(f"| {name} | {absent} |")

        if sinks := [name for name in SINKS if name in wanted]:
            print(
                "\n| sink | at once | events a round | events/s | bare | wall, lane ÷ bare "
                "| µs CPU an event | bare | CPU, lane ÷ bare |"
            )
            print("|" + 9 * "---|")
            printed(
                sinks, lambda name, folder: compared(name, folder, chosen.seconds, chosen.rounds)
            )
            print(f"\n{parts(Path(root))}")
        if pictures := [name for name in WITH_PICTURES if name in wanted]:
            print(
                "\n| sink | events | picture | half within | 95 % within | longest "
                "| the first |\n|---|---|---|---|---|---|---|"
            )
            printed(pictures, lambda name, folder: with_pictures(name, folder, 6 * chosen.seconds))


if __name__ == "__main__":
    main()
