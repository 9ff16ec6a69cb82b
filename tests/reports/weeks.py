"""What the bundled clip stored, repeated over four invented weeks of a shop, with gaps."""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connectors.stores.sql import SqlStore
from pipeline.core.events import Event, Subject, event_id, timestamp
from pipeline.core.measures import BUCKET_S, Bucket, Health
from pipeline.core.store import Commit
from pipeline.deployment.loader import parse
from pipeline.deployment.model import Deployment
from pipeline.testing import ManualClock

ZONE = "Europe/Berlin"
STORED: dict[str, Any] = json.loads(
    Path("tests/data/plaza.stored.json").read_text(encoding="utf-8")
)
FIRST, LAST = date(2026, 10, 26), date(2026, 11, 22)
"""Four weeks, Monday to Sunday; the last one is 2026-W47."""
BUSY = dict(zip(range(8, 21), (1, 4, 7, 10, 16, 13, 9, 8, 11, 15, 22, 14, 3), strict=True))
"""Of a hundred minutes of each hour, those in which the clip is played."""
SHOP = """
version: 1
site: {{name: "Shop 12 <North> & Sons", timezone: Europe/Berlin, country: DE,
  hours: {{mon-fri: "9:00-20:00", sat: "10:00-18:00", sun: closed, "2026-11-20": "9:00-14:00"}}}}
store: {{url: "{url}"}}
cameras:
  plaza:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
    lines:
      middle: {{from: [0.5, 0.1736], to: [0.5, 1.0]}}
      across: {{from: [0.0, 0.5208], to: [1.0, 0.5208]}}
    zones: {{crossroads: {{polygon: [[0.3, 0.35], [0.73, 0.35], [0.73, 0.73], [0.3, 0.73]]}}}}
    rules:
      middle: {{type: line_crossing, of: people, line: middle}}
      across: {{type: line_crossing, of: people, line: across}}
      crowded: {{type: occupancy, of: people, zone: crossroads, more_than: 4}}
      visits: {{type: dwell, of: people, zone: crossroads}}
"""


def deployment(url: str) -> Deployment:
    """The shop."""
    return parse(SHOP.format(url=url)).deployment


def at(text: str) -> float:
    """UTC seconds of a time of the shop's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()


def is_missing(minute: float) -> bool:
    """Whether nothing is known of a minute: hours without power, and a Thursday off."""
    local = datetime.fromtimestamp(minute, ZoneInfo(ZONE))
    off_day = local.date() == date(2026, 11, 5)
    outage = local.date() == date(2026, 11, 17) and 12 <= local.hour < 15
    return off_day or outage


def minutes(day: date) -> Iterator[tuple[float, int]]:
    """The minutes of a day, from 8 to 21, and a number that is another one in each."""
    begins = datetime(day.year, day.month, day.day, 8, tzinfo=ZoneInfo(ZONE)).timestamp()
    for number in range(13 * 60):
        minute = begins + number * BUCKET_S
        if not is_missing(minute):
            yield minute, number + day.toordinal()


def filled(url: str, days: tuple[date, date] = (FIRST, LAST)) -> SqlStore:
    """A store with all of it: each minute is one of the clip's, and each quarter has its visits."""
    store = SqlStore(url, ManualClock(at("2026-11-23T06:00")))
    day = days[0]
    while day <= days[1]:
        buckets: list[Bucket] = []
        events: list[Event] = []
        for minute, number in minutes(day):
            local = datetime.fromtimestamp(minute, ZoneInfo(ZONE))
            playing = number * 7919 % 100 < BUSY[local.hour] + 12 * (day.weekday() == 5)
            for row in STORED["minutes"]:
                # The clip has two minutes, of which the second is known for a third only.
                if row["minute"] != (60 if number % 41 == 0 else 0):
                    continue
                none = dict.fromkeys(row["values"], 0)
                kept = Bucket(
                    row["camera"],
                    row["rule"],
                    int(minute),
                    row["samples"],
                    row["coverage"],
                    row["values"] if playing else none,
                )
                buckets.append(kept)
            if number % 15 == 0:
                events += [_event(row, minute) for row in STORED["events"] if row["at"] < 60]
        store.commit(Commit(events=events, buckets=buckets))
        day += timedelta(days=1)
    store.commit(
        Commit(
            health=[
                Health("plaza", at("2026-11-17T12:00"), "offline", "refused"),
                Health("plaza", at("2026-11-17T15:00"), "online"),
            ]
        )
    )
    return store


def _event(row: dict[str, Any], minute: float) -> Event:
    data = dict(row.get("data", {}))
    for name in ("since", "until"):
        if name in data:
            data[name] = timestamp(minute + data[name])
    subject = row.get("subject")
    return Event(
        id=event_id(row["camera"], row["rule"], row["id"], minute),
        type=row["type"],
        phase=row["phase"],
        camera=row["camera"],
        rule=row["rule"],
        at=minute + row["at"],
        subject=Subject(subject["label"], subject["track"]) if subject else None,
        data=data,
    )
