"""A small shop whose store knows some days of happenings, for tests of what shows them."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from connectors.stores.sql import SqlStore
from pipeline.core.clips import CLIP, ClipAnswer, ClipFile, ClipWish
from pipeline.core.events import Event, JsonValue, Phase, Subject, event_id
from pipeline.core.measures import Bucket, Health
from pipeline.core.store import Commit
from pipeline.core.verifying import DETAIL, VERIFIED
from pipeline.deployment.loader import load

BEGAN_AT = 1_780_000_020.0
"""A whole minute of May 2026."""
CAMERAS = ("door", "till", "yard")
_FILE = """
version: 1
site: {name: Shop, timezone: Europe/Berlin}
store: {url: "sqlite:///FOLDER/moonwatch.db", media: FOLDER/media}
sinks:
  log: {type: jsonl, path: FOLDER/log.jsonl}
SINKS
cameras:
  door:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {people: {detect: person}}
    lines: {sill: {from: [0.5, 0.1], to: [0.5, 0.9]}}
    rules: {in: {type: line_crossing, of: people, line: sill, snapshot: true, clip: true}}
  till:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {people: {detect: person}}
    zones: {counter: {polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}
    rules:
      long: {type: dwell, of: people, zone: counter, longer_than: 30s, cooldown: 1m}
  yard:
    source: {type: file, path: configs/media/plaza.mp4}
    tasks: {things: {detect: car}}
    zones: {gate: {polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}
    rules:
      crowd: {type: occupancy, of: things, zone: gate, more_than: 2, schedule: {days: mon-fri}}
"""


def shop(folder: Path, sinks: str = "") -> Path:
    """The deployment file; `sinks` are further lines of its sinks."""
    path = folder / "shop.yaml"
    path.write_text(_FILE.replace("FOLDER", str(folder)).replace("SINKS", sinks))
    return path


def store_of(file: Path) -> SqlStore:
    """Its store, to write to."""
    store = load(file).store.build()
    assert isinstance(store, SqlStore)
    return store


def crossing(number: int, at: float, *, way: str = "in", picture: bool = False) -> Event:
    """Somebody goes through the door."""
    name = event_id("door", "in", str(number), at)
    event = Event(
        name,
        "line_crossing",
        "single",
        "door",
        "in",
        at,
        Subject("person", number, (0.4, 0.3, 0.5, 0.8)),
        {"line": "sill", "direction": way, "name": way, "coverage": 1.0},
        seq=number,
        run="run-1",
    )
    return event.with_media(f"door/2026-05-28/{name}.jpg") if picture else event


def with_clip(event: Event) -> tuple[Event, ClipWish]:
    """The event, and the wish for its clip."""
    reference = f"door/2026-05-28/{event.id}.mp4"
    told = replace(event, data={**event.data, CLIP: {"reference": reference}})
    wish = ClipWish(reference, "door", "run-1", event.at - 3, event.at + 3, event.at)
    return told, wish


def clip_is_ready(store: SqlStore, wish: ClipWish, size: int) -> None:
    """Its clip was cut."""
    file = ClipFile(wish.since, wish.until, size, "0" * 64, "h264", 320, 180, 60)
    answer = ClipAnswer(wish.reference, wish.camera, "ready", file=file, until=wish.until)
    assert store.clips.settle_clip(answer)


def visit(number: int, at: float, seconds: float, *, over: bool = True) -> list[Event]:
    """Somebody stands at the counter."""
    name = event_id("till", "long", str(number), at)
    subject = Subject("person", number, (0.1, 0.1, 0.2, 0.4))
    said: dict[str, JsonValue] = {
        "zone": "counter",
        "seconds": 30.0,
        "coverage": 0.9,
        "suppressed": 2,
    }
    events = [Event(name, "dwell", "start", "till", "long", at, subject, {**said})]
    if over:
        told: dict[str, JsonValue] = {**said, "seconds": seconds, "reason": "over"}
        events.append(Event(name, "dwell", "end", "till", "long", at + seconds, subject, {**told}))
    return events


def crowd(number: int, at: float, outcome: str | None, answer: str = "yes") -> list[Event]:
    """Too many at the gate, perhaps looked at twice."""
    name = event_id("yard", "crowd", str(number), at)
    said: dict[str, JsonValue] = {"zone": "gate", "count": 3, "extreme": 3, "more_than": 2}
    if outcome is not None:
        said |= {
            VERIFIED: outcome,
            DETAIL: {"answer": answer, "probability": 0.25 + 0.1 * (number % 7)},
        }
    phases: list[tuple[Phase, int, float]] = [
        ("start", 0, 0.0),
        ("update", 1, 20.0),
        ("update", 2, 40.0),
        ("end", 0, 60.0),
    ]
    return [
        Event(
            name,
            "occupancy",
            phase,
            "yard",
            "crowd",
            at + later,
            Subject("car" if number % 2 else "person"),
            {**said, "extreme": 3 + update},
            update=update,
        )
        for phase, update, later in phases[: 1 + number % 4]
    ]


def some_days(seed: int = 7, number: int = 120) -> list[Event]:
    """Happenings of all three cameras over three days, in an order in which they may come."""
    chance = random.Random(seed)
    events: list[Event] = []
    for n in range(number):
        at = BEGAN_AT + chance.random() * 3 * 86_400
        match n % 3:
            case 0:
                events.append(crossing(n, at, way=chance.choice(["in", "out"])))
            case 1:
                events += visit(n, at, 30 + chance.random() * 100, over=chance.random() < 0.8)
            case _:
                outcome = chance.choice(["confirmed", "rejected", "unverified", None])
                answer = chance.choice(["Yes, a Grüner Lieferwagen", "no", 'a "van" 100 % full'])
                events += crowd(n, at, outcome, answer)
    return sorted(events, key=lambda event: event.at)


def keep(store: SqlStore, events: Sequence[Event]) -> None:
    """Store them as a process would."""
    for start in range(0, len(events), 50):
        store.commit(Commit(events=events[start : start + 50]))


def minutes(camera: str, rule: str, first: float, shares: Sequence[float | None]) -> list[Bucket]:
    """Minutes in a row with their coverage; None for one that is missing."""
    return [
        Bucket(camera, rule, int(first) + 60 * n, 10, share, {"count": 1.0})
        for n, share in enumerate(shares)
        if share is not None
    ]


def states(camera: str, *told: tuple[float, str]) -> list[Health]:
    """Changes of a camera's state."""
    return [Health(camera, at, state) for at, state in told]
