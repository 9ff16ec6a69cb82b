"""Events for the contract suites of stores and sinks."""

import math
from dataclasses import replace

from pipeline.core.events import Event, Subject, event_id


def an_event(number: int = 0, *, rule: str = "footfall", camera: str = "door") -> Event:
    """The `number`-th of a row of plain events, a second apart."""
    at = 1_700_000_000.0 + number
    return Event(
        id=event_id(camera, rule, str(number), at),
        type="line_crossing",
        phase="single",
        camera=camera,
        rule=rule,
        at=at,
    )


def odd_events() -> list[Event]:
    """Events that use every field, with the floats and the letters that go wrong most easily."""
    start = Event("a" * 26, "occupancy", "start", "till", "queue", 0.1 + 0.2, Subject("person"))
    words = 'grün 行列 "quoted" \\ \n \x1b[31m \u2028 \x00 \ud83d'
    return [
        start,
        replace(
            start,
            phase="update",
            update=1,
            at=1_700_000_000.000_000_1,
            subject=Subject("person", 7, (0.1, 1 / 3, math.pi / 10, 1 - 1e-16)),
            data={"mean": 1e-310, "huge": 1.7976931348623157e308, "zero": -0.0, "n": 2**60},
            seq=12,
            run="run-1",
        ),
        replace(start, phase="update", update=2, at=-1.5, data={"words": words, words: None}),
        replace(
            start,
            phase="end",
            at=1_700_000_000.25,
            subject=None,
            data={"list": [1, [2.5, {"deep": [True, False, None, ""]}]], "empty": {}},
            media=("till/2023-11-14/a.jpg", "till/2023-11-14/b.jpg"),
        ),
    ]
